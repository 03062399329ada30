package box

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if Inside(os.Args[1:]) {
		return
	}
	// Mounts need a namespace in which we may make them; root has one, everyone else makes one first.
	if os.Geteuid() != 0 {
		command := exec.Command("unshare", append([]string{"--user", "--map-root-user", "--mount", "--propagation", "private", os.Args[0]}, os.Args[1:]...)...)
		command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
		if command.Run() != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestWithoutOverlaysABoxShowsTheMachinesFoldersAsTheyAre(t *testing.T) {
	folder := t.TempDir()
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h, err := Launch(Spec{
		Folder: folder, Layer: LayerNone, PID: PIDOwn, Hostname: "box",
		Mounts:  []Mount{{Host: folder, Path: "/deep/below"}},
		Process: Process{Argv: []string{"sh", "-c", "ls /deep/below/log /usr/bin/env; echo x > /tmp/x && hostname; exit 4"}, Env: []string{"PATH=/usr/bin:/bin"}, Image: "i"},
	}, log, 0, func(int) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	exit := h.Watch()
	Reap(h.PID)
	if exit == nil || exit.Code != 4 {
		t.Errorf("got %v", exit)
	}
	b, _ := os.ReadFile(log.Name())
	for _, want := range []string{"/deep/below/log", "/usr/bin/env", "F box"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the log lacks %q: %s", want, b)
		}
	}
}

func TestABoxOfANewerProcessWithTheSameNumberIsNotAlive(t *testing.T) {
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !(Handle{PID: os.Getpid(), Start: start}).Alive() {
		t.Error("we are not alive")
	}
	if (Handle{PID: os.Getpid(), Start: start - 1}).Alive() {
		t.Error("an earlier process of our number is alive")
	}
}

func TestIdentitiesAreMappedToTheMachinesByTheirRange(t *testing.T) {
	ranges := []IDRange{{0, 5000, 10}, {100, 9000, 1}}
	for inside, want := range map[int]int{0: 5000, 9: 5009, 10: 10, 100: 9000} {
		if got := outside(ranges, inside); got != want {
			t.Errorf("%d: got %d, want %d", inside, got, want)
		}
	}
}

func TestAncestorsComeTopmostFirst(t *testing.T) {
	if got := slices.Collect(ancestors("ssl/private/key")); !slices.Equal(got, []string{"ssl", "ssl/private"}) {
		t.Errorf("got %v", got)
	}
}

func TestPathsOfOverlaysAreEscaped(t *testing.T) {
	if got := escaped(`/a:b,c\d`); got != `/a\:b\,c\\d` {
		t.Errorf("got %s", got)
	}
}

func TestExitCodesOfSignalsAre128AndTheSignal(t *testing.T) {
	for status, want := range map[unix.WaitStatus]int{0: 0, 3 << 8: 3, unix.WaitStatus(unix.SIGKILL): 137, unix.WaitStatus(unix.SIGTERM): 143} {
		if got := exitCode(status); got != want {
			t.Errorf("%v: got %d, want %d", status, got, want)
		}
	}
}
