package box

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The init of a box: the process that stays. It owns the streams of the command and outlives the runtime;
// it ends when its command has ended and everything the command left behind with it.

// drainTime is how long output may still come once everyone who could write it was killed. It only runs
// out if a process escaped into another box's namespace.
const drainTime = 2 * time.Second

type initProcess struct {
	spec     Spec
	status   *os.File
	children *children
	logs     *logs
	out, err *output
	terminal *os.File // master side, of a command with a terminal
	stdin    *input
	pid      int
	exit     atomic.Pointer[Exit]
	ended    chan struct{}
	watchers atomic.Int32 // clients that want to hear of the end
}

func newInit(s Spec, status *os.File) *initProcess {
	l := newLogs(os.NewFile(fdLog, "log"))
	return &initProcess{
		spec: s, status: status, children: newChildren(), logs: l, out: newOutput("stdout", l), err: newOutput("stderr", l),
		ended: make(chan struct{}),
	}
}

// prepare makes the process one that reaps, and that no one in the box can look into.
func (p *initProcess) prepare() error {
	debug.SetGCPercent(50) // it lives long and does little
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("close the init to others: %w", err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for range ended {
			p.children.reap()
		}
	}()
	return nil
}

// pause holds a process namespace until it is killed.
func (p *initProcess) pause() error {
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.report(status{Running: true}); err != nil {
		return err
	}
	select {}
}

func (p *initProcess) run() error {
	if err := p.prepare(); err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(fdSocket, "socket"))
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	var drained sync.WaitGroup
	done, err := p.startCommand(&drained)
	if err != nil {
		return err
	}
	if err := p.report(status{Running: true}); err != nil {
		return err
	}
	go p.forwardSignals()
	go p.serve(listener.(*net.UnixListener))

	exit := Exit{Code: <-done, At: time.Now().UnixNano()}
	p.killRest()
	if p.terminal != nil {
		_ = p.terminal.SetReadDeadline(time.Now().Add(drainTime))
	}
	waitAtMost(&drained, drainTime)
	p.finish(exit)
	return nil
}

func (p *initProcess) report(s status) error {
	if err := json.NewEncoder(p.status).Encode(s); err != nil {
		return err
	}
	return p.status.Close()
}

// startCommand connects the command's streams and starts it.
func (p *initProcess) startCommand(drained *sync.WaitGroup) (<-chan int, error) {
	process := p.spec.Process
	var streams [3]*os.File
	if process.TTY {
		master, slave, err := openTerminal(nil, process.Identity)
		if err != nil {
			return nil, err
		}
		defer slave.Close()
		p.terminal = master
		p.stdin = newInput(master, process.StdinOnce, true)
		streams = [3]*os.File{slave, slave, slave}
		drained.Go(func() { p.out.copy(master) })
	} else {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		streams[0] = null
		if process.Stdin {
			read, write, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			defer read.Close()
			streams[0] = read
			p.stdin = newInput(write, process.StdinOnce, false)
		}
		for i, o := range []*output{p.out, p.err} {
			read, write, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			defer write.Close()
			streams[i+1] = write
			drained.Go(func() { o.copy(read) })
		}
	}
	pid, done, err := p.children.start(process, process.Argv, streams, process.TTY)
	p.pid = pid
	return done, err
}

// forwardSignals hands on to the command what is sent to the init: `kill 1` in a box means the command.
func (p *initProcess) forwardSignals() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	for s := range signals {
		_ = unix.Kill(p.pid, s.(unix.Signal))
	}
}

// killRest ends everything in the box but the init.
func (p *initProcess) killRest() {
	if p.spec.PID == PIDOwn {
		_ = unix.Kill(-1, unix.SIGKILL)
		return
	}
	// In a shared namespace: all descendants. Whoever loses its parent becomes a child of ours, so
	// this comes to an end.
	for range 100 {
		found := descendants(os.Getpid())
		if len(found) == 0 {
			return
		}
		for _, pid := range found {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// descendants lists all living processes below one.
func descendants(pid int) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// pid (name) state parent …; the name may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if parent, err := strconv.Atoi(fields[1]); err == nil && fields[0] != "Z" {
			children[parent] = append(children[parent], child)
		}
	}
	var out []int
	queue := []int{pid}
	for len(queue) > 0 {
		found := children[queue[0]]
		out, queue = append(out, found...), append(queue[1:], found...)
	}
	return out
}

// finish writes the end down before anyone can learn of it.
func (p *initProcess) finish(exit Exit) {
	if err := json.NewEncoder(os.NewFile(fdExit, "exit")).Encode(exit); err != nil {
		p.logs.line("stderr", "F", fmt.Appendf(nil, "the exit of this container could not be written down: %v", err))
	}
	p.exit.Store(&exit)
	close(p.ended)
	for limit := time.Now().Add(drainTime); p.watchers.Load() > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
}

func waitAtMost(group *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// input is a command's standard input, which clients come to and leave.
type input struct {
	mu    sync.Mutex
	file  *os.File
	once  bool
	isTTY bool
}

func newInput(file *os.File, once, isTTY bool) *input {
	return &input{file: file, once: once, isTTY: isTTY}
}

// copy feeds what a client sends. With stdinOnce the command sees the end of the first client's input.
func (in *input) copy(from *os.File) {
	defer from.Close()
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 {
			if writeErr := in.write(chunk[:n]); writeErr != nil {
				return
			}
		}
		if err != nil {
			break
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	// The end of a terminal's input is a character that its user types.
	if in.once && !in.isTTY && in.file != nil {
		_ = in.file.Close()
		in.file = nil
	}
}

func (in *input) write(chunk []byte) error {
	in.mu.Lock()
	file := in.file
	in.mu.Unlock()
	if file == nil {
		return errors.New("input is closed")
	}
	_, err := file.Write(chunk)
	return err
}
