package inventory

import (
	"fmt"
	"os"
	"strings"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
)

func example(t *testing.T) File {
	t.Helper()
	content, err := os.ReadFile("../../testdata/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheExampleIsRight(t *testing.T) {
	f := example(t)
	if len(f.Drivers) != 2 || f.Drivers[0].Name != "gpu.devcluster.test" || f.Drivers[1].Name != "gpu.nvidia.com" {
		t.Fatalf("drivers: %+v", f.Drivers)
	}
	h100, ok := f.Drivers[0].Device("gpu-0")
	if !ok || *h100.Attributes["productName"].StringValue != "NVIDIA H100 80GB HBM3" || !*h100.AllowMultipleAllocations {
		t.Errorf("gpu-0: %+v", h100)
	}
	if n := len(f.Drivers[0].Devices); n != 8 {
		t.Errorf("%d shareable GPUs, want 2 H100, 4 L4, 2 L40S", n)
	}
}

func TestMigProfilesOfTheExampleConsumeOneCardTogether(t *testing.T) {
	nvidia := example(t).Drivers[1]
	placements := map[string]int{}
	for _, d := range nvidia.Devices {
		if *d.Attributes["type"].StringValue == "mig" {
			placements[*d.Attributes["profile"].StringValue]++
		}
	}
	// As `nvidia-smi mig -lgipp` lists them for an A100-SXM4-40GB.
	for profile, n := range map[string]int{"1g.5gb": 7, "1g.5gb+me": 7, "1g.10gb": 4, "2g.10gb": 3, "3g.20gb": 2, "4g.20gb": 1, "7g.40gb": 1} {
		if placements[profile] != n {
			t.Errorf("%d placements of %s, want %d", placements[profile], profile, n)
		}
	}
	whole, _ := nvidia.Device("gpu-8")
	if got, want := len(whole.ConsumesCounters[0].Counters), len(nvidia.SharedCounters[0].Counters); got != want {
		t.Errorf("the whole card consumes %d of %d counters; a partition could be given beside it", got, want)
	}
}

func TestSharedCountersHaveASliceOfTheirOwn(t *testing.T) {
	slices := example(t).Drivers[1].Slices()
	if len(slices) != 2 || len(slices[0].Devices) != 0 || len(slices[0].SharedCounters) != 1 || len(slices[1].SharedCounters) != 0 {
		t.Errorf("slices: %+v", slices)
	}
}

func TestSlicesKeepTheLimitsOfTheAPI(t *testing.T) {
	plain := make([]resourceapi.Device, 300)
	for _, c := range []struct {
		name    string
		devices []resourceapi.Device
		sizes   []int
	}{
		{"128 devices in a slice", plain, []int{128, 128, 44}},
		{"64 once any has a taint", append([]resourceapi.Device{{Taints: []resourceapi.DeviceTaint{{Key: "k"}}}}, plain[:99]...), []int{64, 36}},
		{"one empty slice for a driver without devices", nil, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			slices := Driver{Devices: c.devices}.Slices()
			if len(slices) != len(c.sizes) {
				t.Fatalf("%d slices, want %d", len(slices), len(c.sizes))
			}
			for i, n := range c.sizes {
				if len(slices[i].Devices) != n {
					t.Errorf("slice %d has %d devices, want %d", i, len(slices[i].Devices), n)
				}
			}
		})
	}
}

func TestMistakesAreToldByTheirPlaceInTheFile(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"an unknown key", "drivers:\n- name: a.test\n  devces: []", `unknown field "drivers[0].devces"`},
		{"an unknown key of a device", "drivers:\n- name: a.test\n  devices:\n  - {name: x, capcity: {}}", `unknown field "drivers[0].devices[0].capcity"`},
		{"a key given twice", "drivers: []\ndrivers: []", `key "drivers" already set`},
		{"a driver's name that is none", "drivers:\n- {name: Not A Name, devices: []}", "drivers[0].name"},
		{"two drivers of one name", "drivers:\n- {name: a.test, devices: []}\n- {name: a.test, devices: []}", `drivers[1].name: Duplicate value: "a.test"`},
		{"two devices of one name", "drivers:\n- name: a.test\n  devices: [{name: x}, {name: x}]", "drivers[0].devices[1].name: Duplicate"},
		{"an attribute without a value", "drivers:\n- name: a.test\n  devices: [{name: x, attributes: {uuid: {}}}]", "drivers[0].devices[0].attributes[uuid]"},
		{"a policy without a default", "drivers:\n- name: a.test\n  devices: [{name: x, allowMultipleAllocations: true, capacity: {cores: {value: '100', requestPolicy: {validRange: {min: '1'}}}}}]", "drivers[0].devices[0].capacity[cores].requestPolicy"},
		{"counters that nobody shares", "drivers:\n- name: a.test\n  devices: [{name: x, consumesCounters: [{counterSet: s, counters: {m: {value: '1'}}}]}]", "drivers[0].devices[0].consumesCounters[0].counterSet: Not found"},
		{"a counter that the set lacks", "drivers:\n- name: a.test\n  sharedCounters: [{name: s, counters: {n: {value: '1'}}}]\n  devices: [{name: x, consumesCounters: [{counterSet: s, counters: {m: {value: '1'}}}]}]", "counters[m]: Not found"},
		{"not YAML", "drivers: [", "not YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.yaml))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestAMistakeInTheSecondSliceIsToldByItsPlaceInTheFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("drivers:\n- name: a.test\n  devices:\n")
	for i := range 130 {
		fmt.Fprintf(&b, "  - name: gpu-%d\n", i)
	}
	b.WriteString("  - name: Not A Name\n")
	_, err := Parse([]byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "drivers[0].devices[130].name") {
		t.Errorf("got %v, want drivers[0].devices[130].name", err)
	}
}
