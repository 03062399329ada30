package nodes

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestAGroupIsOneNodeOrManyThatAreAlike(t *testing.T) {
	nodes, err := parse([]byte(`
nodes:
- name: big
  capacity: {cpu: "128", nvidia.com/licences: "4"}
- prefix: scale-
  count: 3
  labels: {pool: scale}
  taints: [{key: scale, effect: NoSchedule}]
  readyAfter: 1500ms
  drivers:
  - name: gpu.example.com
    devices: [{name: gpu-0, attributes: {uuid: {string: "GPU-$(NODE)-0"}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 4 {
		t.Fatalf("%d Nodes, want 4", len(nodes))
	}
	big, two := nodes["big"], nodes["scale-2"]
	if cpu, memory := big.capacity[v1.ResourceCPU], big.capacity[v1.ResourceMemory]; cpu.String() != "128" || memory.String() != "32Gi" {
		t.Errorf("big has %s CPUs and %s; what the file does not say has a default", cpu.String(), memory.String())
	}
	if two.labels["pool"] != "scale" || two.labels[v1.LabelHostname] != "scale-2" || two.readyAfter != 1500*time.Millisecond || len(two.taints) != 1 {
		t.Errorf("scale-2: %+v", two)
	}
	if uuid := *two.drivers[0].Devices[0].Attributes["uuid"].StringValue; uuid != "GPU-scale-2-0" {
		t.Errorf("the uuid of scale-2's device is %s", uuid)
	}
	if uuid := *nodes["scale-0"].drivers[0].Devices[0].Attributes["uuid"].StringValue; uuid != "GPU-scale-0-0" {
		t.Errorf("the uuid of scale-0's device is %s", uuid)
	}
}

func TestMistakesInTheFileOfNodes(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"an unknown key", "nodes: [{name: a, lables: {}}]", `unknown field "nodes[0].lables"`},
		{"neither name nor prefix", "nodes: [{count: 3}]", "nodes[0].name: Required"},
		{"both name and prefix", "nodes: [{name: a, prefix: b, count: 1}]", "nodes[0].prefix: Forbidden"},
		{"a prefix without a count", "nodes: [{prefix: a-}]", "nodes[0].count: Invalid value: 0"},
		{"a name that is none", "nodes: [{name: A_b}]", "nodes[0].name: Invalid"},
		{"two Nodes of one name", "nodes: [{name: a-1}, {prefix: a-, count: 2}]", `nodes[1]: Duplicate value: "a-1"`},
		{"an effect that is none", "nodes: [{name: a, taints: [{key: k, effect: Never}]}]", "nodes[0].taints[0].effect: Unsupported"},
		{"a negative capacity", `nodes: [{name: a, capacity: {cpu: "-1"}}]`, "nodes[0].capacity[cpu]"},
		{"a negative delay", "nodes: [{name: a, readyAfter: -1s}]", "nodes[0].readyAfter"},
		{"a mistake in a device", "nodes: [{name: a, drivers: [{name: d.test, devices: [{name: x, attributes: {u: {}}}]}]}]", "nodes[0].drivers[0].devices[0].attributes[u]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse([]byte(c.yaml))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
