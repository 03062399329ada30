package box

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// How a box comes to be, in the process that the runtime started in new namespaces:
//
//  1. take the volumes and the kernel's trees from the machine, while it is still in view;
//  2. lay the root, pivot into it and drop the machine;
//  3. attach what was taken;
//  4. become the box's init (init.go).
//
// A box with a user namespace takes one step more. Only a process outside it may map owners and mount
// overlays of the machine's files, so 1 to 3 happen outside, and 4 in a child in the new namespaces, whose
// copy of the finished root the kernel locks.

// self is this program, also after its own path has gone out of view.
const self = "/proc/self/exe"

// The files that an init is started with.
const (
	fdSpec   = 3 // the Spec, to be read
	fdStatus = 4 // a status, to be written
	fdSocket = 5 // where the runtime talks to it
	fdExit   = 6 // where it writes down the end
	fdLog    = 7 // the log
)

// status is what the runtime learns of a start.
type status struct {
	Error string `json:",omitempty"`
	// PID is set when a child is the init, as the first step sees it.
	PID     int  `json:",omitempty"`
	Running bool `json:",omitempty"`
}

// Main is the whole life of a process of a box. It does not return.
func Main() {
	runtime.LockOSThread() // the main thread stays as it is: children start on others
	for _, fd := range []int{fdSpec, fdStatus, fdSocket, fdExit, fdLog} {
		unix.CloseOnExec(fd)
	}
	out := os.NewFile(fdStatus, "status")
	var s Spec
	err := json.NewDecoder(os.NewFile(fdSpec, "spec")).Decode(&s)
	if err == nil {
		err = run(s, out)
	}
	if err != nil {
		_ = json.NewEncoder(out).Encode(status{Error: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

func run(s Spec, out *os.File) error {
	unix.Umask(0o022)
	switch {
	case s.Pause:
		return newInit(s, out).pause()
	case s.Inner:
		if err := settle(s); err != nil {
			return err
		}
		return newInit(s, out).run()
	}
	maps := newMappings()
	err := build(s, maps)
	maps.close()
	if err != nil {
		return err
	}
	if s.Users != nil {
		return fork(s, out)
	}
	if err := settle(s); err != nil {
		return err
	}
	return newInit(s, out).run()
}

// build makes the root and enters it.
func build(s Spec, maps *mappings) error {
	if s.PID == PIDJoined && s.Users != nil {
		if err := numberAnew(); err != nil {
			return err
		}
	}
	trees, err := takeTrees(s.Mounts, maps)
	if err != nil {
		return err
	}
	kernel, err := takeKernelTrees(s)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part from the machine's mounts: %w", err)
	}
	b, err := newBuilder(s, maps)
	if err != nil {
		return err
	}
	if err := b.lay(); err != nil {
		return err
	}
	for _, path := range s.Show {
		if err := b.reveal(path, 0); err != nil {
			return err
		}
	}
	if err := enter(b.root); err != nil {
		return err
	}
	if err := kernel.attach(s); err != nil {
		return err
	}
	for _, t := range trees {
		if err := t.attach(); err != nil {
			return err
		}
	}
	if s.PID == PIDJoined {
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if dir := s.Process.Dir; dir != "" && !filepath.IsAbs(dir) {
		return fmt.Errorf("working directory %q is not absolute", dir)
	} else if dir != "" {
		// As every runtime does: an image or a Pod may name a folder that does not exist.
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("working directory: %w", err)
		}
	}
	return b.seal()
}

// numberAnew mounts a /proc with the numbers of the namespace that we were started in: mappings are written there, by
// the number of a child. Mounts of the machine still reach us afterwards, ours do not reach it.
func numberAnew() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("part from the machine's mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func enter(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	return os.Chdir("/")
}

// settle does what only the init's own namespaces allow.
func settle(s Spec) error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("hostname %q: %w", s.Hostname, err)
		}
	}
	return mountOwn(s)
}

// fork starts the init in its user namespace and leaves it to the runtime.
func fork(s Spec, out *os.File) error {
	s.Inner = true
	child := exec.Command(self, "init")
	child.SysProcAttr = s.Users.attributes()
	child.SysProcAttr.Setsid = true
	child.SysProcAttr.Cloneflags |= Namespaces(s)
	files := []uintptr{fdStatus, fdSocket, fdExit, fdLog}
	input, output, err := os.Pipe()
	if err != nil {
		return err
	}
	child.ExtraFiles = []*os.File{input}
	for _, fd := range files {
		child.ExtraFiles = append(child.ExtraFiles, os.NewFile(fd, "inherited"))
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start in the user namespace (can everyone execute this program's file?): %w", err)
	}
	_ = input.Close()
	if err := json.NewEncoder(out).Encode(status{PID: child.Process.Pid}); err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(s)
}

// Namespaces are those that the init of a box is started in.
func Namespaces(s Spec) uintptr {
	flags := uintptr(unix.CLONE_NEWNS)
	if s.Pause {
		return unix.CLONE_NEWPID
	}
	if s.Users != nil && !s.Inner {
		return flags
	}
	flags |= unix.CLONE_NEWIPC
	if s.Hostname != "" {
		flags |= unix.CLONE_NEWUTS
	}
	if s.PID == PIDOwn {
		flags |= unix.CLONE_NEWPID
	}
	return flags
}
