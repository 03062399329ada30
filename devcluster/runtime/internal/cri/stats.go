package cri

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/cgroups"
)

// What containers use: from their cgroups, or, where there are none, from /proc, summed over the processes that
// share the container's mount namespace.

// clockTicks is the unit of times in /proc, the same on every Linux platform that Go knows.
const clockTicks = 100

// layerAge is how old the size of a writable layer may be: to know it, all its files are looked at.
const layerAge = 15 * time.Second

type layerUsage struct {
	at            time.Time
	bytes, inodes uint64
}

// processes maps a mount namespace to what the processes in it use.
func processes() map[string]cgroups.Usage {
	out := map[string]cgroups.Usage{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		namespace, err := os.Readlink(filepath.Join(dir, "ns/mnt"))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		// pid (name) state …: after the name, field 3 comes first (proc(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		field := func(number int) uint64 {
			n, _ := strconv.ParseUint(fields[number-3], 10, 64)
			return n
		}
		u := out[namespace]
		u.CPUNanoseconds += (field(14) + field(15) + field(16) + field(17)) * uint64(time.Second) / clockTicks
		u.RSSBytes += field(24) * uint64(os.Getpagesize())
		u.Processes++
		u.MemoryBytes, u.WorkingSetBytes = u.RSSBytes, u.RSSBytes
		out[namespace] = u
	}
	return out
}

// measure gives what the wanted containers use now.
func (s *server) measure(wanted func(*container) bool) []*rt.ContainerStats {
	var scanned map[string]cgroups.Usage
	out := []*rt.ContainerStats{}
	for _, c := range s.findContainers(func(c *container) bool { return c.State == rt.ContainerState_CONTAINER_RUNNING && wanted(c) }) {
		var usage cgroups.Usage
		ok := false
		if g := s.group(c); g != nil {
			usage, ok = g.Usage()
		}
		if !ok {
			if scanned == nil {
				scanned = processes()
			}
			namespace, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(c.Box.PID), "ns/mnt"))
			usage = scanned[namespace]
		}
		out = append(out, s.statsOf(c, usage))
	}
	return out
}

func (s *server) statsOf(c *container, u cgroups.Usage) *rt.ContainerStats {
	now := time.Now().UnixNano()
	layer := s.layerOf(c)
	return &rt.ContainerStats{
		Attributes: &rt.ContainerAttributes{Id: c.ID, Metadata: c.config.Metadata, Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        &rt.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: value(u.CPUNanoseconds)},
		Memory:     &rt.MemoryUsage{Timestamp: now, WorkingSetBytes: value(u.WorkingSetBytes), UsageBytes: value(u.MemoryBytes), RssBytes: value(u.RSSBytes)},
		WritableLayer: &rt.FilesystemUsage{
			Timestamp: now, FsId: &rt.FilesystemIdentifier{Mountpoint: s.options.State}, UsedBytes: value(layer.bytes), InodesUsed: value(layer.inodes),
		},
	}
}

func value(n uint64) *rt.UInt64Value { return &rt.UInt64Value{Value: n} }

