package box

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Volumes, devices and single files are taken from the machine before the box leaves its view
// (open_tree gives a file descriptor of a detached mount) and put into place once the box's own root
// stands. So a path of the box is only ever resolved inside the box: a symbolic link in an image or a volume
// cannot lead a mount out of it, and a mount point that is missing is made in the box's layer, or in the
// volume it belongs to, never on the machine.

// tree is a mount that is not yet anywhere.
type tree struct {
	Mount
	fd    int
	isDir bool
}

func cloneTree(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("mount source %s: %w", path, err)
	}
	return fd, nil
}

// takeTrees takes all mounts from the machine, parents before what lies in them.
func takeTrees(mounts []Mount, maps *mappings) ([]tree, error) {
	ordered := slices.Clone(mounts)
	slices.SortStableFunc(ordered, func(a, b Mount) int { return cmp.Compare(depth(a.Path), depth(b.Path)) })
	var trees []tree
	for _, m := range ordered {
		t, err := takeTree(m, maps)
		if m.Optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		trees = append(trees, t)
	}
	return trees, nil
}

func takeTree(m Mount, maps *mappings) (tree, error) {
	fd, err := cloneTree(m.Host)
	if err != nil {
		return tree{}, err
	}
	isDir, err := isDirectory(fd)
	if err != nil {
		return tree{}, fmt.Errorf("mount source %s: %w", m.Host, err)
	}
	if m.Users != nil {
		if err := maps.apply(fd, *m.Users); err != nil && !isUnsupported(err) {
			return tree{}, fmt.Errorf("map the owners of %s: %w", m.Host, err)
		}
	}
	if m.ReadOnly {
		if err := setReadOnly(fd, m.RecursiveReadOnly); err != nil {
			return tree{}, fmt.Errorf("read-only mount of %s: %w", m.Host, err)
		}
	}
	flags := map[Propagation]uint64{Private: unix.MS_PRIVATE, HostToContainer: unix.MS_SLAVE}
	if kind, ok := flags[m.Propagation]; ok {
		attr := unix.MountAttr{Propagation: kind}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
			return tree{}, fmt.Errorf("propagation of %s: %w", m.Host, err)
		}
	}
	return tree{m, fd, isDir}, nil
}

// attach puts a tree into its place, which is made if it is missing.
func (t tree) attach() error {
	defer unix.Close(t.fd)
	place, err := mountPoint(t.Path, t.isDir)
	if err != nil {
		return fmt.Errorf("mount point %s: %w", t.Path, err)
	}
	if err := moveMount(t.fd, place); err != nil {
		return fmt.Errorf("mount %s at %s: %w", t.Host, t.Path, err)
	}
	return nil
}

func moveMount(fd int, place string) error {
	return unix.MoveMount(fd, "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// mountPoint makes sure that there is something to mount on, and returns its path without links. A link that
// leads nowhere is followed all the same: /etc/resolv.conf often leads into /run, which is empty here.
func mountPoint(path string, dir bool) (string, error) { return linkedMountPoint(path, dir, 0) }

func linkedMountPoint(path string, dir bool, links int) (string, error) {
	if links > maxLinks {
		return "", unix.ELOOP
	}
	current := "/"
	parts := strings.Split(strings.Trim(filepath.Clean("/"+path), "/"), "/")
	for i, part := range parts {
		next := filepath.Join(current, part)
		if resolved, err := filepath.EvalSymlinks(next); err == nil {
			current = resolved
			continue
		}
		if to, err := os.Readlink(next); err == nil {
			if !filepath.IsAbs(to) {
				to = filepath.Join(current, to)
			}
			return linkedMountPoint(filepath.Join(to, filepath.Join(parts[i+1:]...)), dir, links+1)
		}
		if err := create(next, dir || i < len(parts)-1); err != nil {
			return "", err
		}
		current = next
	}
	return current, nil
}

func create(path string, dir bool) error {
	if dir {
		return os.Mkdir(path, 0o755)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func isDirectory(fd int) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

func setReadOnly(fd int, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// mask hides what lies at a path; what does not exist needs no hiding.
func mask(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if info.IsDir() {
		err = unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0")
	} else {
		err = unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	return nil
}

// protect makes a path read-only.
func protect(path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	fd, err := cloneTree(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := setReadOnly(fd, true); err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	return moveMount(fd, path)
}

func depth(path string) int { return strings.Count(filepath.Clean(path), "/") }

func isUnsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}
