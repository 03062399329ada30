package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestALogLineHasTimeStreamTagAndText(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("echo out; sleep 0.05; echo err >&2; sleep 0.05; printf 'no newline'")
		log := n.log(n.exited(id).LogPath)
		want := regexp.MustCompile(`^\S+Z stdout F out\n\S+Z stderr F err\n\S+Z stdout P no newline\n$`)
		if !want.MatchString(log) {
			t.Errorf("got %q", log)
		}
		for line := range strings.Lines(log) {
			if _, err := time.Parse(time.RFC3339Nano, strings.Fields(line)[0]); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestALongLineIsWrittenInPartsThatMakeItAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("head -c 40000 /dev/zero | tr '\\0' x; echo; echo next")
		log := n.log(n.exited(id).LogPath)
		same(t, "text", text(log), strings.Repeat("x", 40000)+"\nnext")
		if parts := strings.Count(log, "stdout P "); parts != 2 {
			t.Errorf("got %d parts, want 2", parts)
		}
	})
}

func TestRotationLosesAndDoublesNoLine(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		data := n.folder("data")
		// Half of the lines wait for the second rotation, however late it comes.
		id := n.run(`i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); [ $i -eq 10000 ] && while [ ! -e /data/twice ]; do sleep 0.01; done; done; true`,
			mount(data, "/data", false))
		path := n.status(id).LogPath
		var all string
		rotations := 0
		for n.status(id).State == rt.ContainerState_CONTAINER_RUNNING {
			rotation := rotations
			rotations++
			time.Sleep(10 * time.Millisecond)
			old := fmt.Sprintf("%s.%d", path, rotation)
			must(t, os.Rename(path, old))
			_, err := n.runtime.ReopenContainerLog(t.Context(), &rt.ReopenContainerLogRequest{ContainerId: id})
			if err != nil {
				n.exited(id) // nothing else excuses it, and the state may come a moment later
			}
			if rotations == 2 {
				must(t, os.WriteFile(filepath.Join(data, "twice"), nil, 0o644))
			}
		}
		for rotation := range rotations {
			all += n.log(fmt.Sprintf("%s.%d", path, rotation))
		}
		if b, err := os.ReadFile(path); err == nil {
			all += string(b)
		}
		var want strings.Builder
		for i := range 20000 {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		if text(all)+"\n" != want.String() {
			t.Errorf("got %d lines, want 20000 in order", strings.Count(all, "\n"))
		}
	})
}
