package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestAContainerRunsItsCommandAndExitsWithItsCode(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("echo hello; exit 3")
		s := n.exited(id)
		if s.ExitCode != 3 || s.Reason != "Error" {
			t.Errorf("got exit code %d and reason %q", s.ExitCode, s.Reason)
		}
		same(t, "log", text(n.log(s.LogPath)), "hello")
		if s.CreatedAt > s.StartedAt || s.StartedAt > s.FinishedAt+int64(time.Second) {
			t.Errorf("times out of order: %d %d %d", s.CreatedAt, s.StartedAt, s.FinishedAt)
		}
		if s := n.exited(n.run("true")); s.ExitCode != 0 || s.Reason != "Completed" {
			t.Errorf("got exit code %d and reason %q", s.ExitCode, s.Reason)
		}
		if s := n.exited(n.run("kill -9 $$")); s.ExitCode != 137 {
			t.Errorf("a command that is killed exits with %d, not 137", s.ExitCode)
		}
	})
}

func TestTheCommandOfAPodReplacesTheEntryPointAndDropsItsArguments(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		for _, test := range []struct {
			name          string
			command, args []string
			want          string
		}{
			{"neither: the image's", nil, nil, "image 1\n/opt"},
			{"args replace the image's args", nil, []string{"echo args"}, "args"},
			{"command drops the image's args", []string{"echo", "command"}, nil, "command"},
			{"both", []string{"echo", "a"}, []string{"b"}, "a b"},
		} {
			t.Run(test.name, func(t *testing.T) {
				got := n.says("", image("full"), func(c *rt.ContainerConfig) { c.Command, c.Args = test.command, test.args })
				same(t, "output", got, test.want)
			})
		}
		pod, c := n.pod()
		_, err := n.create(pod, c, "", image("nothing"), func(c *rt.ContainerConfig) { c.Args = nil })
		if err == nil || !strings.Contains(err.Error(), "no command") {
			t.Errorf("without any command: %v", err)
		}
	})
}

func TestTheEnvironmentIsTheImagesOverriddenByThePods(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		got := n.says(`echo "$WHO $EXTRA $HOSTNAME $POD_IP"`, image("full"), func(c *rt.ContainerConfig) {
			c.Envs = []*rt.KeyValue{{Key: "WHO", Value: []byte("pod")}}
		})
		if !strings.HasPrefix(got, "pod 1 box 127.88.0.") {
			t.Errorf("got %q", got)
		}
	})
}

func TestACommandThatDoesNotExistFailsToStartAndSaysSo(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		for _, test := range []struct{ name, command, dir, want string }{
			{"by name", "nosuch", "", `command "nosuch" not found in image "sh"`},
			{"by path", "/nosuch/x", "", `command "/nosuch/x" not found in image "sh"`},
			{"in a home", "/home/x/bin/y", "", "only if the image shows it"},
			{"a folder", "/usr", "", `command "/usr" not found`},
			{"no such interpreter", "/etc/hostname-script", "", "interpreter"},
			{"relative folder", "true", "here", "not absolute"},
		} {
			t.Run(test.name, func(t *testing.T) {
				script := n.write("script", "#!/no/such/interpreter\n")
				must(t, os.Chmod(script, 0o755))
				pod, c := n.pod()
				id, err := n.create(pod, c, "", mount(script, "/etc/hostname-script", true), func(c *rt.ContainerConfig) {
					c.Command, c.Args, c.WorkingDir = []string{test.command}, nil, test.dir
				})
				must(t, err)
				err = n.start(id)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want something with %q", err, test.want)
				}
				if s := n.status(id); s.ExitCode != 128 || s.Reason != "StartError" {
					t.Errorf("got exit code %d and reason %q", s.ExitCode, s.Reason)
				}
			})
		}
	})
}

func TestStopSendsTheStopSignalAndKillsWhenTheGracePeriodIsOver(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		trap := func(signal string) string {
			return fmt.Sprintf("trap 'echo got %s; exit 7' %s; echo ready; while :; do sleep 0.05; done", signal, signal)
		}
		ready := func(id string) {
			eventually(t, "the command is ready", func() bool { return strings.Contains(n.log(n.status(id).LogPath), "ready") })
		}
		term := n.run(trap("TERM"))
		ready(term)
		n.stopContainer(term, 30)
		if s := n.status(term); s.ExitCode != 7 || text(n.log(s.LogPath)) != "ready\ngot TERM" {
			t.Errorf("after SIGTERM: exit code %d, log %q", s.ExitCode, n.log(s.LogPath))
		}
		quit := n.run(trap("QUIT"), func(c *rt.ContainerConfig) { c.StopSignal = rt.Signal_SIGQUIT })
		ready(quit)
		n.stopContainer(quit, 30)
		contains(t, "log of a container with a stop signal", n.log(n.status(quit).LogPath), "got QUIT")

		deaf := n.run("trap '' TERM; echo ready; while :; do sleep 0.05; done")
		ready(deaf)
		began := time.Now()
		n.stopContainer(deaf, 1)
		if took := time.Since(began); took < time.Second || took > 3*time.Second {
			t.Errorf("a deaf container took %v to stop", took)
		}
		if s := n.status(deaf); s.ExitCode != 137 {
			t.Errorf("a killed container exits with %d, not 137", s.ExitCode)
		}
		n.stopContainer(deaf, 1) // again is no error
		n.stopContainer("no-such-container", 1)
	})
}

