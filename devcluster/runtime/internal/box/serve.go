package box

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The init's side of the socket: one function per operation of wire.go.

func (p *initProcess) serve(listener *net.UnixListener) {
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			p.answer(conn)
		}()
	}
}

func (p *initProcess) answer(conn *net.UnixConn) {
	var r request
	files, err := receive(conn, &r)
	if err != nil {
		return
	}
	switch r.Op {
	case opWatch:
		p.watch(conn)
	case opSignal:
		acknowledge(conn, unix.Kill(p.pid, unix.Signal(r.Signal)))
	case opKill:
		p.kill()
		acknowledge(conn, nil)
	case opReopen:
		if len(files) != 1 {
			acknowledge(conn, errors.New("a log file is missing"))
			break
		}
		p.logs.reopen(files[0])
		acknowledge(conn, nil)
		return
	case opExec:
		p.exec(conn, r, files)
		return
	case opAttach:
		p.attach(conn, r, files)
		return
	default:
		acknowledge(conn, fmt.Errorf("unknown operation %q", r.Op))
	}
	closeAll(files)
}

// acknowledge answers; a client that does not wait for it has lost nothing.
func acknowledge(conn *net.UnixConn, err error) {
	var r reply
	if err != nil {
		r.Error = err.Error()
	}
	_ = send(conn, r)
}

func (p *initProcess) watch(conn *net.UnixConn) {
	p.watchers.Add(1)
	defer p.watchers.Add(-1)
	_ = send(conn, reply{Started: true})
	gone := make(chan struct{})
	go func() {
		_, _ = conn.Read(make([]byte, 1))
		close(gone)
	}()
	select {
	case <-p.ended:
		_ = send(conn, reply{Exit: p.exit.Load()})
	case <-gone:
	}
}

// kill ends the command; run() sees to the rest.
func (p *initProcess) kill() {
	_ = unix.Kill(p.pid, unix.SIGKILL)
}

// take picks a stream of a request from the files that came with it.
func take(files *[]*os.File, wanted bool) *os.File {
	if !wanted || len(*files) == 0 {
		return nil
	}
	f := (*files)[0]
	*files = (*files)[1:]
	return f
}

// exec runs a further command. It ends with the connection: a client that is gone wants no answer.
func (p *initProcess) exec(conn *net.UnixConn, r request, files []*os.File) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		acknowledge(conn, err)
		closeAll(files)
		return
	}
	defer null.Close()
	all := files
	streams := [3]*os.File{take(&files, r.In), take(&files, r.Out), take(&files, r.Err)}
	for i := range streams {
		if streams[i] == nil {
			streams[i] = null
		}
	}
	var master *os.File
	if r.TTY {
		terminal, slave, err := openTerminal(r.Size, p.spec.Process.Identity)
		if err != nil {
			acknowledge(conn, err)
			closeAll(all)
			return
		}
		defer terminal.Close()
		all = append(all, slave)
		master, streams = terminal, [3]*os.File{slave, slave, slave}
	}
	pid, done, err := p.children.start(p.spec.Process, r.Argv, streams, r.TTY)
	closeAll(all)
	if err != nil {
		acknowledge(conn, err)
		return
	}
	if master != nil {
		err = send(conn, reply{Started: true}, master)
	} else {
		err = send(conn, reply{Started: true})
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var next request
			if _, err := receive(conn, &next); err != nil {
				return
			}
			resize(master, next.Size)
		}
	}()
	if err != nil {
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	select {
	case code := <-done:
		_ = send(conn, reply{Exit: &Exit{Code: code}})
	case <-gone:
		_ = unix.Kill(-pid, unix.SIGKILL)
		<-done
	}
}

// attach joins a client's streams with the command's until the client leaves or the command ends.
func (p *initProcess) attach(conn *net.UnixConn, r request, files []*os.File) {
	in, out, errs := take(&files, r.In), take(&files, r.Out), take(&files, r.Err)
	resize(p.terminal, r.Size)
	var open sync.WaitGroup
	var leave []func()
	for _, s := range []struct {
		to   *os.File
		from *output
	}{{out, p.out}, {errs, p.err}} {
		if s.to != nil {
			open.Add(1)
			leave = append(leave, s.from.join(s.to, open.Done))
		}
	}
	_ = send(conn, reply{Started: true})
	switch {
	case in != nil && p.stdin != nil:
		go p.stdin.copy(in)
	case in != nil:
		_ = in.Close()
	}
	go func() {
		select {
		case <-p.ended:
		default:
			open.Wait()
			if len(leave) > 0 {
				_ = conn.CloseWrite()
			}
		}
	}()
	for {
		var next request
		if _, err := receive(conn, &next); err != nil {
			break
		}
		resize(p.terminal, next.Size)
	}
	for _, l := range leave {
		l()
	}
}
