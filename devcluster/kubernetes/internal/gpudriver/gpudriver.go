// Package gpudriver is a DRA driver for GPUs that are not there.
//
// To the scheduler and the kubelet it is a driver like any other, built on upstream's plugin library:
// it publishes ResourceSlices for its Node, and prepares the claims of Pods that were given one of its
// devices. There is no device to open, so preparing means one CDI file per claim that sets what a
// process beside real hardware would find in its environment:
//
//	NVIDIA_VISIBLE_DEVICES            uuids of the devices the container may use (MIG-… for partitions)
//	CUDA_DEVICE_SM_LIMIT_<i>          share of the i-th device in percent, if it is a share (as HAMi)
//	CUDA_DEVICE_MEMORY_LIMIT_<i>      and of its memory in MiB, with the unit: 20480m
//	CUDA_MPS_ACTIVE_THREAD_PERCENTAGE if the claim asks for MPS (as NVIDIA's GpuConfig)
//
// One process serves all drivers of the devices file (package inventory) and reads it again when it
// changes. A driver that leaves the file publishes nothing any more, but still lets go of its claims.
package gpudriver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"

	"eugo.dev/devcluster/kubernetes/internal/agent"
	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

// Options are the flags of the command.
type Options struct {
	// Kubeconfig names the cluster and the identity, Node the Node the devices are on.
	Kubeconfig, Node string
	// KubeletRoot is the kubelet's --root-dir: sockets are made below it.
	KubeletRoot string
	// CDI is the folder that the container runtime reads CDI files from.
	CDI string
	// Devices is the file of package inventory.
	Devices string
}

// NewCommand returns the command `gpu-driver`.
func NewCommand() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "gpu-driver",
		Short: "Publish and prepare GPUs that are not there, as DRA kubelet plugins",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := agent.Signals(context.Background())
			defer stop()
			return Run(ctx, o)
		},
	}
	for flag, target := range map[string]struct {
		value *string
		usage string
	}{
		"kubeconfig":   {&o.Kubeconfig, "file that names the cluster and the identity"},
		"node":         {&o.Node, "name of the Node that has the devices"},
		"kubelet-root": {&o.KubeletRoot, "the kubelet's --root-dir"},
		"cdi":          {&o.CDI, "folder that the container runtime reads CDI files from"},
		"devices":      {&o.Devices, "YAML file of drivers and devices; read again when it changes"},
	} {
		c.Flags().StringVar(target.value, flag, "", target.usage+" (required)")
		if err := c.MarkFlagRequired(flag); err != nil {
			panic(err) // only if the flag's name is misspelt
		}
	}
	return c
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	client, err := agent.Client(o.Kubeconfig, "gpu-driver", 50)
	if err != nil {
		return err
	}
	for _, path := range []string{o.CDI, filepath.Join(o.KubeletRoot, "plugins_registry")} {
		if err := os.MkdirAll(path, 0o750); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &drivers{options: o, client: client, served: map[string]*served{}, fail: cancel}
	defer d.stop()
	if err := agent.Watch(ctx, o.Devices, func(content []byte) error { return d.load(ctx, content) }); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// drivers are the plugins of one process, by the name of their driver.
type drivers struct {
	options Options
	client  kubernetes.Interface
	served  map[string]*served
	fail    context.CancelCauseFunc
}

type served struct {
	plugin *plugin
	helper *kubeletplugin.Helper
}

// load makes the content of the devices file true.
func (d *drivers) load(ctx context.Context, content []byte) error {
	file, err := inventory.Parse(content)
	if err != nil {
		return err
	}
	for _, driver := range file.Drivers {
		if err := d.serve(ctx, driver); err != nil {
			return fmt.Errorf("driver %s: %w", driver.Name, err)
		}
	}
	for name, s := range d.served {
		if !slices.ContainsFunc(file.Drivers, func(f inventory.Driver) bool { return f.Name == name }) {
			s.plugin.setDevices(inventory.Driver{Name: name})
			if err := s.helper.PublishResources(ctx, resourceslice.DriverResources{}); err != nil {
				return fmt.Errorf("driver %s: %w", name, err)
			}
		}
	}
	return nil
}

// serve publishes the driver's devices, and starts its plugin if it is new. The library compares with
// what is published: a change makes a new generation of the pool, no change makes no request.
func (d *drivers) serve(ctx context.Context, driver inventory.Driver) error {
	s, ok := d.served[driver.Name]
	if !ok {
		var err error
		if s, err = d.start(ctx, driver); err != nil {
			return err
		}
		d.served[driver.Name] = s
	}
	s.plugin.setDevices(driver)
	return s.helper.PublishResources(ctx, resourceslice.DriverResources{
		Pools: map[string]resourceslice.Pool{d.options.Node: {Slices: driver.Slices()}},
	})
}

// maxSocketPath is what fits into sun_path of Linux beside its closing zero (unix(7)).
const maxSocketPath = 107

func (d *drivers) start(ctx context.Context, driver inventory.Driver) (*served, error) {
	data := filepath.Join(d.options.KubeletRoot, "plugins", driver.Name)
	registry := filepath.Join(d.options.KubeletRoot, "plugins_registry")
	for _, socket := range []string{filepath.Join(data, "dra.sock"), filepath.Join(registry, driver.Name+"-reg.sock")} {
		if len(socket) > maxSocketPath {
			return nil, fmt.Errorf("the socket %s has %d characters and may have %d; use a shorter --kubelet-root", socket, len(socket), maxSocketPath)
		}
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	p := &plugin{cdi: cdiFolder{path: d.options.CDI, driver: driver.Name}, pool: d.options.Node, driver: driver, fail: d.fail}
	if err := p.cdi.removeTemporary(); err != nil {
		return nil, fmt.Errorf("tidy the folder --cdi: %w", err)
	}
	helper, err := kubeletplugin.Start(ctx, p,
		kubeletplugin.KubeClient(d.client),
		kubeletplugin.NodeName(d.options.Node),
		kubeletplugin.DriverName(driver.Name),
		kubeletplugin.RegistrarDirectoryPath(registry),
		kubeletplugin.PluginDataDirectoryPath(data))
	if err != nil {
		return nil, err
	}
	return &served{plugin: p, helper: helper}, nil
}

func (d *drivers) stop() {
	for _, s := range d.served {
		s.helper.Stop()
	}
}
