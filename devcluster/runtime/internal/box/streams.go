package box

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Exec and attach from the runtime's side. A further command gets the ends of pipes, or a terminal whose other end comes
// back; so its data does not pass through the init, and an exec costs the container nothing.

// lingerTime is how long output may still come after a command has ended: what it left running in the
// background may hold the pipe for good.
const lingerTime = time.Second

// Streams are a client's. Each may be nil.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      bool
	Resize   <-chan Size
}

// pipes are the ends that we keep and the ends that we give away.
type pipes struct {
	given   []*os.File
	in      *os.File
	outputs chan struct{}
	readers []*os.File
}

func (s Streams) open() (*pipes, error) {
	p := &pipes{outputs: make(chan struct{}, 2)}
	give := func() (read, write *os.File, err error) {
		if read, write, err = os.Pipe(); err != nil {
			p.close()
		}
		return read, write, err
	}
	if s.In != nil {
		read, write, err := give()
		if err != nil {
			return nil, err
		}
		p.in, p.given = write, append(p.given, read)
	}
	for _, w := range []io.Writer{s.Out, s.Err} {
		if w == nil {
			continue
		}
		read, write, err := give()
		if err != nil {
			return nil, err
		}
		p.readers, p.given = append(p.readers, read), append(p.given, write)
		go func() {
			_, _ = io.Copy(w, read)
			p.outputs <- struct{}{}
		}()
	}
	for _, f := range p.given {
		if _, err := blocking(f); err != nil {
			p.close()
			return nil, err
		}
	}
	if s.In != nil {
		go func() {
			_, _ = io.Copy(p.in, s.In)
			_ = p.in.Close()
		}()
	}
	return p, nil
}

// drain waits for the outputs to end.
func (p *pipes) drain(limit <-chan time.Time) {
	for range p.readers {
		select {
		case <-p.outputs:
		case <-limit:
			return
		}
	}
}

func (p *pipes) close() {
	closeAll(p.given)
	closeAll(p.readers)
	if p.in != nil {
		_ = p.in.Close()
	}
}

// Exec runs a further command in the box and returns its exit code.
func (h Handle) Exec(ctx context.Context, argv []string, s Streams) (int, error) {
	conn, err := h.dial()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if s.TTY {
		return execTerminal(conn, argv, s)
	}
	p, err := s.open()
	if err != nil {
		return 0, err
	}
	defer p.close()
	r := request{Op: opExec, Argv: argv, In: s.In != nil, Out: s.Out != nil, Err: s.Err != nil}
	if err := send(conn, r, p.given...); err != nil {
		return 0, err
	}
	closeAll(p.given)
	p.given = nil
	code, err := awaitExit(conn)
	if err == nil {
		p.drain(time.After(lingerTime))
	}
	return code, err
}

func execTerminal(conn *net.UnixConn, argv []string, s Streams) (int, error) {
	r := request{Op: opExec, Argv: argv, TTY: true}
	if err := send(conn, r); err != nil {
		return 0, err
	}
	var started reply
	files, err := receive(conn, &started)
	if err != nil {
		return 0, err
	}
	if started.Error != "" || len(files) != 1 {
		closeAll(files)
		return 0, errors.New(started.Error)
	}
	master := files[0]
	defer master.Close()
	go func() {
		for size := range s.Resize {
			if send(conn, request{Op: opResize, Size: &size}) != nil {
				return
			}
		}
	}()
	if s.In != nil {
		go func() { _, _ = io.Copy(master, s.In) }()
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if s.Out != nil {
			_, _ = io.Copy(s.Out, master)
		}
	}()
	code, err := awaitExit(conn)
	select {
	case <-drained:
	case <-time.After(lingerTime):
	}
	return code, err
}

func awaitExit(conn *net.UnixConn) (int, error) {
	for {
		var r reply
		if _, err := receive(conn, &r); err != nil {
			if errors.Is(err, io.EOF) {
				return Killed, nil // the container ended, and this command with it
			}
			return 0, err
		}
		if r.Error != "" {
			return 0, errors.New(r.Error)
		}
		if r.Exit != nil {
			return r.Exit.Code, nil
		}
	}
}

// Attach joins a client with the command's own streams until either leaves.
func (h Handle) Attach(ctx context.Context, s Streams) error {
	conn, err := h.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	p, err := s.open()
	if err != nil {
		return err
	}
	defer p.close()
	if err := send(conn, request{Op: opAttach, In: s.In != nil, Out: s.Out != nil, Err: s.Err != nil}, p.given...); err != nil {
		return err
	}
	closeAll(p.given)
	p.given = nil
	go func() {
		for size := range s.Resize {
			if send(conn, request{Op: opResize, Size: &size}) != nil {
				return
			}
		}
	}()
	for {
		var r reply
		if _, err := receive(conn, &r); err != nil {
			break
		}
	}
	p.drain(time.After(lingerTime))
	return nil
}
