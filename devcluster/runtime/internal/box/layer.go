package box

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a box sees of the machine is its system: /usr, /etc, /var, /opt and whatever else lies at the top.
// Each such folder is the lower layer of an overlay of its own, so that everything can be
// written and nothing that is written reaches the machine; nothing is copied to start with.
// One overlay over / would be simpler, but a plain user's namespace may not stack one over a folder that
// holds other mounts. Such a folder is entered instead and its entries are layered one by one.
//
// Folders that belong to people or to a moment are not part of any image: homes, /tmp, /run and the like
// are there and empty. What an image needs of them it names (Spec.Show); it then appears at its own path.

// Folders that a box has of its own, with their modes.
var fresh = map[string]uint32{
	"/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755, "/home": 0o755, "/root": 0o755, "/mnt": 0o755, "/media": 0o755,
	"/boot": 0o755, "/dev": 0o755, "/proc": 0o555, "/sys": 0o555, "/lost+found": 0o755,
}

// Secrets of the machine's own that lie among the files of its system. They read as empty.
var secrets = []string{
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d",
}

// Folders whose owners are mapped in a box with a user namespace, so that its root is at home there.
// Elsewhere the machine's users stay strangers to it, and their closed files closed.
var system = []string{"/usr", "/etc", "/var", "/opt", "/srv", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// maxEntries bounds how many entries of a folder with mounts in it are layered one by one; a folder
// with more (a container engine's, say) is shown read-only instead.
const maxEntries = 256

// builder lays the root of one box.
type builder struct {
	spec   Spec
	folder string // holds root, upper, work and lower
	root   string
	maps   *mappings
	count  int
	points []string        // where the machine has mounts
	held   []int           // mounts of the layer, to be made read-only where asked
	opened map[string]bool // closed folders that an open one stands for
}

func newBuilder(s Spec, maps *mappings) (*builder, error) {
	b := &builder{spec: s, folder: filepath.Join(s.Folder, "layer"), maps: maps, opened: map[string]bool{}}
	b.root = filepath.Join(b.folder, "root")
	if err := os.MkdirAll(b.folder, 0o700); err != nil {
		return nil, err
	}
	if s.Layer == LayerMemory || s.Layer == LayerNone {
		if err := unix.Mount("tmpfs", b.folder, "tmpfs", 0, "mode=0700"); err != nil {
			return nil, fmt.Errorf("tmpfs on %s: %w", b.folder, err)
		}
	}
	for _, name := range []string{"root", "upper", "work", "lower"} {
		if err := os.Mkdir(filepath.Join(b.folder, name), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if b.points, err = mountPoints(); err != nil {
		return nil, err
	}
	return b, b.hold(b.root)
}

// mountPoints reads where the machine has mounts.
func mountPoints() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	return points, nil
}

// lay shows the machine's folders in the root.
func (b *builder) lay() error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	if err := b.furnish(b.root, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.show(filepath.Join("/", e.Name())); err != nil {
			return err
		}
	}
	for path := range fresh {
		if err := b.own(path); err != nil {
			return err
		}
	}
	return nil
}

// own makes a folder of the box's own.
func (b *builder) own(path string) error {
	mode := fresh[path]
	target := filepath.Join(b.root, path)
	if filepath.Dir(path) == "/" {
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		return b.furnish(target, mode)
	}
	info, err := os.Lstat(target)
	if err != nil || !info.IsDir() {
		return nil
	}
	return b.cover(target, mode)
}

// cover puts an empty folder of the box's own over one of its root.
func (b *builder) cover(target string, mode uint32) error {
	source := filepath.Join(b.folder, "upper", b.next())
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	if err := b.furnish(source, mode); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover %s: %w", target, err)
	}
	return b.hold(target)
}

// furnish gives a folder of the box's own its mode, and to the box's root.
func (b *builder) furnish(path string, mode uint32) error {
	if b.spec.Users != nil {
		if err := os.Chown(path, outside(b.spec.Users.UIDs, 0), outside(b.spec.Users.GIDs, 0)); err != nil {
			return err
		}
	}
	return unix.Chmod(path, mode)
}

// show makes one entry of the machine appear in the root.
func (b *builder) show(path string) error {
	if _, ok := fresh[path]; ok {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil // gone, or not ours to see
	}
	target := filepath.Join(b.root, path)
	if slices.Contains(secrets, path) && b.spec.Layer != LayerNone {
		return create(target, info.IsDir())
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return nil
		}
		return os.Symlink(to, target)
	case info.IsDir():
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		return b.layer(path, target)
	case info.Mode().IsRegular():
		if err := create(target, false); err != nil {
			return err
		}
		return b.still(path, target)
	}
	return nil
}

