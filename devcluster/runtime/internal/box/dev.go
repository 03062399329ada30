package box

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The file systems that are not files: /dev with the few devices every container has, its own terminals and
// shared memory; /proc of the box's own processes; /sys to read. They are the kernel's, so no layer covers them.

var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

var deviceLinks = map[string]string{
	"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	"ptmx": "pts/ptmx", "core": "/proc/kcore",
}

// kernelTrees are taken from the machine before the box leaves it.
type kernelTrees struct {
	devices map[string]int
	dev     int // the machine's whole /dev, for a privileged box; else -1
	sys     int
	proc    int
}

func takeKernelTrees(s Spec) (kernelTrees, error) {
	k := kernelTrees{devices: map[string]int{}, dev: -1}
	var err error
	if k.sys, err = cloneTree("/sys"); err != nil {
		return k, err
	}
	if !s.Privileged {
		// A user namespace of some sandboxes has mounts in /sys that may not be changed: then it stays as it is.
		if err := setReadOnly(k.sys, true); err != nil && !isUnsupported(err) {
			return k, fmt.Errorf("read-only /sys: %w", err)
		}
	}
	if k.proc, err = cloneTree("/proc"); err != nil {
		return k, err
	}
	if s.Privileged {
		k.dev, err = cloneTree("/dev")
		return k, err
	}
	for _, name := range devices {
		fd, err := cloneTree(filepath.Join("/dev", name))
		if err != nil {
			return k, err
		}
		k.devices[name] = fd
	}
	return k, nil
}

// attach puts them into the root, which is / by now.
func (k kernelTrees) attach(s Spec) error {
	if err := moveMount(k.sys, "/sys"); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := k.attachProc(s); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if k.dev >= 0 {
		if err := moveMount(k.dev, "/dev"); err != nil {
			return fmt.Errorf("mount /dev: %w", err)
		}
		return nil
	}
	if err := unix.Mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_STRICTATIME, "mode=755,size=65536k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for name, fd := range k.devices {
		place := filepath.Join("/dev", name)
		if err := create(place, false); err != nil {
			return err
		}
		if err := moveMount(fd, place); err != nil {
			return fmt.Errorf("mount %s: %w", place, err)
		}
		unix.Close(fd)
	}
	for name, to := range deviceLinks {
		if err := os.Symlink(to, filepath.Join("/dev", name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm", "mqueue"} {
		if err := os.Mkdir(filepath.Join("/dev", name), 0o755); err != nil {
			return err
		}
	}
	return mountShm(s)
}

// attachProc shows the machine's /proc, until the box mounts its own over it. In a user namespace the kernel lets it do
// so only if it sees one without anything mounted into it; so that gets a new one.
func (k kernelTrees) attachProc(s Spec) error {
	if s.Users != nil && unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "") == nil {
		return nil
	}
	return moveMount(k.proc, "/proc")
}

func mountShm(s Spec) error {
	options := "mode=1777"
	if s.ShmBytes > 0 {
		options += fmt.Sprintf(",size=%d", s.ShmBytes)
	}
	if s.Users != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", outside(s.Users.UIDs, 0), outside(s.Users.GIDs, 0))
	}
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return nil
}

// mountOwn mounts what belongs to the box's innermost namespaces.
func mountOwn(s Spec) error {
	const harmless = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if s.PID == PIDOwn {
		if err := unix.Mount("proc", "/proc", "proc", harmless, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if !s.Privileged {
		if err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
			return fmt.Errorf("mount /dev/pts: %w", err)
		}
		// Message queues are a module that some kernels lack.
		if err := unix.Mount("mqueue", "/dev/mqueue", "mqueue", harmless, ""); err != nil && !isUnsupported(err) && err != unix.ENODEV {
			return fmt.Errorf("mount /dev/mqueue: %w", err)
		}
	}
	for _, path := range s.MaskedPaths {
		if err := mask(path); err != nil {
			return err
		}
	}
	for _, path := range s.ReadOnlyPaths {
		if err := protect(path); err != nil {
			return err
		}
	}
	return nil
}
