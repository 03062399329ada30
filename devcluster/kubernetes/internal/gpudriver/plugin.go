package gpudriver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/klog/v2"
	healthapi "k8s.io/kubelet/pkg/apis/dra-health/v1alpha1"

	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

// A plugin serves one driver's claims. It keeps no state but its devices: a claim's file is written
// anew from the claim each time the kubelet asks, with the same content.
type plugin struct {
	// UnimplementedDRAResourceHealthServer answers what a later version of the health service may ask.
	healthapi.UnimplementedDRAResourceHealthServer

	cdi cdiFolder
	// pool is the name of the driver's pool of devices: the Node's.
	pool string
	// fail ends the process: some errors of the plugin library cannot be mended by going on.
	fail func(error)

	mutex  sync.Mutex
	driver inventory.Driver
}

var _ kubeletplugin.DRAPlugin = &plugin{}

func (p *plugin) devices() inventory.Driver {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.driver
}

func (p *plugin) setDevices(d inventory.Driver) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.driver = d
}

// PrepareResourceClaims writes the CDI file of each claim. The error of one does not hinder the others.
func (p *plugin) PrepareResourceClaims(ctx context.Context, claims []*resourceapi.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	results := map[types.UID]kubeletplugin.PrepareResult{}
	for _, claim := range claims {
		devices, err := p.prepare(claim)
		if err != nil {
			err = fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
		results[claim.UID] = kubeletplugin.PrepareResult{Devices: devices, Err: err}
		klog.FromContext(ctx).Info("Prepared a claim", "claim", klog.KObj(claim), "uid", claim.UID, "devices", len(devices), "err", err)
	}
	return results, nil
}

func (p *plugin) prepare(claim *resourceapi.ResourceClaim) ([]kubeletplugin.Device, error) {
	driver := p.devices()
	configs, err := claimConfigs(p.cdi.driver, claim.Status.Allocation.Devices.Config)
	if err != nil {
		return nil, err
	}
	var results []resourceapi.DeviceRequestAllocationResult
	var all []granted
	for _, result := range claim.Status.Allocation.Devices.Results {
		if result.Driver != p.cdi.driver {
			continue
		}
		g, err := grant(driver, result, configs)
		if err != nil {
			return nil, err
		}
		results, all = append(results, result), append(all, g)
	}
	views, err := views(claim.UID, all)
	if err != nil {
		return nil, err
	}
	if err := p.cdi.write(claim.UID, views); err != nil {
		return nil, fmt.Errorf("write the CDI file: %w", err)
	}
	return p.answer(claim.UID, results), nil
}

// views returns the CDI devices of a claim: one for each request, and one for the whole claim if it has
// several. A container's environment can name its devices only once, so each thing that a container
// may ask for has a CDI device that says all of it.
func views(claim types.UID, all []granted) ([]cdiDevice, error) {
	var devices []cdiDevice
	for _, request := range requests(all) {
		var of []granted
		for _, g := range all {
			if base(g.request) == request {
				of = append(of, g)
			}
		}
		env, err := environment(of)
		if err != nil {
			return nil, err
		}
		devices = append(devices, cdiDevice{Name: requestView(claim, request), Edits: cdiEdits{Env: env}})
	}
	if len(devices) > 1 {
		env, err := environment(all)
		if err != nil {
			return nil, err
		}
		devices = append(devices, cdiDevice{Name: claimView(claim), Edits: cdiEdits{Env: env}})
	}
	return devices, nil
}

func requests(all []granted) []string {
	var names []string
	for _, g := range all {
		if !slices.Contains(names, base(g.request)) {
			names = append(names, base(g.request))
		}
	}
	return names
}

// base returns the request of a subrequest: containers refer to requests only.
func base(request string) string {
	main, _, _ := strings.Cut(request, "/")
	return main
}

func requestView(claim types.UID, request string) string { return string(claim) + "-" + request }

func claimView(claim types.UID) string { return string(claim) + ".whole" }

// wholeClaim is associated with the view of a whole claim in place of a request. No request can have
// this name, so a container that asks for a single request never gets it; one that asks for the whole
// claim gets every view, this one last, and in CDI as in any environment the last one holds.
const wholeClaim = "*"

// answer tells the kubelet which CDI devices belong to which request.
func (p *plugin) answer(claim types.UID, results []resourceapi.DeviceRequestAllocationResult) []kubeletplugin.Device {
	var devices []kubeletplugin.Device
	var seen []string
	for _, r := range results {
		device := kubeletplugin.Device{Requests: []string{r.Request}, PoolName: r.Pool, DeviceName: r.Device, ShareID: r.ShareID}
		if request := base(r.Request); !slices.Contains(seen, request) {
			seen = append(seen, request)
			device.CDIDeviceIDs = []string{p.cdi.id(requestView(claim, request))}
		}
		devices = append(devices, device)
	}
	if len(seen) > 1 {
		devices = append(devices, kubeletplugin.Device{
			Requests: []string{wholeClaim}, PoolName: results[0].Pool, DeviceName: results[0].Device, ShareID: results[0].ShareID,
			CDIDeviceIDs: []string{p.cdi.id(claimView(claim))},
		})
	}
	return devices
}

// UnprepareResourceClaims removes the CDI file of each claim.
func (p *plugin) UnprepareResourceClaims(ctx context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	results := map[types.UID]error{}
	for _, claim := range claims {
		err := p.cdi.remove(claim.UID)
		results[claim.UID] = err
		klog.FromContext(ctx).Info("Unprepared a claim", "claim", claim.String(), "uid", claim.UID, "err", err)
	}
	return results, nil
}

// HandleError logs what the library could not do, and ends the process if the library says that going
// on is useless. What the API server refuses is not: it is retried, and the file may be mended meanwhile.
func (p *plugin) HandleError(ctx context.Context, err error, message string) {
	runtime.HandleErrorWithContext(ctx, err, message, "driver", p.cdi.driver)
	if !errors.Is(err, kubeletplugin.ErrRecoverable) {
		p.fail(fmt.Errorf("driver %s: %s: %w", p.cdi.driver, message, err))
	}
}