// layer shows a folder so that it can be written without a trace.
func (b *builder) layer(path, target string) error {
	if b.spec.Layer == LayerNone {
		return b.bindTree(path, target, false)
	}
	err := b.overlay(path, target)
	if err == nil {
		return b.showMounts(path)
	}
	if !isUnsupported(err) {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil // closed to us: it stays empty
	}
	if len(entries) > maxEntries {
		return b.still(path, target)
	}
	if err := copyOwner(path, target, b.mapping(path)); err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.show(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// showMounts shows, read-only, what is mounted below a folder: an overlay sees through it to what lies under.
func (b *builder) showMounts(path string) error {
	for _, point := range b.points {
		target := filepath.Join(b.root, point)
		if !strings.HasPrefix(point, path+"/") || closedBetween(path, point) {
			continue
		}
		if _, err := os.Lstat(target); err != nil {
			continue
		}
		if err := b.still(point, target); err != nil {
			return err
		}
	}
	return nil
}

// closedBetween says whether a folder on the way from one to the other is closed to strangers.
func closedBetween(from, to string) bool {
	for dir := filepath.Dir(to); len(dir) > len(from); dir = filepath.Dir(dir) {
		if isClosed(dir) {
			return true
		}
	}
	return false
}

func isClosed(dir string) bool {
	info, err := os.Stat(dir)
	return err != nil || info.Mode().Perm()&0o001 == 0
}

func (b *builder) overlay(path, target string) error {
	number := b.next()
	upper, work := filepath.Join(b.folder, "upper", number), filepath.Join(b.folder, "work", number)
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	users := b.mapping(path)
	if err := copyOwner(path, upper, users); err != nil {
		return err
	}
	if slices.Contains(b.spec.Show, path) {
		if err := unix.Chmod(upper, 0o755); err != nil {
			return err
		}
	}
	if err := b.empty(path, upper); err != nil {
		return err
	}
	lower := path
	if users != nil {
		lower = filepath.Join(b.folder, "lower", number)
		if err := b.mapped(path, lower, *users); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile", escaped(lower), escaped(upper), escaped(work))
	if b.spec.UserXattr {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", target, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay of %s: %w", path, err)
	}
	return b.hold(target)
}

// empty puts an empty entry of the upper folder over each secret of the lower one.
func (b *builder) empty(path, upper string) error {
	opaque := "trusted.overlay.opaque"
	if b.spec.UserXattr {
		opaque = "user.overlay.opaque"
	}
	for _, secret := range secrets {
		inside, ok := strings.CutPrefix(secret, path+"/")
		info, err := os.Lstat(secret)
		if !ok || err != nil {
			continue
		}
		place := filepath.Join(upper, inside)
		for dir := range ancestors(inside) {
			made := filepath.Join(upper, dir)
			if err := os.Mkdir(made, 0o755); err != nil && !os.IsExist(err) {
				return err
			}
			if err := copyOwner(filepath.Join(path, dir), made, b.mapping(path)); err != nil {
				return err
			}
		}
		if err := create(place, info.IsDir()); err != nil {
			return err
		}
		if err := copyOwner(secret, place, b.mapping(path)); err != nil {
			return err
		}
		if info.IsDir() {
			if err := unix.Setxattr(place, opaque, []byte("y"), 0); err != nil {
				return fmt.Errorf("hide %s: %w", secret, err)
			}
		}
	}
	return nil
}

// ancestors gives the folders above a relative path, the topmost first.
func ancestors(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, c := range path {
			if c == '/' && !yield(path[:i]) {
				return
			}
		}
	}
}

// mapped mounts a folder at a scratch place with its owners mapped.
func (b *builder) mapped(path, place string, users Users) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := b.maps.apply(fd, users); err != nil {
		return fmt.Errorf("map the owners of %s: %w", path, err)
	}
	if err := os.Mkdir(place, 0o755); err != nil {
		return err
	}
	return moveMount(fd, place)
}

// mapping is that of a folder whose owners are to be mapped, or nil.
func (b *builder) mapping(path string) *Users {
	if b.spec.Users == nil {
		return nil
	}
	for _, p := range slices.Concat(system, b.spec.Show) {
		if path == p || strings.HasPrefix(path, p+"/") {
			return b.spec.Users
		}
	}
	return nil
}

// still shows a file or folder read-only.
func (b *builder) still(path, target string) error {
	if b.spec.Layer == LayerNone {
		return b.bindTree(path, target, false)
	}
	return b.bindTree(path, target, true)
}

func (b *builder) bindTree(path, target string, readOnly bool) error {
	fd, err := cloneTree(path)
	if err != nil {
		return nil // not ours to see
	}
	defer unix.Close(fd)
	if readOnly {
		if err := setReadOnly(fd, true); err != nil {
			return fmt.Errorf("show %s read-only: %w", path, err)
		}
	}
	if err := moveMount(fd, target); err != nil {
		return fmt.Errorf("show %s: %w", path, err)
	}
	return nil
}

// hold remembers a mount of the layer; the root folder becomes one here.
func (b *builder) hold(target string) error {
	if target == b.root {
		if err := unix.Mount(b.root, b.root, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", b.root, err)
		}
	}
	if !b.spec.ReadOnlyRoot {
		return nil
	}
	fd, err := unix.Open(target, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b.held = append(b.held, fd)
	return nil
}

// seal makes the layer read-only if the Pod says so. Volumes are not part of it.
func (b *builder) seal() error {
	for _, fd := range b.held {
		if err := setReadOnly(fd, false); err != nil {
			return fmt.Errorf("read-only root: %w", err)
		}
		unix.Close(fd)
	}
	return nil
}

func (b *builder) next() string {
	b.count++
	return strconv.Itoa(b.count)
}

// copyOwner gives a new folder the mode and the owner of the one it stands for.
func copyOwner(from, to string, users *Users) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	uid, gid := int(st.Uid), int(st.Gid)
	if users != nil {
		uid, gid = outside(users.UIDs, uid), outside(users.GIDs, gid)
	}
	// An owner that this user namespace does not know cannot be given; ours is as good.
	if err := os.Lchown(to, uid, gid); err != nil && !isUnsupported(err) {
		return err
	}
	return unix.Chmod(to, st.Mode&0o1777)
}

func outside(ranges []IDRange, id int) int {
	for _, r := range ranges {
		if id >= r.Container && id < r.Container+r.Size {
			return r.Host + id - r.Container
		}
	}
	return id
}

func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}
