package box

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Identity on Linux belongs to a thread, and a child gets it from the thread that forks. So a command
// becomes someone else without an intermediate program: one thread takes the identity on, starts the command, and is
// thrown away. The init around it keeps its own.

// start runs a command under an identity and returns its process id.
func (id Identity) start(argv []string, lookup func(string) (string, error), attr *syscall.ProcAttr) (int, error) {
	type result struct {
		pid int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with this function
		if err := id.assume(); err != nil {
			done <- result{0, err}
			return
		}
		path, err := lookup(argv[0])
		if err != nil {
			done <- result{0, err}
			return
		}
		id.name(attr)
		pid, err := syscall.ForkExec(path, argv, attr)
		if err != nil {
			err = explain(path, attr.Dir, err)
		}
		done <- result{pid, err}
	}()
	r := <-done
	return r.pid, r.err
}

// explain tells a missing folder or interpreter from a missing command: the kernel says ENOENT to all three.
func explain(path, dir string, err error) error {
	if info, statErr := os.Stat(dir); dir != "" && (statErr != nil || !info.IsDir()) {
		return fmt.Errorf("working directory %q: %w", dir, orNotDirectory(statErr))
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("exec %q: the interpreter that its first line names does not exist", path)
	}
	return fmt.Errorf("exec %q: %w", path, err)
}

func orNotDirectory(err error) error {
	if err != nil {
		return err
	}
	return unix.ENOTDIR
}

// assume makes the calling thread the identity, for good.
func (id Identity) assume() error {
	if id.isNamed() {
		return id.forgoPrivileges()
	}
	last, err := lastCapability()
	if err != nil {
		return err
	}
	keep := mask64(id.Bounding)
	for c := range last + 1 {
		if keep&(1<<c) != 0 {
			continue
		}
		// EPERM: we may not drop it, so we do not have it to give either.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !isUnsupported(err) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := id.become(); err != nil {
		return err
	}
	effective := keep
	if id.UID != 0 && unix.Geteuid() != 0 {
		effective = mask64(id.Ambient) & keep
	}
	if err := setCapabilities(effective, mask64(id.Ambient)&keep); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	for _, c := range id.Ambient {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil && !isUnsupported(err) {
			return fmt.Errorf("raise capability %d: %w", c, err)
		}
	}
	return id.forgoPrivileges()
}

func (id Identity) forgoPrivileges() error {
	if !id.NoNewPrivs {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}

// become changes user and groups as far as this user namespace knows them; one that maps a single user
// leaves us who we are, under another number perhaps (see name).
func (id Identity) become() error {
	groups := make([]uint32, 0, len(id.Groups))
	for _, g := range id.Groups {
		if isMapped("gid", g) {
			groups = append(groups, uint32(g))
		}
	}
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 && errno != unix.EPERM {
		return fmt.Errorf("supplemental groups %v: %w", id.Groups, errno)
	}
	if isMapped("gid", id.GID) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id.GID), uintptr(id.GID), uintptr(id.GID)); errno != 0 {
			return fmt.Errorf("group %d: %w", id.GID, errno)
		}
	}
	if isMapped("uid", id.UID) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id.UID), uintptr(id.UID), uintptr(id.UID)); errno != 0 {
			return fmt.Errorf("user %d: %w", id.UID, errno)
		}
	}
	return nil
}

func (id Identity) isNamed() bool { return id.Named && !isMapped("uid", id.UID) }

// name gives the command a user namespace in which we bear its number, where ours knows nobody of it. Who writes the
// mapping needs CAP_SETFCAP, because it is our root that gets another number (user_namespaces(7)), so the thread keeps
// what it has. The process has every capability in its namespace until it executes the command, and none
// afterwards: whoever is not root keeps none.
func (id Identity) name(attr *syscall.ProcAttr) {
	if !id.isNamed() {
		return
	}
	attr.Sys.Cloneflags |= unix.CLONE_NEWUSER
	attr.Sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: id.UID, HostID: os.Geteuid(), Size: 1}}
	attr.Sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: id.GID, HostID: os.Getegid(), Size: 1}}
}

// isMapped says whether this user namespace has a user or group.
func isMapped(kind string, id int) bool {
	table, err := os.ReadFile("/proc/self/" + kind + "_map")
	if err != nil {
		return true // without /proc the kernel will say it
	}
	for line := range bytes.Lines(table) {
		var inside, outside, size int
		if _, err := fmt.Sscan(string(line), &inside, &outside, &size); err == nil && id >= inside && id < inside+size {
			return true
		}
	}
	return false
}

func setCapabilities(effective, inheritable uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return err
	}
	permitted := uint64(have[0].Permitted) | uint64(have[1].Permitted)<<32
	half := func(shift uint) unix.CapUserData {
		bits := uint32(effective & permitted >> shift)
		return unix.CapUserData{Effective: bits, Permitted: bits, Inheritable: uint32(inheritable & permitted >> shift)}
	}
	data := [2]unix.CapUserData{half(0), half(32)}
	return unix.Capset(&header, &data[0])
}

func mask64(capabilities []int) uint64 {
	var out uint64
	for _, c := range capabilities {
		out |= 1 << c
	}
	return out
}

func lastCapability() (int, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 63, nil
	}
	return strconv.Atoi(string(bytes.TrimSpace(b)))
}
