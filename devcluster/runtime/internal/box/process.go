package box

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps them, those it started and those they left behind. Nothing else in
// an init may wait for a child: a wait for a certain one and a wait for any would steal from each other.
type children struct {
	mu      sync.Mutex
	waiting map[int]chan int
}

func newChildren() *children { return &children{waiting: map[int]chan int{}} }

// start runs a command with the given streams. Its exit code comes on the channel.
func (c *children) start(p Process, argv []string, streams [3]*os.File, tty bool) (int, <-chan int, error) {
	attr := &syscall.ProcAttr{Dir: p.Dir, Env: p.Env, Sys: &syscall.SysProcAttr{Setsid: true, Setctty: tty}}
	if tty && !slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		attr.Env = append(slices.Clone(p.Env), "TERM=xterm")
	}
	for _, f := range streams {
		fd, err := blocking(f)
		if err != nil {
			return 0, nil, err
		}
		attr.Files = append(attr.Files, uintptr(fd))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := p.Identity.start(argv, p.find, attr)
	if err != nil {
		return 0, nil, err
	}
	adjustOOM(pid, p.OOMScoreAdj)
	done := make(chan int, 1)
	c.waiting[pid] = done
	return pid, done, nil
}

// reap collects everyone who has ended.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if done := c.waiting[pid]; done != nil {
			delete(c.waiting, pid)
			done <- exitCode(status)
		}
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// find looks a command up in the PATH of its own environment, as the user it will run as.
func (p Process) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, p.notFound(name, findExecutable(name))
	}
	for dir := range strings.SplitSeq(p.path(), ":") {
		if dir == "" {
			continue
		}
		if file := dir + "/" + name; findExecutable(file) == nil {
			return file, nil
		}
	}
	return "", p.notFound(name, exec.ErrNotFound)
}

func (p Process) notFound(name string, err error) error {
	if err == nil {
		return nil
	}
	if to, linkErr := os.Readlink(name); linkErr == nil && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("command %q not found in image %q: it is a link to %s, which the image does not show or this user may not read", name, p.Image, to)
	}
	for place := range strings.SplitSeq(name+":"+p.path(), ":") {
		if isHidden(place) {
			return fmt.Errorf("command %q not found in image %q: %w (what lies below %s is there only if the image shows it)", name, p.Image, err, place)
		}
	}
	return fmt.Errorf("command %q not found in image %q: %w", name, p.Image, err)
}

func (p Process) path() string {
	for _, e := range p.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return ""
}

func findExecutable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return unix.EISDIR
	case info.Mode().Perm()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}

// adjustOOM tells the kernel whom to kill first when memory runs out. Only raising is everyone's right, so
// a refusal is not an error.
func adjustOOM(pid, score int) {
	if score == 0 {
		return
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), fmt.Appendf(nil, "%d", score), 0)
}
