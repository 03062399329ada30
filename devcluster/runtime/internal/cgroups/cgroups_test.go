package cgroups

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// unified is a folder that looks like cgroup v2: files take what is written to them.
func unified(t *testing.T) (string, *Tree) {
	t.Helper()
	root := t.TempDir()
	for _, file := range []string{"cgroup.controllers", "cgroup.subtree_control"} {
		put(t, filepath.Join(root, file), "")
	}
	if err := os.Mkdir(filepath.Join(root, "own"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "own", "cgroup.subtree_control"), "")
	tree, err := Open(root, "own")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "own", "c"), tree
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheLimitsOfBothVersionsSayTheSame(t *testing.T) {
	limits := Limits{CPUQuota: 50_000, CPUPeriod: 100_000, CPUShares: 1024, MemoryBytes: 64 << 20, Unified: map[string]string{"pids.max": "99"}}
	for _, test := range []struct {
		name   string
		group  Group
		limits Limits
		want   map[string]string
	}{
		{"v2", Group{v2: true, dirs: map[string]string{"": "x"}}, limits, map[string]string{"cpu.max": "50000 100000", "cpu.weight": "39", "memory.max": "67108864", "pids.max": "99"}},
		{"v2 without a quota", Group{v2: true, dirs: map[string]string{"": "x"}}, Limits{CPUQuota: -1}, map[string]string{"cpu.max": "max 100000"}},
		{"v2 without limits", Group{v2: true, dirs: map[string]string{"": "x"}}, Limits{}, map[string]string{}},
		{"v1", Group{dirs: map[string]string{"cpu": "x", "memory": "x", "pids": "x"}}, limits, map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "cpu.shares": "1024", "memory.limit_in_bytes": "67108864", "pids.max": "99"}},
		{"v1 without a memory controller", Group{dirs: map[string]string{"cpu": "x"}}, Limits{MemoryBytes: 1}, map[string]string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := map[string]string{}
			for _, s := range test.group.settings(test.limits) {
				got[s.file] = s.value
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSharesBecomeWeightsAsTheKubeletMapsThem(t *testing.T) {
	for shares, want := range map[int64]int64{0: 1, 2: 1, 1024: 39, 262144: 10000, 999999999: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("weight(%d) = %d, want %d", shares, got, want)
		}
	}
}

func TestAUnifiedGroupIsMadeEnteredReadAndNamed(t *testing.T) {
	dir, tree := unified(t)
	g := tree.Group("c")
	if _, ok := g.Usage(); ok {
		t.Error("a group that does not exist has a usage")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"memory.max": "", "cgroup.procs": "", "cpu.stat": "usage_usec 7\n", "memory.current": "1000\n", "memory.stat": "anon 300\ninactive_file 400\n",
		"pids.current": "2\n", "memory.events": "oom 1\noom_kill 1\n",
	} {
		put(t, filepath.Join(dir, file), text)
	}
	if err := g.Create(Limits{MemoryBytes: 5}); err != nil {
		t.Fatal(err)
	}
	if err := g.Enter(12); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.max": "5", "cgroup.procs": "12"} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != want {
			t.Errorf("%s: got %q, %v", file, b, err)
		}
	}
	u, ok := g.Usage()
	if want := (Usage{CPUNanoseconds: 7000, MemoryBytes: 1000, WorkingSetBytes: 600, RSSBytes: 300, Processes: 2}); !ok || u != want {
		t.Errorf("got %v, want %v", u, want)
	}
	if !g.OOMKilled() {
		t.Error("an OOM kill is not seen")
	}
	if names := tree.Names(); len(names) != 1 || names[0] != "c" {
		t.Errorf("got %v", names)
	}
}
