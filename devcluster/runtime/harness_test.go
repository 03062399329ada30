package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/box"
)

// The tests are a kubelet: they talk CRI over the socket to this very program, which runs as a process of its own, so that it
// can be killed. Each way to run it (kind) must behave alike, except where the CRI lets the machine decide.

// plainUser is any user without rights of its own.
const plainUser = 61234

func TestMain(m *testing.M) {
	if box.Inside(os.Args[1:]) {
		return
	}
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--socket") {
		main()
		return
	}
	os.Exit(m.Run())
}

// kind is a way to run the runtime.
type kind string

const (
	asRoot  kind = "root"
	asPlain kind = "plain user"
)

// kinds are those that can be run from here: a plain user cannot become root.
func kinds() []kind {
	if os.Geteuid() == 0 {
		return []kind{asRoot, asPlain}
	}
	return []kind{asPlain}
}

// everywhere runs a test for each kind, with one runtime each.
func everywhere(t *testing.T, test func(t *testing.T, n *node)) {
	t.Helper()
	for _, k := range kinds() {
		t.Run(string(k), func(t *testing.T) { test(t, start(t, k)) })
	}
}

// node is a runtime that runs.
type node struct {
	t       *testing.T
	kind    kind
	dir     string
	command *exec.Cmd
	runtime rt.RuntimeServiceClient
	images  rt.ImageServiceClient
}

const imageFile = `
sh: {command: [sh, -c]}
full: {command: [sh, -c], args: ['echo "$WHO $EXTRA"; pwd'], env: {WHO: image, EXTRA: "1"}, workingDir: /opt, user: 1000}
nothing: {}
`

func start(t *testing.T, k kind) *node {
	t.Helper()
	if k == asRoot && os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	n := &node{t: t, kind: k, dir: shortDir(t)}
	n.write("images.yaml", imageFile)
	if err := os.MkdirAll(filepath.Join(n.dir, "cdi"), 0o755); err != nil {
		t.Fatal(err)
	}
	n.serve()
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(n.dir, "runtime.log"))
			t.Logf("runtime:\n%s", b)
		}
		n.stop()
	})
	return n
}

// shortDir is a folder whose sockets have short paths and which a plain user may own.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "state"), 0o700))
	if os.Geteuid() == 0 {
		must(t, os.Chmod(dir, 0o777))
		self, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "runtime"), self, 0o755))
	} else {
		self, err := os.Executable()
		must(t, err)
		must(t, os.Symlink(self, filepath.Join(dir, "runtime")))
	}
	return dir
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// write makes a file that everyone can read.
func (n *node) write(name, text string) string {
	n.t.Helper()
	must(n.t, os.MkdirAll(filepath.Dir(n.path(name)), 0o755))
	must(n.t, os.WriteFile(n.path(name), []byte(text), 0o644))
	return n.path(name)
}

// give makes a folder that belongs to whoever runs the runtime.
func (n *node) folder(name string) string {
	n.t.Helper()
	must(n.t, os.MkdirAll(n.path(name), 0o755))
	n.give(n.path(name))
	return n.path(name)
}

func (n *node) give(path string) {
	if n.kind == asPlain && os.Geteuid() == 0 {
		must(n.t, os.Chown(path, plainUser, plainUser))
	}
}

