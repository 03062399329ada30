package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func resources(r *rt.LinuxContainerResources) option {
	return func(c *rt.ContainerConfig) { c.Linux.Resources = r }
}

// hasCgroups says whether this machine lets the runtime limit anything; if not, it must have said so.
func (n *node) hasCgroups() bool { return !strings.Contains(n.limits(), "no cgroups") }

func TestAContainerThatUsesMoreMemoryThanItsLimitIsOOMKilled(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("head -c 200000000 /dev/zero | tail", resources(&rt.LinuxContainerResources{MemoryLimitInBytes: 40 << 20, OomScoreAdj: 500}))
		s := n.exited(id)
		if !n.hasCgroups() {
			if s.ExitCode != 0 || s.Resources != nil {
				t.Errorf("without limits: %v", s)
			}
			return
		}
		if s.ExitCode != 137 || s.Reason != "OOMKilled" {
			t.Errorf("got exit code %d, reason %q", s.ExitCode, s.Reason)
		}
	})
}

func TestLimitsAreSetChangedAndRemovedWithTheContainer(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		if !n.hasCgroups() {
			contains(t, "limits", n.limits(), "limits of CPU and memory have no effect")
			return
		}
		id := n.run("sleep 100", resources(&rt.LinuxContainerResources{CpuQuota: 50_000, CpuPeriod: 100_000, CpuShares: 512, MemoryLimitInBytes: 100 << 20}))
		read := func(file string) string {
			for _, pattern := range []string{"/sys/fs/cgroup/devcluster-*/", "/sys/fs/cgroup/*/devcluster-*/", "/sys/fs/cgroup/*/*/devcluster-*/", "/sys/fs/cgroup/*/*/*/devcluster-*/"} {
				found, _ := filepath.Glob(pattern + id + "/" + file)
				if len(found) > 0 {
					b, err := os.ReadFile(found[0])
					must(t, err)
					return strings.TrimSpace(string(b))
				}
			}
			return "no such file"
		}
		memory, cpu, want := "memory.limit_in_bytes", "cpu.cfs_quota_us", "50000"
		if read("memory.max") != "no such file" {
			memory, cpu, want = "memory.max", "cpu.max", "50000 100000"
		}
		same(t, "memory", read(memory), strconv.Itoa(100<<20))
		same(t, "cpu", read(cpu), want)
		_, err := n.runtime.UpdateContainerResources(t.Context(), &rt.UpdateContainerResourcesRequest{ContainerId: id, Linux: &rt.LinuxContainerResources{MemoryLimitInBytes: 200 << 20}})
		must(t, err)
		same(t, "memory after a resize", read(memory), strconv.Itoa(200<<20))
		if got := n.status(id).Resources.GetLinux().GetMemoryLimitInBytes(); got != 200<<20 {
			t.Errorf("the status says %d", got)
		}
		n.stopContainer(id, 0)
		same(t, "after the end", read(memory), "no such file")
	})
}

func TestStatsSayWhatContainersAndPodsUse(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		busy := n.runIn(pod, c, "i=0; while :; do i=$((i+1)); done")
		n.runIn(pod, c, "sleep 100")
		var stats *rt.ContainerStats
		eventually(t, "CPU time passes", func() bool {
			r, err := n.runtime.ContainerStats(t.Context(), &rt.ContainerStatsRequest{ContainerId: busy})
			must(t, err)
			stats = r.Stats
			return stats.Cpu.UsageCoreNanoSeconds.Value > uint64(30*time.Millisecond)
		})
		if stats.Memory.WorkingSetBytes.Value < 100<<10 || stats.WritableLayer.InodesUsed.Value == 0 {
			t.Errorf("got %v", stats)
		}
		list, err := n.runtime.ListContainerStats(t.Context(), &rt.ListContainerStatsRequest{Filter: &rt.ContainerStatsFilter{PodSandboxId: pod}})
		must(t, err)
		if len(list.Stats) != 2 {
			t.Errorf("got %d containers", len(list.Stats))
		}
		pods, err := n.runtime.ListPodSandboxStats(t.Context(), &rt.ListPodSandboxStatsRequest{})
		must(t, err)
		if len(pods.Stats) != 1 || len(pods.Stats[0].Linux.Containers) != 2 || pods.Stats[0].Linux.Cpu.UsageCoreNanoSeconds.Value < uint64(30*time.Millisecond) {
			t.Errorf("got %v", pods.Stats)
		}
		one, err := n.runtime.PodSandboxStats(t.Context(), &rt.PodSandboxStatsRequest{PodSandboxId: pod})
		must(t, err)
		same(t, "Pod", one.Stats.Attributes.Id, pod)
	})
}

