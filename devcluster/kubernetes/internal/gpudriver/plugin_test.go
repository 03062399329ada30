package gpudriver

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	healthapi "k8s.io/kubelet/pkg/apis/dra-health/v1alpha1"

	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

const (
	shareable = "gpu.devcluster.test"
	nvidia    = "gpu.nvidia.com"
)

// aPlugin returns a plugin for a driver of the example inventory, with a CDI folder of its own.
func aPlugin(t *testing.T, driver string) *plugin {
	t.Helper()
	content, err := os.ReadFile("../../testdata/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := inventory.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(file.Drivers, func(d inventory.Driver) bool { return d.Name == driver })
	return &plugin{cdi: cdiFolder{path: t.TempDir(), driver: driver}, driver: file.Drivers[i], fail: func(error) {}}
}

// aResult is one allocated device; consumed is "cores=25 memory=20Gi" or empty for a whole device.
func aResult(driver, request, device, consumed string) resourceapi.DeviceRequestAllocationResult {
	r := resourceapi.DeviceRequestAllocationResult{Driver: driver, Request: request, Pool: "node", Device: device}
	for _, pair := range strings.Fields(consumed) {
		name, value, _ := strings.Cut(pair, "=")
		if r.ConsumedCapacity == nil {
			share := types.UID("share")
			r.ShareID, r.ConsumedCapacity = &share, map[resourceapi.QualifiedName]resource.Quantity{}
		}
		r.ConsumedCapacity[resourceapi.QualifiedName(name)] = resource.MustParse(value)
	}
	return r
}

func aClaim(results ...resourceapi.DeviceRequestAllocationResult) *resourceapi.ResourceClaim {
	return &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eugo", Name: "ws", UID: "7f3c"},
		Status: resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{
			Devices: resourceapi.DeviceAllocationResult{Results: results}}},
	}
}

func withConfig(claim *resourceapi.ResourceClaim, driver string, requests []string, parameters string) *resourceapi.ResourceClaim {
	claim.Status.Allocation.Devices.Config = append(claim.Status.Allocation.Devices.Config, resourceapi.DeviceAllocationConfiguration{
		Source: resourceapi.AllocationConfigSourceClaim, Requests: requests,
		DeviceConfiguration: resourceapi.DeviceConfiguration{Opaque: &resourceapi.OpaqueDeviceConfiguration{
			Driver: driver, Parameters: runtime.RawExtension{Raw: []byte(parameters)}}},
	})
	return claim
}

func prepare(t *testing.T, p *plugin, claim *resourceapi.ResourceClaim) kubeletplugin.PrepareResult {
	t.Helper()
	results, err := p.PrepareResourceClaims(context.Background(), []*resourceapi.ResourceClaim{claim})
	if err != nil {
		t.Fatal(err)
	}
	return results[claim.UID]
}

// environmentOf returns what a container finds that refers to the claim, or to one of its requests:
// the kubelet's choice of CDI devices, then the runtime's merge of their variables.
func environmentOf(t *testing.T, p *plugin, result kubeletplugin.PrepareResult, request string) map[string]string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(p.cdi.path, "*.json"))
	edits := map[string][]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var spec cdiSpec
		if err := json.Unmarshal(content, &spec); err != nil {
			t.Fatal(err)
		}
		for _, d := range spec.Devices {
			edits[spec.Kind+"="+d.Name] = d.Edits.Env
		}
	}
	env := map[string]string{}
	for _, device := range result.Devices {
		if request != "" && base(device.Requests[0]) != request {
			continue
		}
		for _, id := range device.CDIDeviceIDs {
			if edits[id] == nil {
				t.Fatalf("no CDI file has %s", id)
			}
			for _, pair := range edits[id] {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
		}
	}
	return env
}

func uuidOf(t *testing.T, p *plugin, device string) string {
	t.Helper()
	d, ok := p.driver.Device(device)
	if !ok {
		t.Fatalf("the example has no device %s", device)
	}
	return text(d, "uuid")
}

