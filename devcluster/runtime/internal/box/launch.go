package box

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The runtime's side of a box: start one, find one again, talk to it.

// startTime bounds how long a box may take to come up; it normally takes milliseconds.
const startTime = 60 * time.Second

// Files of a box in its folder.
const (
	socketName = "socket"
	exitName   = "exit.json"
)

// Handle is a box that was started, by this runtime or an earlier one.
type Handle struct {
	Folder string
	// PID is the init's on the machine, Start its start time, which tells it from a later process of the same number.
	PID   int
	Start uint64
}

// Launch starts a box and returns once its command runs, or says why it does not. The log is the runtime's to
// open: its folder is not the box's business. enter is called with the new process before it does anything, so that it can be put into a cgroup.
// inside, if not 0, is a process whose process namespace the box joins.
func Launch(s Spec, log *os.File, inside int, enter func(pid int) error) (Handle, error) {
	h := Handle{Folder: s.Folder}
	exit, err := os.OpenFile(filepath.Join(s.Folder, exitName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return h, err
	}
	defer exit.Close()
	socket, err := listen(s.Folder)
	if err != nil {
		return h, err
	}
	defer socket.Close()
	specIn, specOut, err := os.Pipe()
	if err != nil {
		return h, err
	}
	defer specOut.Close()
	statusIn, statusOut, err := os.Pipe()
	if err != nil {
		_ = specIn.Close()
		return h, err
	}
	defer statusIn.Close()

	command := exec.Command(self, "init")
	command.Env = []string{"GOMAXPROCS=2"}
	command.ExtraFiles = []*os.File{specIn, statusOut, socket, exit, log}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: Namespaces(s), Setsid: true}
	err = startInside(command, inside)
	_ = specIn.Close()
	_ = statusOut.Close()
	if err != nil {
		return h, fmt.Errorf("start in new namespaces: %w", err)
	}
	first := command.Process.Pid
	h.PID = first
	err = func() error {
		if err := enter(first); err != nil {
			return err
		}
		if err := json.NewEncoder(specOut).Encode(s); err != nil {
			return fmt.Errorf("describe the container to its init: %w", err)
		}
		return h.awaitStart(statusIn, inside)
	}()
	if err != nil {
		_ = unix.Kill(h.PID, unix.SIGKILL)
		_ = command.Process.Kill()
		_ = command.Wait()
		Reap(h.PID)
		return h, err
	}
	if h.PID != first {
		_ = command.Wait() // its work is done: a child of it is the init
	}
	h.Start, err = startOf(h.PID)
	if errors.Is(err, os.ErrNotExist) {
		err = nil // a short command: it has come and gone, and its exit is written down
	}
	return h, err
}

// startInside starts a process as one of another's process namespace.
func startInside(command *exec.Cmd, inside int) error {
	if inside == 0 {
		return command.Start()
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", inside))
	if err != nil {
		return fmt.Errorf("the process namespace of another container: %w", err)
	}
	defer namespace.Close()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, whose children are in the namespace, dies
		if err := unix.Setns(descriptor(namespace), unix.CLONE_NEWPID); err != nil {
			result <- fmt.Errorf("join the process namespace of another container: %w", err)
			return
		}
		result <- command.Start()
	}()
	return <-result
}

// awaitStart reads what the start has to say. It knows the init afterwards.
func (h *Handle) awaitStart(from *os.File, inside int) error {
	if err := from.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	decoder := json.NewDecoder(from)
	for {
		var s status
		err := decoder.Decode(&s)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the container's init ended before the command ran")
		case err != nil:
			return fmt.Errorf("wait for the start: %w", err)
		case s.Error != "":
			return errors.New(s.Error)
		case s.Running:
			return nil
		case s.PID != 0 && inside == 0:
			h.PID = s.PID
		case s.PID != 0:
			if h.PID, err = onMachine(s.PID, inside); err != nil {
				return err
			}
		}
	}
}

// onMachine finds the machine's number of a process that is known by its number in a namespace.
func onMachine(pid, inside int) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", inside))
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid")); err != nil || link != namespace {
			continue
		}
		table, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		for line := range strings.Lines(string(table)) {
			if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
				if all := strings.Fields(numbers); all[len(all)-1] == strconv.Itoa(pid) {
					return strconv.Atoi(all[0])
				}
			}
		}
	}
	return 0, fmt.Errorf("process %d of a shared process namespace is gone", pid)
}

// Reap collects an init that has ended, if it is ours to collect.
func Reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// startOf reads when a process started, in ticks since the machine did.
func startOf(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d has no start time", pid)
	}
	if fields[0] == "Z" {
		return 0, os.ErrNotExist
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Alive says whether the box's init still runs.
func (h Handle) Alive() bool {
	start, err := startOf(h.PID)
	return err == nil && start == h.Start
}

// listen makes the box's socket. The path of a socket must be short, that of a folder need not be: so it is reached
// through an open folder.
func listen(folder string) (*os.File, error) {
	var out *os.File
	err := near(folder, func(path string) error {
		_ = os.Remove(path)
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return fmt.Errorf("socket in %s: %w", folder, err)
		}
		listener.SetUnlinkOnClose(false)
		defer listener.Close()
		out, err = listener.File()
		return err
	})
	return out, err
}

func (h Handle) dial() (*net.UnixConn, error) {
	var conn *net.UnixConn
	err := near(h.Folder, func(path string) error {
		var err error
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the container's init does not answer: %w", err)
	}
	return conn, nil
}

func near(folder string, do func(path string) error) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName))
}

func (h Handle) ask(r request, files ...*os.File) error {
	conn, err := h.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return ask(conn, r, files...)
}

// Signal sends the command a signal.
func (h Handle) Signal(s unix.Signal) error { return h.ask(request{Op: opSignal, Signal: int(s)}) }

// Kill ends the command and all its company, with or without the init's help.
func (h Handle) Kill() {
	if err := h.ask(request{Op: opKill}); err != nil {
		h.KillInit()
	}
}

// KillInit ends the init; the kernel ends what is in its process namespace.
func (h Handle) KillInit() {
	if h.Alive() {
		_ = unix.Kill(h.PID, unix.SIGKILL)
	}
}

// Reopen goes on in another log file.
func (h Handle) Reopen(log *os.File) error { return h.ask(request{Op: opReopen}, log) }

// Watch returns once the command has ended: with its exit, or with nil if nobody is left who knows it.
func (h Handle) Watch() *Exit {
	if conn, err := h.dial(); err == nil {
		defer conn.Close()
		if err := send(conn, request{Op: opWatch}); err == nil {
			for {
				var r reply
				if _, err := receive(conn, &r); err != nil || r.Exit != nil {
					break
				}
			}
		}
	}
	return h.Exit()
}

// Exit reads what the init wrote down.
func (h Handle) Exit() *Exit {
	b, err := os.ReadFile(filepath.Join(h.Folder, exitName))
	if err != nil {
		return nil
	}
	var e Exit
	if json.Unmarshal(b, &e) != nil {
		return nil
	}
	return &e
}