// Fifty at once is what a class does when its hour begins.
func TestFiftyPodsStartWithinSeconds(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		const limit = 5 * time.Second
		began := time.Now()
		var all sync.WaitGroup
		errs := make(chan error, 50)
		for range 50 {
			pod, c := n.pod()
			id, err := n.create(pod, c, "sleep 100")
			must(t, err)
			all.Go(func() { errs <- n.start(id) })
		}
		all.Wait()
		for range 50 {
			must(t, <-errs)
		}
		took := time.Since(began)
		t.Logf("50 Pods in %v", took)
		if took > limit {
			t.Errorf("it took %v, more than %v", took, limit)
		}
	})
}

func TestImagesAreThoseOfTheFileAsItIsNow(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pull := func(name string) error {
			_, err := n.images.PullImage(t.Context(), &rt.PullImageRequest{Image: &rt.ImageSpec{Image: name}})
			return err
		}
		present := func(name string) bool {
			r, err := n.images.ImageStatus(t.Context(), &rt.ImageStatusRequest{Image: &rt.ImageSpec{Image: name}})
			must(t, err)
			return r.Image != nil
		}
		if present("sh") {
			t.Error("an image is present before it is pulled")
		}
		for _, name := range []string{"sh", "sh:latest"} {
			must(t, pull(name))
		}
		if !present("sh") || !present("sh:v1") {
			t.Error("an image is not present after it is pulled")
		}
		if err := pull("other"); err == nil || !strings.Contains(err.Error(), `image "other" not found`) {
			t.Errorf("got %v", err)
		}
		n.write("images.yaml", imageFile+"\nother: {command: [true]}\n")
		must(t, pull("other"))
		list, err := n.images.ListImages(t.Context(), &rt.ListImagesRequest{})
		must(t, err)
		if len(list.Images) != 2 {
			t.Errorf("got %v", list.Images)
		}
		_, err = n.images.RemoveImage(t.Context(), &rt.RemoveImageRequest{Image: &rt.ImageSpec{Image: "sh"}})
		must(t, err)
		if present("sh") {
			t.Error("a removed image is present")
		}
	})
}

func TestADeviceAddsWhatItsDescriptionSays(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		lib := n.write("lib.so", "library")
		n.write("cdi/gpu.json", `{"cdiVersion": "0.6.0", "kind": "gpu.test/gpu", "containerEdits": {"env": ["ALL=yes"]}, "devices": [
			{"name": "a", "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=GPU-a"], "mounts": [{"hostPath": "`+lib+`", "containerPath": "/opt/lib.so", "options": ["ro", "bind"]}], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero"}]}}]}`)
		device := func(name string) option {
			return func(c *rt.ContainerConfig) { c.CDIDevices = []*rt.CDIDevice{{Name: name}} }
		}
		got := n.says("echo $ALL $NVIDIA_VISIBLE_DEVICES; cat /opt/lib.so; echo; head -c 3 /dev/gpu0 | wc -c", device("gpu.test/gpu=a"))
		same(t, "output", got, "yes GPU-a\nlibrary\n3")
		pod, c := n.pod()
		_, err := n.create(pod, c, "true", device("gpu.test/gpu=b"))
		if err == nil || !strings.Contains(err.Error(), `CDI device "gpu.test/gpu=b" is in no file`) {
			t.Errorf("got %v", err)
		}
	})
}