func TestAShareIsToldInPercentAndMebibytes(t *testing.T) {
	p := aPlugin(t, shareable)
	result := prepare(t, p, aClaim(aResult(shareable, "gpu", "gpu-1", "cores=25 memory=20Gi")))
	want := map[string]string{"NVIDIA_VISIBLE_DEVICES": uuidOf(t, p, "gpu-1"), "CUDA_DEVICE_SM_LIMIT_0": "25", "CUDA_DEVICE_MEMORY_LIMIT_0": "20480m"}
	if got := environmentOf(t, p, result, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if result.Devices[0].ShareID == nil {
		t.Error("the kubelet is not told the share's id")
	}
}

func TestSeveralDevicesOfARequestAreNumberedInTheOrderOfTheirUuids(t *testing.T) {
	p := aPlugin(t, shareable)
	result := prepare(t, p, aClaim(aResult(shareable, "gpu", "gpu-0", "cores=10 memory=1Gi"), aResult(shareable, "gpu", "gpu-1", "cores=20 memory=2Gi")))
	want := map[string]string{
		"NVIDIA_VISIBLE_DEVICES": uuidOf(t, p, "gpu-0") + "," + uuidOf(t, p, "gpu-1"),
		"CUDA_DEVICE_SM_LIMIT_0": "10", "CUDA_DEVICE_MEMORY_LIMIT_0": "1024m",
		"CUDA_DEVICE_SM_LIMIT_1": "20", "CUDA_DEVICE_MEMORY_LIMIT_1": "2048m",
	}
	if got := environmentOf(t, p, result, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAContainerSeesTheDevicesOfTheRequestItNames(t *testing.T) {
	p := aPlugin(t, shareable)
	result := prepare(t, p, aClaim(aResult(shareable, "big/first", "gpu-0", "cores=100 memory=80Gi"), aResult(shareable, "small", "gpu-2", "cores=5 memory=1Gi")))
	for request, devices := range map[string][]string{"big": {"gpu-0"}, "small": {"gpu-2"}, "": {"gpu-0", "gpu-2"}} {
		var want []string
		for _, d := range devices {
			want = append(want, uuidOf(t, p, d))
		}
		if got := environmentOf(t, p, result, request)["NVIDIA_VISIBLE_DEVICES"]; got != strings.Join(want, ",") {
			t.Errorf("request %q sees %s, want %v", request, got, want)
		}
	}
	if got := environmentOf(t, p, result, "small")["CUDA_DEVICE_SM_LIMIT_0"]; got != "5" {
		t.Errorf("the small share alone is limited to %s %%, want 5", got)
	}
	if got := environmentOf(t, p, result, "")["CUDA_DEVICE_SM_LIMIT_1"]; got != "5" {
		t.Errorf("the small share beside the big is limited to %s %%, want 5", got)
	}
}

func TestAPartitionHasTheSameUuidEachTime(t *testing.T) {
	p := aPlugin(t, nvidia)
	first := environmentOf(t, p, prepare(t, p, aClaim(aResult(nvidia, "mig", "gpu-8-mig-1g5gb-19-0", ""))), "")
	second := environmentOf(t, p, prepare(t, p, aClaim(aResult(nvidia, "mig", "gpu-8-mig-1g5gb-19-0", ""))), "")
	other := environmentOf(t, p, prepare(t, p, aClaim(aResult(nvidia, "mig", "gpu-8-mig-1g5gb-19-1", ""))), "")
	if id := first["NVIDIA_VISIBLE_DEVICES"]; !strings.HasPrefix(id, "MIG-") || id != second["NVIDIA_VISIBLE_DEVICES"] || id == other["NVIDIA_VISIBLE_DEVICES"] {
		t.Errorf("first %v, again %v, another %v", first, second, other)
	}
	if len(first) != 1 {
		t.Errorf("a partition is whole and has no limits: %v", first)
	}
}

func TestDevicesOfAnotherDriverAreLeftToIt(t *testing.T) {
	p := aPlugin(t, nvidia)
	result := prepare(t, p, withConfig(aClaim(aResult(shareable, "a", "gpu-0", ""), aResult(nvidia, "b", "gpu-9", "")), shareable, nil, `{"not": "ours"}`))
	if result.Err != nil || len(result.Devices) != 1 || result.Devices[0].DeviceName != "gpu-9" {
		t.Errorf("%+v", result)
	}
}

func TestPreparingIsIdempotentAndSurvivesAKill(t *testing.T) {
	p := aPlugin(t, shareable)
	claim := aClaim(aResult(shareable, "gpu", "gpu-1", "cores=25 memory=20Gi"))
	first := prepare(t, p, claim)
	successor := &plugin{cdi: p.cdi, driver: p.driver, fail: p.fail}
	if err := os.WriteFile(filepath.Join(p.cdi.path, ".claim-1.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := successor.cdi.removeTemporary(); err != nil {
		t.Fatal(err)
	}
	if second := prepare(t, successor, claim); !reflect.DeepEqual(first, second) {
		t.Errorf("first %+v, then %+v", first, second)
	}
	files, _ := os.ReadDir(p.cdi.path)
	if len(files) != 1 {
		t.Errorf("%d files, want one", len(files))
	}
}

func TestUnpreparingRemovesTheFileAndMayBeRepeated(t *testing.T) {
	p := aPlugin(t, shareable)
	claim := aClaim(aResult(shareable, "gpu", "gpu-1", "cores=25 memory=20Gi"))
	prepare(t, p, claim)
	for range 2 {
		results, err := p.UnprepareResourceClaims(context.Background(), []kubeletplugin.NamespacedObject{{UID: claim.UID}})
		if err != nil || results[claim.UID] != nil || len(results) != 1 {
			t.Fatalf("%v, %v", results, err)
		}
	}
	if files, _ := os.ReadDir(p.cdi.path); len(files) != 0 {
		t.Errorf("%d files are left", len(files))
	}
}

func TestAUidNeverLeavesTheFolder(t *testing.T) {
	p := aPlugin(t, shareable)
	results, err := p.UnprepareResourceClaims(context.Background(), []kubeletplugin.NamespacedObject{{UID: "../../x"}})
	if err != nil || results["../../x"] == nil {
		t.Errorf("%v, %v", results, err)
	}
}

func TestADeviceThatLeftTheFileIsSaidSo(t *testing.T) {
	p := aPlugin(t, shareable)
	result := prepare(t, p, aClaim(aResult(shareable, "gpu", "gpu-77", "")))
	if result.Err == nil || !strings.Contains(result.Err.Error(), "claim eugo/ws: device gpu-77 of driver gpu.devcluster.test is allocated, but is no longer in the devices file") {
		t.Error(result.Err)
	}
}

func TestOpaqueParameters(t *testing.T) {
	const head = `"apiVersion": "resource.nvidia.com/v1beta1", "kind": `
	for _, c := range []struct {
		name, device, parameters string
		requests                 []string
		want                     map[string]string
		problem                  string
	}{
		{name: "MPS limits the threads", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 25, "defaultPinnedDeviceMemoryLimit": "4Gi"}}}`,
			want: map[string]string{"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=4096M"}},
		{name: "a device's own memory limit wins", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultPinnedDeviceMemoryLimit": "4Gi", "defaultPerDevicePinnedMemoryLimit": {"0": "1Gi"}}}}`,
			want: map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=1024M"}},
		{name: "MPS of a partition", device: "gpu-8-mig-2g10gb-14-0", parameters: `{` + head + `"MigDeviceConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 50}}}`,
			want: map[string]string{"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}},
		{name: "time slicing shows nothing to the process", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Long"}}}`, want: map[string]string{}},
		{name: "a general config of another kind of device is passed over", device: "gpu-9", parameters: `{` + head + `"MigDeviceConfig"}`, want: map[string]string{}},
		{name: "one that names the request is refused", device: "gpu-9", requests: []string{"gpu"}, parameters: `{` + head + `"MigDeviceConfig"}`, problem: "request gpu got a device that takes a GpuConfig, and its config is a MigDeviceConfig"},
		{name: "someone else's config", device: "gpu-9", parameters: `{"apiVersion": "gpu.example.com/v1", "kind": "Sharing"}`, problem: `parameters are "Sharing" of "gpu.example.com/v1"; this driver knows GpuConfig and MigDeviceConfig of resource.nvidia.com/v1beta1`},
		{name: "a misspelt key", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "MPS", "mpsconfig": {}}}`, problem: `unknown field "sharing.mpsconfig"`},
		{name: "an unknown strategy", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "Magic"}}`, problem: `sharing.strategy: "Magic" is neither TimeSlicing nor MPS`},
		{name: "a percentage beyond the whole", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 250}}}`, problem: "250 is not between 1 and 100"},
		{name: "an unknown interval", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Eternal"}}}`, problem: `"Eternal" is none of`},
		{name: "a limit for a device that is not the claim's", device: "gpu-9", parameters: `{` + head + `"GpuConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultPerDevicePinnedMemoryLimit": {"3": "1Gi"}}}}`, problem: "neither the place nor the uuid"},
		{name: "a partition cannot be time-sliced", device: "gpu-8-mig-2g10gb-14-0", parameters: `{` + head + `"MigDeviceConfig", "sharing": {"strategy": "TimeSlicing"}}`, problem: "a MIG device cannot be time-sliced"},
		{name: "no object at all", device: "gpu-9", parameters: `[]`, problem: "not an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := aPlugin(t, nvidia)
			result := prepare(t, p, withConfig(aClaim(aResult(nvidia, "gpu", c.device, "")), nvidia, c.requests, c.parameters))
			if c.problem != "" {
				if result.Err == nil || !strings.Contains(result.Err.Error(), c.problem) {
					t.Errorf("got %v, want %q", result.Err, c.problem)
				}
				return
			}
			if result.Err != nil {
				t.Fatal(result.Err)
			}
			got := environmentOf(t, p, result, "")
			delete(got, "NVIDIA_VISIBLE_DEVICES")
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAClaimsConfigWinsOverItsClasss(t *testing.T) {
	p := aPlugin(t, nvidia)
	claim := aClaim(aResult(nvidia, "gpu", "gpu-9", ""))
	for _, percent := range []string{"10", "70"} { // the API lists a class's configs first
		withConfig(claim, nvidia, nil, `{"apiVersion": "resource.nvidia.com/v1beta1", "kind": "GpuConfig", "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": `+percent+`}}}`)
	}
	if got := environmentOf(t, p, prepare(t, p, claim), "")["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"]; got != "70" {
		t.Errorf("got %s, want 70", got)
	}
}

func TestEveryDeviceIsHealthy(t *testing.T) {
	p := aPlugin(t, shareable)
	p.pool = "node"
	all := p.health(time.Unix(1000, 0)).Devices
	if len(all) != 8 || all[0].Device.DeviceName != "gpu-0" || all[0].Device.PoolName != "node" || all[0].Health != healthapi.HealthStatus_HEALTHY || all[0].LastUpdatedTime != 1000 {
		t.Errorf("%v", all)
	}
}

func TestMPSOfASharedDeviceIsRefused(t *testing.T) {
	p := aPlugin(t, shareable)
	result := prepare(t, p, withConfig(aClaim(aResult(shareable, "gpu", "gpu-0", "cores=25")), shareable, nil,
		`{"apiVersion": "resource.nvidia.com/v1beta1", "kind": "GpuConfig", "sharing": {"strategy": "MPS"}}`))
	if result.Err == nil || !strings.Contains(result.Err.Error(), "MPS needs a device of its own") {
		t.Error(result.Err)
	}
}