// layerOf sizes a writable layer.
func (s *server) layerOf(c *container) layerUsage {
	s.mu.Lock()
	known := s.layers[c.ID]
	s.mu.Unlock()
	if time.Since(known.at) < layerAge {
		return known
	}
	fresh := layerUsage{at: time.Now()}
	for _, part := range []string{"root", "upper"} {
		// Files come and go while we look: what cannot be read is not counted.
		_ = filepath.WalkDir(filepath.Join(c.Spec.Folder, "layer", part), func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if info, err := e.Info(); err == nil {
				fresh.inodes++
				if st, ok := info.Sys().(*syscall.Stat_t); ok {
					fresh.bytes += uint64(st.Blocks) * 512
				}
			}
			return nil
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containers[c.ID] == c {
		s.layers[c.ID] = fresh
	}
	return fresh
}

// ContainerStats gives the usage of one container.
func (s *server) ContainerStats(_ context.Context, r *rt.ContainerStatsRequest) (*rt.ContainerStatsResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return nil, err
	}
	if found := s.measure(func(other *container) bool { return other == c }); len(found) > 0 {
		return &rt.ContainerStatsResponse{Stats: found[0]}, nil
	}
	return &rt.ContainerStatsResponse{Stats: s.statsOf(c, cgroups.Usage{})}, nil
}

// ListContainerStats gives the usage of containers that run.
func (s *server) ListContainerStats(_ context.Context, r *rt.ListContainerStatsRequest) (*rt.ListContainerStatsResponse, error) {
	f := r.GetFilter()
	return &rt.ListContainerStatsResponse{Stats: s.measure(func(c *container) bool {
		return (f.GetId() == "" || f.Id == c.ID) && (f.GetPodSandboxId() == "" || f.PodSandboxId == c.SandboxID) && hasLabels(c.config.Labels, f.GetLabelSelector())
	})}, nil
}

// PodSandboxStats gives the usage of one Pod.
func (s *server) PodSandboxStats(_ context.Context, r *rt.PodSandboxStatsRequest) (*rt.PodSandboxStatsResponse, error) {
	found := s.podStats(func(p *sandbox) bool { return p.ID == r.PodSandboxId })
	if len(found) == 0 {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", r.PodSandboxId)
	}
	return &rt.PodSandboxStatsResponse{Stats: found[0]}, nil
}

// ListPodSandboxStats gives the usage of Pods.
func (s *server) ListPodSandboxStats(_ context.Context, r *rt.ListPodSandboxStatsRequest) (*rt.ListPodSandboxStatsResponse, error) {
	f := r.GetFilter()
	return &rt.ListPodSandboxStatsResponse{Stats: s.podStats(func(p *sandbox) bool {
		return p.Ready && (f.GetId() == "" || f.Id == p.ID) && hasLabels(p.config.Labels, f.GetLabelSelector())
	})}, nil
}

// podStats sums over the containers of each wanted Pod.
func (s *server) podStats(wanted func(*sandbox) bool) []*rt.PodSandboxStats {
	s.mu.Lock()
	pods := map[string]*rt.PodSandboxStats{}
	now := time.Now().UnixNano()
	for _, p := range s.sandboxes {
		if wanted(p) {
			pods[p.ID] = &rt.PodSandboxStats{
				Attributes: &rt.PodSandboxAttributes{Id: p.ID, Metadata: p.config.Metadata, Labels: p.config.Labels, Annotations: p.config.Annotations},
				Linux: &rt.LinuxPodSandboxStats{
					Cpu:     &rt.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: value(0)},
					Memory:  &rt.MemoryUsage{Timestamp: now, WorkingSetBytes: value(0), UsageBytes: value(0), RssBytes: value(0)},
					Process: &rt.ProcessUsage{Timestamp: now, ProcessCount: value(0)},
				},
			}
		}
	}
	owner := map[string]string{}
	for _, c := range s.containers {
		owner[c.ID] = c.SandboxID
	}
	s.mu.Unlock()
	for _, c := range s.measure(func(c *container) bool { return pods[c.SandboxID] != nil }) {
		pod := pods[owner[c.Attributes.Id]].Linux
		pod.Containers = append(pod.Containers, c)
		pod.Cpu.UsageCoreNanoSeconds.Value += c.Cpu.UsageCoreNanoSeconds.Value
		pod.Memory.WorkingSetBytes.Value += c.Memory.WorkingSetBytes.Value
		pod.Memory.UsageBytes.Value += c.Memory.UsageBytes.Value
		pod.Memory.RssBytes.Value += c.Memory.RssBytes.Value
	}
	out := make([]*rt.PodSandboxStats, 0, len(pods))
	for _, p := range pods {
		out = append(out, p)
	}
	return out
}