func TestWhatACommandLeavesBehindIsReapedAndEndsWithItsContainer(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("(setsid sleep 4321 &) ; (sh -c 'sleep 0.01' &) ; sleep 4322")
		eventually(t, "the orphan runs", func() bool { out, _ := n.ask(id, "ps", "-eo", "args"); return strings.Contains(out, "sleep 4321") })
		eventually(t, "the dead orphan is reaped", func() bool { out, _ := n.ask(id, "ps", "-eo", "stat"); return !strings.Contains(out, "Z") })
		n.stopContainer(id, 0)
		eventually(t, "the orphan is gone", func() bool { return !machineRuns("sleep 4321") })
	})
}

func machineRuns(args string) bool {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.TrimSuffix(strings.ReplaceAll(string(b), "\x00", " "), " ") == args {
			return true
		}
	}
	return false
}

func TestAContainerStartsOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("true")
		if err := n.start(id); err == nil {
			t.Error("a container that has started can be started again")
		}
	})
}

func TestContainersAndSandboxesAreListedByFilter(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		other, _ := n.pod(func(c *rt.PodSandboxConfig) { c.Labels = map[string]string{"app": "other"} })
		runs := n.runIn(pod, c, "sleep 100")
		ended := n.runIn(pod, c, "true")
		n.exited(ended)
		list := func(f *rt.ContainerFilter) string {
			r, err := n.runtime.ListContainers(t.Context(), &rt.ListContainersRequest{Filter: f})
			must(t, err)
			names := map[string]string{runs: "runs", ended: "ended"}
			var out []string
			for _, c := range r.Containers {
				out = append(out, names[c.Id])
			}
			return strings.Join(out, ",")
		}
		same(t, "running", list(&rt.ContainerFilter{State: &rt.ContainerStateValue{State: rt.ContainerState_CONTAINER_RUNNING}}), "runs")
		same(t, "by ID", list(&rt.ContainerFilter{Id: ended}), "ended")
		same(t, "of another Pod", list(&rt.ContainerFilter{PodSandboxId: other}), "")
		pods, err := n.runtime.ListPodSandbox(t.Context(), &rt.ListPodSandboxRequest{Filter: &rt.PodSandboxFilter{LabelSelector: map[string]string{"app": "other"}}})
		must(t, err)
		if len(pods.Items) != 1 || pods.Items[0].Id != other {
			t.Errorf("got %v", pods.Items)
		}
		_, err = n.runtime.StopPodSandbox(t.Context(), &rt.StopPodSandboxRequest{PodSandboxId: pod})
		must(t, err)
		if s := n.status(runs); s.State != rt.ContainerState_CONTAINER_EXITED {
			t.Error("a container outlives its sandbox")
		}
		_, err = n.runtime.RemovePodSandbox(t.Context(), &rt.RemovePodSandboxRequest{PodSandboxId: pod})
		must(t, err)
		same(t, "all", list(nil), "")
		left, err := os.ReadDir(n.path("state/containers"))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("left in the state folder: %v", left)
		}
	})
}

func TestEveryPodHasAnAddressOfItsOwnThatServersCanBind(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		seen := map[string]bool{}
		for range 3 {
			pod, _ := n.pod()
			r, err := n.runtime.PodSandboxStatus(t.Context(), &rt.PodSandboxStatusRequest{PodSandboxId: pod})
			must(t, err)
			seen[r.Status.Network.Ip] = true
		}
		if len(seen) != 3 {
			t.Errorf("three Pods have the addresses %v", seen)
		}
	})
}

func TestAPodOfTheMachinesNetworkHasNoAddressOfItsOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, _ := n.pod(func(c *rt.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = rt.NamespaceMode_NODE
			c.Hostname = ""
		})
		r, err := n.runtime.PodSandboxStatus(t.Context(), &rt.PodSandboxStatusRequest{PodSandboxId: pod})
		must(t, err)
		same(t, "address", r.Status.Network.Ip, "")
	})
}
