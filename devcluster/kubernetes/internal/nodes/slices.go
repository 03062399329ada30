package nodes

import (
	"context"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/dynamic-resource-allocation/resourceslice"

	"eugo.dev/devcluster/kubernetes/internal/inventory"
)

// A publisher publishes the devices of Nodes, by upstream's controller for drivers: one for each
// driver of each Node, because that is how slices of a Node are owned and told apart.
type publisher struct {
	client kubernetes.Interface

	mutex sync.Mutex
	nodes map[string]*published
}

// published are the drivers of a Node. The uid is part of it: a Node that was deleted and made again
// is another owner, and its slices went with the old one.
type published struct {
	uid         types.UID
	drivers     []inventory.Driver
	controllers map[string]*resourceslice.Controller
}

func newPublisher(client kubernetes.Interface) *publisher {
	return &publisher{client: client, nodes: map[string]*published{}}
}

// publish makes the slices of the Node's drivers what the file says. It returns at once; the
// controllers work, and try again, by themselves.
func (p *publisher) publish(ctx context.Context, n node, uid types.UID) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now := p.nodes[n.name]
	if now != nil && now.uid != uid {
		now.stop()
		now = nil
	}
	if now == nil {
		if len(n.drivers) == 0 {
			delete(p.nodes, n.name)
			return nil
		}
		now = &published{uid: uid, controllers: map[string]*resourceslice.Controller{}}
		p.nodes[n.name] = now
	}
	if reflect.DeepEqual(now.drivers, n.drivers) {
		return nil
	}
	wanted := map[string]*resourceslice.DriverResources{}
	for name := range now.controllers {
		wanted[name] = &resourceslice.DriverResources{} // unless it is still there
	}
	for _, d := range n.drivers {
		wanted[d.Name] = &resourceslice.DriverResources{Pools: map[string]resourceslice.Pool{n.name: {Slices: d.Slices()}}}
	}
	for name, resources := range wanted {
		if c := now.controllers[name]; c != nil {
			c.Update(resources)
			continue
		}
		c, err := resourceslice.StartController(ctx, resourceslice.Options{
			DriverName: name, KubeClient: p.client, Resources: resources,
			Owner: &resourceslice.Owner{APIVersion: "v1", Kind: "Node", Name: n.name, UID: uid},
			ErrorHandler: func(ctx context.Context, err error, message string) {
				runtime.HandleErrorWithContext(ctx, err, message, "node", n.name, "driver", name)
			},
		})
		if err != nil {
			return err
		}
		now.controllers[name] = c
	}
	now.drivers = n.drivers
	return nil
}

// forget stops publishing for a Node; its slices go with it.
func (p *publisher) forget(name string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if now := p.nodes[name]; now != nil {
		now.stop()
		delete(p.nodes, name)
	}
}

func (p *published) stop() {
	for _, c := range p.controllers {
		c.Stop()
	}
}

func (p *publisher) stop() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, now := range p.nodes {
		now.stop()
	}
}
