// Package inventory reads the devices that do not exist: what the gpu-driver and the nodes agents
// publish as if they had found it in the machine.
//
// The file says for each DRA driver which devices it has, in the API's own words: a device is a
// resource.k8s.io/v1 Device verbatim, shared counters are its CounterSets verbatim. So whatever a real
// driver can publish can be written down here, and an example from a real cluster can be pasted.
//
//	drivers:
//	- name: gpu.devcluster.test
//	  devices:
//	  - name: gpu-0
//	    attributes: {type: {string: gpu}, uuid: {string: GPU-…}, productName: {string: NVIDIA L4}}
//	    capacity: {memory: {value: 24Gi}}
//	  sharedCounters: []          # for devices that are partitions of one another
//
// Mistakes are found when the file is read, by upstream's own validation, and are told by their place
// in the file: the API server would find them too, but only in the log of whoever publishes.
package inventory

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/dynamic-resource-allocation/resourceslice"
	internal "k8s.io/kubernetes/pkg/apis/resource"
	resourcev1 "k8s.io/kubernetes/pkg/apis/resource/v1"
	"k8s.io/kubernetes/pkg/apis/resource/validation"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// A File lists the drivers of one Node.
type File struct {
	// Drivers have different names.
	Drivers []Driver `json:"drivers"`
}

// A Driver is what one DRA driver publishes for one Node.
type Driver struct {
	// Name is the driver's name, a DNS subdomain such as gpu.nvidia.com.
	Name string `json:"name"`
	// Devices are offered to the scheduler in this order: the first that fits is taken.
	Devices []resourceapi.Device `json:"devices"`
	// SharedCounters are what partitions of one device consume together.
	SharedCounters []resourceapi.CounterSet `json:"sharedCounters,omitempty"`
}

// Parse decodes and checks a file.
func Parse(content []byte) (File, error) {
	var f File
	if err := Decode(content, &f); err != nil {
		return File{}, err
	}
	if err := Validate(f.Drivers, field.NewPath("drivers")).ToAggregate(); err != nil {
		return File{}, err
	}
	return f, nil
}

// Decode decodes YAML strictly: unknown and repeated keys are errors that name their place.
func Decode(content []byte, into any) error {
	asJSON, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return fmt.Errorf("not YAML: %w", err)
	}
	strict, err := json.UnmarshalStrict(asJSON, into)
	if err != nil {
		return err
	}
	return errors.Join(strict...)
}

// Device returns the driver's device of that name.
func (d Driver) Device(name string) (resourceapi.Device, bool) {
	for _, device := range d.Devices {
		if device.Name == name {
			return device, true
		}
	}
	return resourceapi.Device{}, false
}

// Slices divides the driver's devices into as many slices as the API's limits ask for.
//
// Shared counters come first and in slices of their own, as the API wants since 1.35. Never empty: a
// pool with one empty slice says that the driver is there and has nothing.
func (d Driver) Slices() []resourceslice.Slice {
	var slices []resourceslice.Slice
	for counters := range chunks(d.SharedCounters, internal.ResourceSliceMaxCounterSets) {
		slices = append(slices, resourceslice.Slice{SharedCounters: counters})
	}
	for devices := range chunks(d.Devices, d.devicesPerSlice()) {
		slices = append(slices, resourceslice.Slice{Devices: devices})
	}
	if len(slices) == 0 {
		slices = append(slices, resourceslice.Slice{})
	}
	return slices
}

func (d Driver) devicesPerSlice() int {
	for _, device := range d.Devices {
		if len(device.Taints) > 0 || len(device.ConsumesCounters) > 0 {
			return internal.ResourceSliceMaxDevicesWithAdvancedFeatures
		}
	}
	return internal.ResourceSliceMaxDevices
}

// chunks yields parts of at most size elements, in order.
func chunks[T any](all []T, size int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := min(size, len(all))
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// Validate checks drivers by upstream's rules for ResourceSlices, and by those that concern several
// slices, which upstream can only see in the scheduler. Errors are told relative to path.
func Validate(drivers []Driver, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, driver := range drivers {
		at := path.Index(i)
		if seen[driver.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), driver.Name))
		}
		seen[driver.Name] = true
		errs = append(errs, driver.validate(at)...)
	}
	return errs
}

func (d Driver) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, device := range d.Devices {
		if names[device.Name] {
			errs = append(errs, field.Duplicate(at.Child("devices").Index(i).Child("name"), device.Name))
		}
		names[device.Name] = true
		errs = append(errs, d.validateConsumption(device, at.Child("devices").Index(i).Child("consumesCounters"))...)
	}
	firstDevice, firstCounters := 0, 0
	for _, slice := range d.Slices() {
		errs = append(errs, d.validateSlice(slice, at, firstDevice, firstCounters)...)
		firstDevice += len(slice.Devices)
		firstCounters += len(slice.SharedCounters)
	}
	return errs
}

// validateConsumption checks that consumed counters exist.
func (d Driver) validateConsumption(device resourceapi.Device, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, consumption := range device.ConsumesCounters {
		var set *resourceapi.CounterSet
		for k := range d.SharedCounters {
			if d.SharedCounters[k].Name == consumption.CounterSet {
				set = &d.SharedCounters[k]
			}
		}
		if set == nil {
			errs = append(errs, field.NotFound(at.Index(i).Child("counterSet"), consumption.CounterSet))
			continue
		}
		for name := range consumption.Counters {
			if _, ok := set.Counters[name]; !ok {
				errs = append(errs, field.NotFound(at.Index(i).Child("counters").Key(name), set.Name))
			}
		}
	}
	return errs
}

// validateSlice asks upstream, and translates the places upstream names into places of the file.
func (d Driver) validateSlice(slice resourceslice.Slice, at *field.Path, firstDevice, firstCounters int) field.ErrorList {
	node := "node"
	versioned := &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "slice"},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: d.Name, NodeName: &node,
			Pool:    resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
			Devices: slice.Devices, SharedCounters: slice.SharedCounters,
		},
	}
	scheme := runtime.NewScheme()
	var object internal.ResourceSlice
	err := errors.Join(internal.AddToScheme(scheme), resourcev1.AddToScheme(scheme))
	if err == nil {
		versioned = versioned.DeepCopy()
		scheme.Default(versioned)
		err = scheme.Convert(versioned, &object, nil)
	}
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	errs := validation.ValidateResourceSlice(&object)
	for _, e := range errs {
		e.Field = at.String() + "." + translate(e.Field, firstDevice, firstCounters)
	}
	return errs
}

var indexed = regexp.MustCompile(`^(devices|sharedCounters)\[(\d+)\]`)

// translate turns spec.devices[2].name of the second slice into devices[130].name of the file.
func translate(path string, firstDevice, firstCounters int) string {
	path = strings.TrimPrefix(path, "spec.")
	if path == "driver" {
		return "name"
	}
	return indexed.ReplaceAllStringFunc(path, func(match string) string {
		parts := indexed.FindStringSubmatch(match)
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			return match
		}
		if parts[1] == "devices" {
			n += firstDevice
		} else {
			n += firstCounters
		}
		return fmt.Sprintf("%s[%d]", parts[1], n)
	})
}
