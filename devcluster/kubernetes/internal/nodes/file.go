package nodes

import (
	"fmt"
	"maps"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

// A File lists groups of Nodes.
type File struct {
	// Nodes are groups; no two may make Nodes of one name.
	Nodes []Group `json:"nodes"`
}

// A Group is one Node, by name, or count Nodes that are alike: prefix0, prefix1, …
type Group struct {
	// Name is the name of a single Node; not with Prefix.
	Name string `json:"name,omitempty"`
	// Prefix begins the names of Count Nodes.
	Prefix string `json:"prefix,omitempty"`
	Count  int    `json:"count,omitempty"`
	// Labels are added to the ones every Node has (hostname, os, arch).
	Labels map[string]string `json:"labels,omitempty"`
	// Taints keep Pods away that do not tolerate them.
	Taints []v1.Taint `json:"taints,omitempty"`
	// Capacity is what the scheduler may give away: cpu, memory, pods and whatever else. Absent: 8
	// CPUs, 32Gi of memory, 110 Pods, each on its own.
	Capacity v1.ResourceList `json:"capacity,omitempty"`
	// ReadyAfter is how long a Pod runs before it is Ready; nil means at once.
	ReadyAfter *metav1.Duration `json:"readyAfter,omitempty"`
	// Drivers publish devices of the Node, as in the file of the gpu-driver. In the strings of
	// attributes $(NODE) stands for the Node's name, so that uuids differ.
	Drivers []inventory.Driver `json:"drivers,omitempty"`
}

// A node is one Node of a group.
type node struct {
	name       string
	labels     map[string]string
	taints     []v1.Taint
	capacity   v1.ResourceList
	readyAfter time.Duration
	drivers    []inventory.Driver
}

// defaultCapacity is what a Node has whose group says nothing; a common size of machine.
var defaultCapacity = map[v1.ResourceName]string{v1.ResourceCPU: "8", v1.ResourceMemory: "32Gi", v1.ResourcePods: "110"}

// nodePlaceholder stands for the Node's name in attributes of devices.
const nodePlaceholder = "$(NODE)"

// parse decodes and checks a file and returns its Nodes by name.
func parse(content []byte) (map[string]node, error) {
	var f File
	if err := inventory.Decode(content, &f); err != nil {
		return nil, err
	}
	nodes := map[string]node{}
	var errs field.ErrorList
	for i, group := range f.Nodes {
		at := field.NewPath("nodes").Index(i)
		names, problems := group.names(at)
		errs = append(errs, problems...)
		errs = append(errs, group.validate(at)...)
		for _, name := range names {
			if _, ok := nodes[name]; ok {
				errs = append(errs, field.Duplicate(at, name))
			}
			nodes[name] = group.node(name)
		}
	}
	return nodes, errs.ToAggregate()
}

func (g Group) names(at *field.Path) ([]string, field.ErrorList) {
	switch {
	case g.Name != "" && (g.Prefix != "" || g.Count != 0):
		return nil, field.ErrorList{field.Forbidden(at.Child("prefix"), "a group has a name, or a prefix and a count")}
	case g.Name != "":
		return checked([]string{g.Name}, at.Child("name"))
	case g.Prefix == "":
		return nil, field.ErrorList{field.Required(at.Child("name"), "a group has a name, or a prefix and a count")}
	case g.Count < 1:
		return nil, field.ErrorList{field.Invalid(at.Child("count"), g.Count, "must be at least 1")}
	}
	names := make([]string, g.Count)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", g.Prefix, i)
	}
	return checked(names, at.Child("prefix"))
}

func checked(names []string, at *field.Path) ([]string, field.ErrorList) {
	for _, problem := range validation.IsDNS1123Subdomain(names[0]) {
		return nil, field.ErrorList{field.Invalid(at, names[0], problem)}
	}
	return names, nil
}

func (g Group) validate(at *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(g.Labels, at.Child("labels"))
	for i, taint := range g.Taints {
		for _, problem := range validation.IsQualifiedName(taint.Key) {
			errs = append(errs, field.Invalid(at.Child("taints").Index(i).Child("key"), taint.Key, problem))
		}
		switch taint.Effect {
		case v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute:
		default:
			errs = append(errs, field.NotSupported(at.Child("taints").Index(i).Child("effect"), taint.Effect,
				[]v1.TaintEffect{v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute}))
		}
	}
	for name, quantity := range g.Capacity {
		if quantity.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("capacity").Key(string(name)), quantity.String(), "must not be negative"))
		}
	}
	if g.ReadyAfter != nil && g.ReadyAfter.Duration < 0 {
		errs = append(errs, field.Invalid(at.Child("readyAfter"), g.ReadyAfter.Duration.String(), "must not be negative"))
	}
	return append(errs, inventory.Validate(g.Drivers, at.Child("drivers"))...)
}

func (g Group) node(name string) node {
	capacity := v1.ResourceList{}
	for resourceName, quantity := range defaultCapacity {
		capacity[resourceName] = resource.MustParse(quantity)
	}
	maps.Copy(capacity, g.Capacity)
	labels := map[string]string{
		v1.LabelHostname: name, v1.LabelOSStable: "linux", v1.LabelArchStable: "amd64", managedLabel: managedValue,
	}
	maps.Copy(labels, g.Labels)
	drivers := make([]inventory.Driver, len(g.Drivers))
	for i, d := range g.Drivers {
		drivers[i] = inventory.Driver{Name: d.Name, Devices: named(d.Devices, name), SharedCounters: d.SharedCounters}
	}
	n := node{name: name, labels: labels, taints: g.Taints, capacity: capacity, drivers: drivers}
	if g.ReadyAfter != nil {
		n.readyAfter = g.ReadyAfter.Duration
	}
	return n
}

// named returns the devices with the Node's name in place of $(NODE).
func named(devices []resourceapi.Device, name string) []resourceapi.Device {
	result := make([]resourceapi.Device, len(devices))
	for i := range devices {
		devices[i].DeepCopyInto(&result[i])
		for key, attribute := range result[i].Attributes {
			if attribute.StringValue != nil {
				attribute.StringValue = ptr.To(strings.ReplaceAll(*attribute.StringValue, nodePlaceholder, name))
				result[i].Attributes[key] = attribute
			}
		}
	}
	return result
}
