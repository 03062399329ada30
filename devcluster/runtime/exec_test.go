package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

func TestExecSyncReturnsOutputAndExitCode(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 100")
		out, code := n.ask(id, "sh", "-c", "echo out; echo err >&2; exit 5")
		if out != "out\nerr" || code != 5 {
			t.Errorf("got %q and %d", out, code)
		}
		if _, err := n.runtime.ExecSync(t.Context(), &rt.ExecSyncRequest{ContainerId: id, Cmd: []string{"nosuch"}}); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("a command that does not exist: %v", err)
		}
		n.stopContainer(id, 0)
		_, err := n.runtime.ExecSync(t.Context(), &rt.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("in a container that has ended: %v", err)
		}
	})
}

func TestExecSyncKillsTheCommandWhenTheTimeIsUp(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 100")
		began := time.Now()
		_, err := n.runtime.ExecSync(t.Context(), &rt.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "4323"}, Timeout: 1})
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) > 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		eventually(t, "the command is gone", func() bool { return !machineRuns("sleep 4323") })
	})
}

func TestExecRunsAsTheContainersUserInItsView(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("touch /tmp/mark; sleep 100", security(func(s *rt.LinuxContainerSecurityContext) { s.NoNewPrivs = true }))
		eventually(t, "the mark is there", func() bool { _, code := n.ask(id, "test", "-e", "/tmp/mark"); return code == 0 })
		out, _ := n.ask(id, "grep", "NoNewPrivs", "/proc/self/status")
		contains(t, "no_new_privs", out, "1")
	})
}

// client is a kubectl: it talks SPDY to a streaming URL, in version 4 of the protocol.
type client struct {
	streams map[string]httpstream.Stream
	conn    httpstream.Connection
}

func dial(t *testing.T, address string, names ...string) *client {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	if host, _, _ := net.SplitHostPort(u.Host); host != "127.0.0.1" {
		t.Errorf("streams are served at %s", u.Host)
	}
	transport, err := spdy.NewRoundTripper(nil)
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
	must(t, err)
	request.Header.Set(httpstream.HeaderProtocolVersion, "v4.channel.k8s.io")
	response, err := (&http.Client{Transport: transport}).Do(request)
	must(t, err)
	defer response.Body.Close()
	conn, err := transport.NewConnection(response)
	must(t, err)
	c := &client{streams: map[string]httpstream.Stream{}, conn: conn}
	t.Cleanup(func() { _ = conn.Close() })
	for _, name := range names {
		s, err := conn.CreateStream(http.Header{"Streamtype": {name}})
		must(t, err)
		c.streams[name] = s
	}
	return c
}

func (n *node) exec(id string, tty bool, argv ...string) *client {
	n.t.Helper()
	r, err := n.runtime.Exec(n.t.Context(), &rt.ExecRequest{ContainerId: id, Cmd: argv, Stdin: true, Stdout: true, Stderr: !tty, Tty: tty})
	must(n.t, err)
	names := []string{"error", "stdin", "stdout"}
	if tty {
		names = append(names, "resize")
	} else {
		names = append(names, "stderr")
	}
	return dial(n.t, r.Url, names...)
}

func TestExecStreamsInputOutputAndExitCode(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 100")
		c := n.exec(id, false, "sh", "-c", "cat; echo done >&2; exit 4")
		_, err := io.WriteString(c.streams["stdin"], strings.Repeat("x", 100_000))
		must(t, err)
		must(t, c.streams["stdin"].Close())
		var errs []byte
		var wait sync.WaitGroup
		wait.Go(func() { errs, _ = io.ReadAll(c.streams["stderr"]) })
		out, err := io.ReadAll(c.streams["stdout"])
		must(t, err)
		wait.Wait()
		if len(out) != 100_000 || string(errs) != "done\n" {
			t.Errorf("got %d bytes and %q", len(out), errs)
		}
		end, err := io.ReadAll(c.streams["error"])
		must(t, err)
		contains(t, "exit code", string(end), `"message":"4"`)
	})
}

func TestExecWithATerminalHasATerminalOfTheSizeOfTheClients(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 100")
		c := n.exec(id, true, "sh", "-c", "tty; read line; stty size; echo got $line; exit 2")
		_, err := io.WriteString(c.streams["resize"], `{"Width":99,"Height":33}`+"\n")
		must(t, err)
		var out safeBuffer
		go func() { _, _ = io.Copy(&out, c.streams["stdout"]) }()
		eventually(t, "a terminal", func() bool { return strings.Contains(out.String(), "/dev/pts/") })
		time.Sleep(50 * time.Millisecond) // the resize travels on a stream of its own
		_, err = io.WriteString(c.streams["stdin"], "hello\n")
		must(t, err)
		end, err := io.ReadAll(c.streams["error"])
		must(t, err)
		contains(t, "exit code", string(end), `"message":"2"`)
		eventually(t, "all output", func() bool { return strings.Contains(out.String(), "got hello") })
		contains(t, "size", out.String(), "33 99")
	})
}

