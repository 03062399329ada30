// Package cgroups holds containers to their limits where the machine lets us.
//
// Groups are made below one of our own: with cgroup v2 at the top of what we see (a group that has
// processes cannot divide its resources, so not below our own), with v1 below the group we are in, so that whatever
// bounds us also bounds our containers. A plain user can usually write neither: then there are no limits, which Open says
// in its error and the runtime says once. Only what is asked for is set, and every group is removed with its container.
package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Root is where cgroups are mounted.
const Root = "/sys/fs/cgroup"

// controllers that we use, in the names of v1.
var controllers = []string{"cpu", "cpuacct", "memory", "pids"}

// Tree makes groups.
type Tree struct {
	v2 bool
	// dirs are the folders of our own group: one for v2, one for each controller for v1.
	dirs map[string]string
}

// Limits is what a group may use; zero means unlimited.
type Limits struct {
	CPUQuota, CPUPeriod, CPUShares int64 // microseconds, microseconds, 2 to 262144
	MemoryBytes                    int64
	Unified                        map[string]string // files of cgroup v2, verbatim
}

// Usage is what a group used.
type Usage struct {
	CPUNanoseconds, MemoryBytes, WorkingSetBytes, RSSBytes, Processes uint64
}

// Open makes our own group, named so that several runtimes get along.
func Open(root, name string) (*Tree, error) {
	t := &Tree{dirs: map[string]string{}}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return t, t.openUnified(root, name)
	}
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(memberships)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			if !slices.Contains(controllers, c) {
				continue
			}
			dir := filepath.Join(root, c, parts[2], name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Close()
				return nil, fmt.Errorf("make cgroup: %w", err)
			}
			t.dirs[c] = dir
		}
	}
	if len(t.dirs) == 0 {
		return nil, fmt.Errorf("no cgroup controllers below %s", root)
	}
	return t, nil
}

func (t *Tree) openUnified(root, name string) error {
	t.v2 = true
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make cgroup: %w", err)
	}
	t.dirs[""] = dir
	for _, parent := range []string{root, dir} {
		for _, c := range []string{"cpu", "memory", "pids"} {
			if err := write(parent, "cgroup.subtree_control", "+"+c); err != nil {
				t.Close()
				return fmt.Errorf("hand on cgroup controller %s: %w", c, err)
			}
		}
	}
	return nil
}

// Close removes our own group once it is empty.
func (t *Tree) Close() {
	for _, dir := range t.dirs {
		_ = os.Remove(dir)
	}
}

// Group is that of one container.
type Group struct {
	v2   bool
	dirs map[string]string
}

// Group names a container's group, whether it exists or not.
func (t *Tree) Group(id string) *Group {
	g := &Group{v2: t.v2, dirs: map[string]string{}}
	for c, dir := range t.dirs {
		g.dirs[c] = filepath.Join(dir, id)
	}
	return g
}

// Names lists the groups there are.
func (t *Tree) Names() []string {
	seen := map[string]bool{}
	for _, dir := range t.dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() {
				seen[e.Name()] = true
			}
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	return out
}

// Create makes the group with its limits.
func (g *Group) Create(l Limits) error {
	for _, dir := range g.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return g.Set(l)
}

// Set changes the limits.
func (g *Group) Set(l Limits) error {
	for _, s := range g.settings(l) {
		if err := write(g.dir(s.controller), s.file, s.value); err != nil {
			return fmt.Errorf("limit %s to %s: %w", s.file, s.value, err)
		}
	}
	return nil
}

type setting struct{ controller, file, value string }

func (g *Group) settings(l Limits) []setting {
	var out []setting
	add := func(on bool, controller, file, value string) {
		if on && g.dir(controller) != "" {
			out = append(out, setting{controller, file, value})
		}
	}
	period := l.CPUPeriod
	if period == 0 {
		period = 100_000 // the kernel's and the kubelet's default
	}
	if g.v2 {
		quota := "max"
		if l.CPUQuota > 0 {
			quota = strconv.FormatInt(l.CPUQuota, 10)
		}
		add(l.CPUQuota != 0, "", "cpu.max", fmt.Sprintf("%s %d", quota, period))
		add(l.CPUShares > 0, "", "cpu.weight", strconv.FormatInt(weight(l.CPUShares), 10))
		add(l.MemoryBytes > 0, "", "memory.max", strconv.FormatInt(l.MemoryBytes, 10))
		for file, value := range l.Unified {
			add(!strings.Contains(file, "/"), "", file, value)
		}
		return out
	}
	add(l.CPUQuota != 0, "cpu", "cpu.cfs_period_us", strconv.FormatInt(period, 10))
	add(l.CPUQuota != 0, "cpu", "cpu.cfs_quota_us", strconv.FormatInt(l.CPUQuota, 10))
	add(l.CPUShares > 0, "cpu", "cpu.shares", strconv.FormatInt(l.CPUShares, 10))
	add(l.MemoryBytes > 0, "memory", "memory.limit_in_bytes", strconv.FormatInt(l.MemoryBytes, 10))
	add(l.Unified["pids.max"] != "", "pids", "pids.max", l.Unified["pids.max"])
	return out
}

// weight maps cpu.shares (2 to 262144) to cpu.weight (1 to 10000), linearly, as KEP-2254 has it.
func weight(shares int64) int64 {
	const maxShares = 262144
	return 1 + (min(max(shares, 2), maxShares)-2)*9999/(maxShares-2)
}

func (g *Group) dir(controller string) string {
	if g.v2 {
		return g.dirs[""]
	}
	return g.dirs[controller]
}

// Enter puts a process into the group.
func (g *Group) Enter(pid int) error {
	for _, dir := range g.dirs {
		if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// OOMKilled says whether the kernel ended something in the group for its memory.
func (g *Group) OOMKilled() bool {
	if g.v2 {
		return field(filepath.Join(g.dir(""), "memory.events"), "oom_kill") > 0
	}
	return field(filepath.Join(g.dir("memory"), "memory.oom_control"), "oom_kill") > 0
}

// Remove removes the group. Its processes are gone, but the kernel may take a moment to agree.
func (g *Group) Remove() {
	for _, dir := range g.dirs {
		for range 100 {
			if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// Usage reads what the group uses. ok is false where there is no such group.
func (g *Group) Usage() (u Usage, ok bool) {
	if _, err := os.Stat(g.dir("memory")); err != nil {
		return u, false
	}
	var inactive uint64
	if g.v2 {
		dir := g.dir("")
		u.CPUNanoseconds = field(filepath.Join(dir, "cpu.stat"), "usage_usec") * 1000
		u.MemoryBytes = number(filepath.Join(dir, "memory.current"))
		u.RSSBytes = field(filepath.Join(dir, "memory.stat"), "anon")
		inactive = field(filepath.Join(dir, "memory.stat"), "inactive_file")
		u.Processes = number(filepath.Join(dir, "pids.current"))
	} else {
		memory := g.dir("memory")
		u.CPUNanoseconds = number(filepath.Join(g.dir("cpuacct"), "cpuacct.usage"))
		u.MemoryBytes = number(filepath.Join(memory, "memory.usage_in_bytes"))
		u.RSSBytes = field(filepath.Join(memory, "memory.stat"), "total_rss")
		inactive = field(filepath.Join(memory, "memory.stat"), "total_inactive_file")
		u.Processes = number(filepath.Join(g.dir("pids"), "pids.current"))
	}
	u.WorkingSetBytes = u.MemoryBytes - min(inactive, u.MemoryBytes)
	return u, true
}

func write(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
}

func number(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

func field(file, name string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}
