package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestContainersSurviveARuntimeThatIsKilled(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		id := n.runIn(pod, c, "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.01; done")
		before, _ := n.ask(id, "cat", "/proc/uptime")
		path := n.status(id).LogPath
		n.kill()
		size := len(n.log(path))
		eventually(t, "the log grows without a runtime", func() bool { return len(n.log(path)) > size })
		n.serve()
		s := n.status(id)
		if s.State != rt.ContainerState_CONTAINER_RUNNING || s.LogPath != path {
			t.Fatalf("got %v", s)
		}
		after, code := n.ask(id, "cat", "/proc/uptime")
		if before == "" || after == "" || code != 0 {
			t.Errorf("exec after the restart: %q, %d", after, code)
		}
		lines := strings.Split(text(n.log(path)), "\n")
		for i, line := range lines[:len(lines)-1] {
			if line != "tick "+itoa(i) {
				t.Fatalf("line %d of the log is %q", i, line)
			}
		}
		n.stopContainer(id, 0)
		if s := n.status(id); s.ExitCode != 137 {
			t.Errorf("exit code %d after a stop by the second runtime", s.ExitCode)
		}
	})
}

func itoa(i int) string {
	if i >= 10 {
		return itoa(i/10) + string(rune('0'+i%10))
	}
	return string(rune('0' + i))
}

func TestAContainerThatEndedWithoutARuntimeIsReportedWithItsTrueExitCode(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 0.3; echo last words; exit 9")
		n.kill()
		time.Sleep(600 * time.Millisecond)
		n.serve()
		s := n.exited(id)
		if s.ExitCode != 9 || s.Reason != "Error" {
			t.Errorf("got %d, %q", s.ExitCode, s.Reason)
		}
		same(t, "log", text(n.log(s.LogPath)), "last words")
	})
}

func TestAContainerWhoseInitWasKilledIsReportedAsKilled(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("sleep 4333")
		r, err := n.runtime.ContainerStatus(t.Context(), &rt.ContainerStatusRequest{ContainerId: id, Verbose: true})
		must(t, err)
		pid := 0
		for _, d := range r.Info["pid"] {
			pid = pid*10 + int(d-'0')
		}
		must(t, unix.Kill(pid, unix.SIGKILL))
		if s := n.exited(id); s.ExitCode != 137 || s.Reason != "Error" {
			t.Errorf("got %d, %q", s.ExitCode, s.Reason)
		}
		eventually(t, "the command is gone", func() bool { return !machineRuns("sleep 4333") })
	})
}

func TestSandboxesKeepTheirAddressOverARestartAndNewOnesGetOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		address := func(id string) string {
			r, err := n.runtime.PodSandboxStatus(t.Context(), &rt.PodSandboxStatusRequest{PodSandboxId: id})
			must(t, err)
			return r.Status.Network.Ip
		}
		old, _ := n.pod()
		before := address(old)
		n.kill()
		n.serve()
		same(t, "address", address(old), before)
		fresh, _ := n.pod()
		if address(fresh) == before {
			t.Errorf("two Pods have the address %s", before)
		}
	})
}

func TestACreatedContainerCanBeStartedAfterARestart(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		id, err := n.create(pod, c, "echo late")
		must(t, err)
		n.kill()
		n.serve()
		must(t, n.start(id))
		same(t, "log", text(n.log(n.exited(id).LogPath)), "late")
	})
}

func TestWhatAnEarlierRuntimeLeftHalfMadeIsCleared(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		n.run("sleep 100")
		n.kill()
		for _, dir := range []string{"containers/half", "sandboxes/half"} {
			must(t, os.MkdirAll(filepath.Join(n.path("state"), dir), 0o700))
			n.give(filepath.Join(n.path("state"), dir))
			n.write(filepath.Join("state", dir, "record.json"), "{")
		}
		n.serve()
		for _, dir := range []string{"containers/half", "sandboxes/half"} {
			if _, err := os.Stat(filepath.Join(n.path("state"), dir)); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		}
	})
}

func TestARuntimeThatIsToldToEndEndsItsContainers(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done")
		time.Sleep(100 * time.Millisecond)
		path := n.status(id).LogPath
		began := time.Now()
		n.stop()
		if time.Since(began) > 3*time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
		contains(t, "log", n.log(path), "bye")
		n.serve()
		if s := n.status(id); s.State != rt.ContainerState_CONTAINER_EXITED || s.ExitCode != 0 {
			t.Errorf("got %v", s)
		}
	})
}

func TestTheStateFolderAndTheSocketAreForTheirOwnerOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		n.exited(n.run("true"))
		info, err := os.Stat(n.path("s"))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the socket has mode %v", info.Mode())
		}
		must(t, filepath.Walk(n.path("state"), func(path string, info os.FileInfo, err error) error {
			if os.IsNotExist(err) || strings.Contains(path, "/layer") {
				return nil // of the container, and going
			}
			must(t, err)
			open := info.Mode().Perm() & 0o077
			if open != 0 && !(filepath.Ext(path) == ".conf" || filepath.Base(path) == "hostname" || info.Mode()&os.ModeSocket != 0) {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		}))
	})
}
