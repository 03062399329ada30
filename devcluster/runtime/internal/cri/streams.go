package cri

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"eugo.dev/devcluster/runtime/internal/box"
)

// Exec, attach and port-forward. The kubelet asks for a URL and sends its client there; ExecSync, which probes and
// hooks use, answers by itself.

// maxOutput is how much of each stream ExecSync keeps, as containerd does (and gRPC can carry).
const maxOutput = 8 << 20

func (s *server) running(id string) (box.Handle, error) {
	c, err := s.findContainer(id)
	if err != nil {
		return box.Handle{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.State != rt.ContainerState_CONTAINER_RUNNING {
		return box.Handle{}, status.Errorf(codes.FailedPrecondition, "container %s does not run", id)
	}
	return c.Box, nil
}

// ExecSync runs a command in a container and waits for it; when the time is up it is killed.
func (s *server) ExecSync(ctx context.Context, r *rt.ExecSyncRequest) (*rt.ExecSyncResponse, error) {
	if len(r.Cmd) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no command")
	}
	handle, err := s.running(r.ContainerId)
	if err != nil {
		return nil, err
	}
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Timeout)*time.Second)
		defer cancel()
	}
	var out, errs limitedBuffer
	code, err := handle.Exec(ctx, r.Cmd, box.Streams{Out: &out, Err: &errs})
	if ctx.Err() != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out", r.Cmd)
	}
	if err != nil {
		return nil, status.Errorf(codes.Unknown, "%v", err)
	}
	return &rt.ExecSyncResponse{Stdout: out.content(), Stderr: errs.content(), ExitCode: int32(code)}, nil
}

// limitedBuffer keeps the beginning of an output. A command's background may still write while it is read.
type limitedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p[:min(len(p), maxOutput-l.b.Len())])
	return len(p), nil
}

func (l *limitedBuffer) content() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// Exec gives the URL at which the command will run.
func (s *server) Exec(_ context.Context, r *rt.ExecRequest) (*rt.ExecResponse, error) {
	if _, err := s.running(r.ContainerId); err != nil {
		return nil, err
	}
	return s.streams.GetExec(r)
}

// Attach gives the URL at which the container's own streams are.
func (s *server) Attach(_ context.Context, r *rt.AttachRequest) (*rt.AttachResponse, error) {
	if _, err := s.running(r.ContainerId); err != nil {
		return nil, err
	}
	return s.streams.GetAttach(r)
}

// PortForward gives the URL at which the Pod's ports are.
func (s *server) PortForward(_ context.Context, r *rt.PortForwardRequest) (*rt.PortForwardResponse, error) {
	if _, err := s.podAddress(r.PodSandboxId); err != nil {
		return nil, err
	}
	return s.streams.GetPortForward(r)
}

func (s *server) podAddress(sandboxID string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.sandboxes[sandboxID]
	if p == nil || !p.Ready {
		return "", status.Errorf(codes.NotFound, "no sandbox %s is ready", sandboxID)
	}
	return p.address(), nil
}

// streams is what the streaming server calls. Its methods have the names of the service's, with other arguments.
type streams struct{ s *server }

func (t streams) Exec(ctx context.Context, id string, argv []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	handle, err := t.s.running(id)
	if err != nil {
		return err
	}
	code, err := handle.Exec(ctx, argv, box.Streams{In: in, Out: writer(out), Err: writer(errs), TTY: tty, Resize: sizes(ctx, resize)})
	if err != nil {
		return err
	}
	if code != 0 {
		return &utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

func (t streams) Attach(ctx context.Context, id string, in io.Reader, out, errs io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	handle, err := t.s.running(id)
	if err != nil {
		return err
	}
	return handle.Attach(ctx, box.Streams{In: in, Out: writer(out), Err: writer(errs), Resize: sizes(ctx, resize)})
}

// writer keeps a nil WriteCloser a nil Writer.
func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

func sizes(ctx context.Context, in <-chan remotecommand.TerminalSize) <-chan box.Size {
	if in == nil {
		return nil
	}
	out := make(chan box.Size)
	go func() {
		defer close(out)
		for size := range in {
			select {
			case out <- box.Size{Width: size.Width, Height: size.Height}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (t streams) PortForward(ctx context.Context, sandboxID string, port int32, stream io.ReadWriteCloser) error {
	address, err := t.s.podAddress(sandboxID)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(address, strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("no server of the Pod at its own address (it must bind $POD_IP): %w", err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}