func TestAttachSeesWhatComesFromNowOnAndFeedsTheInput(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("echo early; while read line; do echo got $line; done; echo end of input", func(c *rt.ContainerConfig) { c.Stdin, c.StdinOnce = true, true })
		eventually(t, "the first line", func() bool { return strings.Contains(n.log(n.status(id).LogPath), "early") })
		r, err := n.runtime.Attach(t.Context(), &rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
		must(t, err)
		c := dial(t, r.Url, "error", "stdin", "stdout", "stderr")
		_, err = io.WriteString(c.streams["stdin"], "a\nb\n")
		must(t, err)
		must(t, c.streams["stdin"].Close()) // stdinOnce: the command's input ends with the first client's
		out, err := io.ReadAll(c.streams["stdout"])
		must(t, err)
		same(t, "attached", string(out), "got a\ngot b\nend of input\n")
		s := n.exited(id)
		same(t, "log", text(n.log(s.LogPath)), "early\ngot a\ngot b\nend of input")
	})
}

func TestInputStaysOpenBetweenClientsWithoutStdinOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("while read line; do echo got $line; done", func(c *rt.ContainerConfig) { c.Stdin = true })
		for _, word := range []string{"one", "two"} {
			r, err := n.runtime.Attach(t.Context(), &rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true})
			must(t, err)
			c := dial(t, r.Url, "error", "stdin", "stdout")
			_, err = io.WriteString(c.streams["stdin"], word+"\n")
			must(t, err)
			line := make([]byte, len("got one\n"))
			_, err = io.ReadFull(c.streams["stdout"], line)
			must(t, err)
			same(t, "attached", string(line), "got "+word+"\n")
			_ = c.conn.Close()
		}
	})
}

func TestAContainerWithATerminalCanBeAttachedToAndResized(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("read go; stty size; echo bye", func(c *rt.ContainerConfig) { c.Stdin, c.Tty = true, true })
		r, err := n.runtime.Attach(t.Context(), &rt.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Tty: true})
		must(t, err)
		c := dial(t, r.Url, "error", "stdin", "stdout", "resize")
		_, err = io.WriteString(c.streams["resize"], `{"Width":77,"Height":22}`+"\n")
		must(t, err)
		time.Sleep(50 * time.Millisecond)
		_, err = io.WriteString(c.streams["stdin"], "go\n")
		must(t, err)
		out, err := io.ReadAll(c.streams["stdout"])
		must(t, err)
		contains(t, "size", string(out), "22 77")
		contains(t, "output", string(out), "bye")
		n.exited(id)
	})
}

func TestPortForwardReachesTheServerAtThePodsAddress(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, _ := n.pod()
		r, err := n.runtime.PodSandboxStatus(t.Context(), &rt.PodSandboxStatusRequest{PodSandboxId: pod})
		must(t, err)
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", r.Status.Network.Ip+":0")
		must(t, err)
		defer listener.Close()
		go func() {
			if conn, err := listener.Accept(); err == nil {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}
		}()
		port := listener.Addr().(*net.TCPAddr).Port
		f, err := n.runtime.PortForward(t.Context(), &rt.PortForwardRequest{PodSandboxId: pod, Port: []int32{int32(port)}})
		must(t, err)
		c := dialForward(t, f.Url, port)
		_, err = io.WriteString(c.streams["data"], "ping")
		must(t, err)
		must(t, c.streams["data"].Close())
		got, err := io.ReadAll(c.streams["data"])
		must(t, err)
		same(t, "echo", string(got), "ping")
	})
}

func dialForward(t *testing.T, address string, port int) *client {
	t.Helper()
	transport, err := spdy.NewRoundTripper(nil)
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
	must(t, err)
	request.Header.Set(httpstream.HeaderProtocolVersion, "portforward.k8s.io")
	response, err := (&http.Client{Transport: transport}).Do(request)
	must(t, err)
	defer response.Body.Close()
	conn, err := transport.NewConnection(response)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn: conn, streams: map[string]httpstream.Stream{}}
	for _, name := range []string{"error", "data"} {
		s, err := conn.CreateStream(http.Header{"Streamtype": {name}, "Port": {fmt.Sprint(port)}, "Requestid": {"0"}})
		must(t, err)
		c.streams[name] = s
	}
	return c
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
