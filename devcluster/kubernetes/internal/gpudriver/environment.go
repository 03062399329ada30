package gpudriver

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

const mebibyte = 1 << 20

// The capacities of which a share is told to the process, as HAMi's driver names them.
const (
	coresCapacity  = "cores"
	memoryCapacity = "memory"
)

// A granted device is one result of a claim's allocation, as the process will see it.
type granted struct {
	// request is the request, with its subrequest if there is one ("gpu/big").
	request string
	// visible is what NVIDIA_VISIBLE_DEVICES calls the device.
	visible string
	// cores is the percentage of its multiprocessors and memory the MiB of its memory that were
	// granted; nil if the device is not shared.
	cores, memory *int64
	// sharing is what the claim's opaque parameters say; nil if nothing.
	sharing *sharing
}

// grant looks the result up among the driver's devices.
func grant(driver inventory.Driver, result resourceapi.DeviceRequestAllocationResult, configs configs) (granted, error) {
	device, ok := driver.Device(result.Device)
	if !ok {
		return granted{}, fmt.Errorf("device %s of driver %s is allocated, but is no longer in the devices file", result.Device, driver.Name)
	}
	sharing, err := configs.forDevice(result.Request, isMIG(device))
	if err != nil {
		return granted{}, err
	}
	if sharing != nil && sharing.Strategy == mps && ptr.Deref(device.AllowMultipleAllocations, false) {
		return granted{}, fmt.Errorf("request %s: MPS needs a device of its own, and %s is given to several claims; ask for its capacity instead", result.Request, result.Device)
	}
	g := granted{request: result.Request, visible: visibleName(device), sharing: sharing}
	if q, ok := result.ConsumedCapacity[coresCapacity]; ok {
		g.cores = ptr.To(q.Value())
	}
	if q, ok := result.ConsumedCapacity[memoryCapacity]; ok {
		g.memory = ptr.To(q.Value() / mebibyte)
	}
	return g, nil
}

// environment returns the variables of a container that sees these devices, sorted.
//
// Limits are numbered by the device's place in the list, as CUDA numbers the devices a process sees.
func environment(devices []granted) ([]string, error) {
	var visible []string
	env := map[string]string{}
	for i, d := range devices {
		visible = append(visible, d.visible)
		if d.cores != nil {
			env[fmt.Sprintf("CUDA_DEVICE_SM_LIMIT_%d", i)] = strconv.FormatInt(*d.cores, 10)
		}
		if d.memory != nil {
			env[fmt.Sprintf("CUDA_DEVICE_MEMORY_LIMIT_%d", i)] = fmt.Sprintf("%dm", *d.memory)
		}
	}
	env["NVIDIA_VISIBLE_DEVICES"] = strings.Join(visible, ",")
	if err := addMPS(env, devices); err != nil {
		return nil, err
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	sort.Strings(list)
	return list, nil
}

// addMPS adds the variables by which the clients of a CUDA MPS daemon are limited.
func addMPS(env map[string]string, devices []granted) error {
	var pinned []string
	for i, d := range devices {
		if d.sharing == nil || d.sharing.Strategy != mps || d.sharing.MPS == nil {
			continue
		}
		if p := d.sharing.MPS.DefaultActiveThreadPercentage; p != nil {
			// One variable for the process: of several devices the smallest share is kept by all.
			if old, err := strconv.Atoi(env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"]); err != nil || *p < old {
				env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = strconv.Itoa(*p)
			}
		}
		limit, err := pinnedLimit(d, i, devices)
		if err != nil {
			return err
		}
		if limit != nil {
			pinned = append(pinned, fmt.Sprintf("%d=%dM", i, limit.Value()/mebibyte))
		}
	}
	if len(pinned) > 0 {
		env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = strings.Join(pinned, ",")
	}
	return nil
}

// pinnedLimit returns the device's limit of pinned memory; its own, named by uuid or place, wins over the default.
func pinnedLimit(d granted, place int, devices []granted) (*resource.Quantity, error) {
	config := d.sharing.MPS
	for key := range config.DefaultPerDevicePinnedMemoryLimit {
		n, err := strconv.Atoi(key)
		known := err == nil && n >= 0 && n < len(devices)
		if !known && !slices.ContainsFunc(devices, func(o granted) bool { return o.visible == key }) {
			return nil, fmt.Errorf("sharing.mpsConfig.defaultPerDevicePinnedMemoryLimit[%s]: neither the place nor the uuid of one of the claim's %d devices", key, len(devices))
		}
	}
	for _, key := range []string{d.visible, strconv.Itoa(place)} {
		if q, ok := config.DefaultPerDevicePinnedMemoryLimit[key]; ok {
			return &q, nil
		}
	}
	return config.DefaultPinnedDeviceMemoryLimit, nil
}

func isMIG(d resourceapi.Device) bool { return text(d, "type") == "mig" }

// visibleName returns the name by which a process finds the device.
//
// A partition that is made when it is claimed has no uuid beforehand (NVIDIA's driver publishes none);
// here it gets one from its card and place, so that it is the same each time.
func visibleName(d resourceapi.Device) string {
	id := text(d, "uuid")
	switch {
	case isMIG(d) && id == "":
		return "MIG-" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(text(d, "parentUUID")+"/"+d.Name)).String()
	case isMIG(d) && !strings.HasPrefix(id, "MIG-"):
		return "MIG-" + id
	case id == "":
		return d.Name
	}
	return id
}

func text(d resourceapi.Device, attribute resourceapi.QualifiedName) string {
	return ptr.Deref(d.Attributes[attribute].StringValue, "")
}

// matches says whether a config or a container that names these requests means the one of a result;
// "gpu" means "gpu" and each of its subrequests, "gpu/big".
func matches(names []string, request string) bool {
	main, _, _ := strings.Cut(request, "/")
	return slices.Contains(names, request) || slices.Contains(names, main)
}