// serve starts the runtime on the node's folder.
func (n *node) serve() {
	n.t.Helper()
	n.give(n.path("state"))
	argv := []string{n.path("runtime"), "--socket=" + n.path("s"), "--state=" + n.path("state"), "--images=" + n.path("images.yaml"), "--cdi=" + n.path("cdi"), "--network=127.88.0.0/16"}
	if n.kind == asPlain {
		argv = append([]string{"unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"}, argv...)
		if os.Geteuid() == 0 {
			argv = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", plainUser), fmt.Sprintf("--regid=%d", plainUser), "--clear-groups"}, argv...)
		}
	}
	log, err := os.OpenFile(n.path("runtime.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(n.t, err)
	defer log.Close()
	n.command = exec.Command(argv[0], argv[1:]...)
	n.command.Stdout, n.command.Stderr = log, log
	must(n.t, n.command.Start())
	eventually(n.t, "the runtime listens", func() bool {
		c, err := net.Dial("unix", n.path("s"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	conn, err := grpc.NewClient("unix://"+n.path("s"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(n.t, err)
	n.t.Cleanup(func() { _ = conn.Close() })
	n.runtime, n.images = rt.NewRuntimeServiceClient(conn), rt.NewImageServiceClient(conn)
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := n.runtime.Version(ctx, &rt.VersionRequest{}, grpc.WaitForReady(true)); err != nil {
		b, _ := os.ReadFile(n.path("runtime.log"))
		n.t.Fatalf("the runtime does not come up: %v\n%s", err, b)
	}
}

// kill ends the runtime as kill -9 does.
func (n *node) kill() {
	n.t.Helper()
	must(n.t, n.command.Process.Kill())
	_ = n.command.Wait()
}

// stop ends the runtime as its supervisor does, and checks that nothing stays.
func (n *node) stop() {
	_ = n.command.Process.Signal(unix.SIGTERM)
	done := make(chan struct{})
	go func() { _ = n.command.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		n.t.Error("the runtime does not end")
		_ = n.command.Process.Kill()
	}
	for _, line := range n.processes() {
		n.t.Errorf("left behind: %s", line)
	}
}

// processes lists the processes that hold the node's folder open or were started by it.
func (n *node) processes() (out []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && strings.HasPrefix(exe, n.dir+"/") {
			line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			out = append(out, e.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}

type podOption func(*rt.PodSandboxConfig)

// pod runs a sandbox and returns its ID and configuration.
func (n *node) pod(options ...podOption) (string, *rt.PodSandboxConfig) {
	n.t.Helper()
	c := &rt.PodSandboxConfig{
		Metadata: &rt.PodSandboxMetadata{Name: "pod", Namespace: "default", Uid: "u", Attempt: 0}, Hostname: "box", LogDirectory: n.folder("logs"),
		Labels: map[string]string{"app": "test"},
		Linux:  &rt.LinuxPodSandboxConfig{SecurityContext: &rt.LinuxSandboxSecurityContext{NamespaceOptions: &rt.NamespaceOption{Pid: rt.NamespaceMode_CONTAINER}}},
	}
	for _, o := range options {
		o(c)
	}
	r, err := n.runtime.RunPodSandbox(n.t.Context(), &rt.RunPodSandboxRequest{Config: c})
	must(n.t, err)
	return r.PodSandboxId, c
}

type option func(*rt.ContainerConfig)

var containerCount = 0

// create makes a container that runs a script.
func (n *node) create(pod string, c *rt.PodSandboxConfig, script string, options ...option) (string, error) {
	n.t.Helper()
	containerCount++
	name := fmt.Sprintf("c%d", containerCount)
	config := &rt.ContainerConfig{
		Metadata: &rt.ContainerMetadata{Name: name}, Image: &rt.ImageSpec{Image: "sh"}, Args: []string{script}, LogPath: name + ".log",
		Linux: &rt.LinuxContainerConfig{SecurityContext: &rt.LinuxContainerSecurityContext{NamespaceOptions: &rt.NamespaceOption{Pid: rt.NamespaceMode_CONTAINER}}},
	}
	for _, o := range options {
		o(config)
	}
	r, err := n.runtime.CreateContainer(n.t.Context(), &rt.CreateContainerRequest{PodSandboxId: pod, Config: config, SandboxConfig: c})
	if err != nil {
		return "", err
	}
	return r.ContainerId, nil
}

func (n *node) start(id string) error {
	_, err := n.runtime.StartContainer(n.t.Context(), &rt.StartContainerRequest{ContainerId: id})
	return err
}

// run starts a script in a Pod of its own and returns the container's ID.
func (n *node) run(script string, options ...option) string {
	n.t.Helper()
	pod, c := n.pod()
	return n.runIn(pod, c, script, options...)
}

func (n *node) runIn(pod string, c *rt.PodSandboxConfig, script string, options ...option) string {
	n.t.Helper()
	id, err := n.create(pod, c, script, options...)
	must(n.t, err)
	must(n.t, n.start(id))
	return id
}

func (n *node) status(id string) *rt.ContainerStatus {
	n.t.Helper()
	r, err := n.runtime.ContainerStatus(n.t.Context(), &rt.ContainerStatusRequest{ContainerId: id})
	must(n.t, err)
	return r.Status
}

// exited waits for a container's end.
func (n *node) exited(id string) *rt.ContainerStatus {
	n.t.Helper()
	var s *rt.ContainerStatus
	eventually(n.t, "the container ends", func() bool {
		s = n.status(id)
		return s.State == rt.ContainerState_CONTAINER_EXITED
	})
	return s
}

// says runs a script to its end and returns what it wrote, without the kubelet's part of the lines.
func (n *node) says(script string, options ...option) string {
	n.t.Helper()
	id := n.run(script, options...)
	s := n.exited(id)
	return text(n.log(s.LogPath))
}

func (n *node) log(path string) string {
	b, err := os.ReadFile(path)
	must(n.t, err)
	return string(b)
}

// text gives the text of a log in the CRI's format.
func text(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		b.WriteString(fields[3])
		if fields[2] == "F" {
			b.WriteByte('\n')
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ask runs a command in a container and returns its output and exit code.
func (n *node) ask(id string, argv ...string) (string, int32) {
	n.t.Helper()
	r, err := n.runtime.ExecSync(n.t.Context(), &rt.ExecSyncRequest{ContainerId: id, Cmd: argv, Timeout: 10})
	must(n.t, err)
	return strings.TrimSuffix(string(r.Stdout)+string(r.Stderr), "\n"), r.ExitCode
}

func (n *node) stopContainer(id string, grace int64) {
	n.t.Helper()
	_, err := n.runtime.StopContainer(n.t.Context(), &rt.StopContainerRequest{ContainerId: id, Timeout: grace})
	must(n.t, err)
}

// limits reads what the runtime says this machine lacks.
func (n *node) limits() string {
	r, err := n.runtime.Status(n.t.Context(), &rt.StatusRequest{Verbose: true})
	must(n.t, err)
	return r.Info["limits"]
}

// Options of containers.

func security(change func(*rt.LinuxContainerSecurityContext)) option {
	return func(c *rt.ContainerConfig) { change(c.Linux.SecurityContext) }
}

func mount(host, path string, readOnly bool) option {
	return func(c *rt.ContainerConfig) {
		c.Mounts = append(c.Mounts, &rt.Mount{HostPath: host, ContainerPath: path, Readonly: readOnly})
	}
}

func image(name string) option {
	return func(c *rt.ContainerConfig) { c.Image.Image = name }
}

func asUser(uid int64) option {
	return security(func(s *rt.LinuxContainerSecurityContext) { s.RunAsUser = &rt.Int64Value{Value: uid} })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("in vain: %s", what)
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want something with %q", what, got, want)
	}
}
