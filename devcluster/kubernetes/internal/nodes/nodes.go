// Package nodes keeps Nodes without machines: for scheduling and scale tests, and to show a cluster
// bigger than the computer it runs on.
//
// The Nodes of a file are created, kept Ready by Leases as a kubelet would, publish the devices the
// file gives them, and are removed when they leave the file. Pods bound to them are reported Running
// (and Ready, after a delay if one is wanted) without anything being run, and are gone as soon as they
// are deleted. Who may schedule where, quotas, claims and everything else remain upstream's: only the
// kubelet's half is made up, and only these Nodes' half of that.
//
// The file (package documentation of inventory for the devices; README.md for an example):
//
//	nodes:
//	- prefix: scale-            # scale-0 … scale-99; or name: for a single Node
//	  count: 100
//	  labels: {pool: scale}
//	  taints: [{key: scale, effect: NoSchedule}]
//	  capacity: {cpu: "64", memory: 256Gi, pods: "250"}
//	  readyAfter: 2s            # a Pod's annotation devcluster.test/ready-after wins
//	  drivers: [{name: gpu.devcluster.test, devices: […]}]
package nodes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"eugo.dev/devcluster/kubernetes/internal/agent"
)

const (
	// podWorkers and nodeWorkers bound how many requests are under way at once: enough to keep a few
	// cores busy. With them 500 Pods are Ready 1.6 s (median) after they were created on two cores.
	podWorkers, nodeWorkers = 16, 8
	// requestsPerSecond is no real bound: the API server's priority and fairness is.
	requestsPerSecond = 2000
)

// Options are the flags of the command.
type Options struct {
	// Kubeconfig names the cluster and the identity.
	Kubeconfig string
	// Nodes is the file of Nodes.
	Nodes string
}

// NewCommand returns the command `nodes`.
func NewCommand() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "nodes",
		Short: "Keep Nodes without machines; report Pods on them as running",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := agent.Signals(context.Background())
			defer stop()
			return Run(ctx, o)
		},
	}
	c.Flags().StringVar(&o.Kubeconfig, "kubeconfig", "", "file that names the cluster and the identity (required)")
	c.Flags().StringVar(&o.Nodes, "nodes", "", "YAML file of Nodes; read again when it changes (required)")
	for _, flag := range []string{"kubeconfig", "nodes"} {
		if err := c.MarkFlagRequired(flag); err != nil {
			panic(err) // only if the flag's name is misspelt
		}
	}
	return c
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	client, err := agent.Client(o.Kubeconfig, "nodes", requestsPerSecond)
	if err != nil {
		return err
	}
	k, err := newKeeper(client)
	if err != nil {
		return err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return agent.Watch(ctx, o.Nodes, func(content []byte) error {
		nodes, err := parse(content)
		if err != nil {
			return err
		}
		first := k.want(nodes)
		if first {
			workers.Go(func() { k.run(ctx) })
		}
		return nil
	})
}

// A keeper makes the wanted Nodes true, and what is bound to them.
type keeper struct {
	client    kubernetes.Interface
	nodes     cache.SharedIndexInformer
	pods      cache.SharedIndexInformer
	nodeQueue workqueue.TypedRateLimitingInterface[string]
	podQueue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	addresses *addresses
	slices    *publisher

	mutex  sync.Mutex
	wanted map[string]node
}

// podsByNode is the index by which the Pods of a Node are found.
const podsByNode = "node"

func newKeeper(client kubernetes.Interface) (*keeper, error) {
	only := func(tweak func(*metav1.ListOptions)) informers.SharedInformerFactory {
		return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(tweak))
	}
	k := &keeper{
		client: client,
		nodes: only(func(o *metav1.ListOptions) {
			o.LabelSelector = managedLabel + "=" + managedValue
		}).Core().V1().Nodes().Informer(),
		pods: only(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}).Core().V1().Pods().Informer(),
		nodeQueue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 10*time.Second)),
		podQueue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](50*time.Millisecond, 10*time.Second)),
		addresses: newAddresses(),
		slices:    newPublisher(client),
	}
	if err := k.pods.AddIndexers(cache.Indexers{podsByNode: func(o any) ([]string, error) {
		pod, ok := o.(*v1.Pod)
		if !ok {
			return nil, fmt.Errorf("a %T among the Pods", o)
		}
		return []string{pod.Spec.NodeName}, nil
	}}); err != nil {
		return nil, err
	}
	if _, err := k.nodes.AddEventHandler(handler(func(o metav1.Object, _ bool) { k.nodeQueue.Add(o.GetName()) })); err != nil {
		return nil, err
	}
	_, err := k.pods.AddEventHandler(handler(func(o metav1.Object, gone bool) {
		if gone {
			k.addresses.free(o.GetUID())
			return
		}
		k.podQueue.Add(cache.MetaObjectToName(o))
	}))
	return k, err
}

// handler calls f for each object that came, changed or is gone.
func handler(f func(o metav1.Object, gone bool)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if object, ok := o.(metav1.Object); ok {
				f(object, false)
			}
		},
		UpdateFunc: func(_, o any) {
			if object, ok := o.(metav1.Object); ok {
				f(object, false)
			}
		},
		DeleteFunc: func(o any) {
			if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			if object, ok := o.(metav1.Object); ok {
				f(object, true)
			}
		},
	}
}

// want replaces the wanted Nodes and looks at all Nodes anew; it reports whether it is the first time.
func (k *keeper) want(nodes map[string]node) (first bool) {
	k.mutex.Lock()
	first = k.wanted == nil
	k.wanted = nodes
	k.mutex.Unlock()
	for name := range nodes {
		k.nodeQueue.Add(name)
	}
	for _, name := range k.nodes.GetStore().ListKeys() {
		k.nodeQueue.Add(name)
	}
	for _, name := range k.pods.GetStore().ListKeys() {
		if key, err := cache.ParseObjectName(name); err == nil {
			k.podQueue.Add(key)
		}
	}
	return first
}

func (k *keeper) node(name string) (node, bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	n, ok := k.wanted[name]
	return n, ok
}

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	defer k.slices.stop()
	all.Go(func() { k.nodes.RunWithContext(ctx) })
	all.Go(func() { k.pods.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), k.nodes.HasSynced, k.pods.HasSynced) {
		return
	}
	k.adoptAddresses()
	k.adoptNodes()
	for range nodeWorkers {
		all.Go(func() { work(ctx, k.nodeQueue, "node", k.keepNode) })
	}
	for range podWorkers {
		all.Go(func() { work(ctx, k.podQueue, "pod", k.keepPod) })
	}
	<-ctx.Done()
	k.nodeQueue.ShutDown()
	k.podQueue.ShutDown()
}

// adoptAddresses learns the addresses that Pods have, before any is given away.
func (k *keeper) adoptAddresses() {
	for _, o := range k.pods.GetStore().List() {
		if pod, ok := o.(*v1.Pod); ok && pod.Status.PodIP != "" {
			// Of a Pod that has an address this cannot fail.
			_, _ = k.addresses.of(pod.UID, pod.Status.PodIP)
		}
	}
}

// adoptNodes looks at the Nodes of an earlier run, of which some may have left the file since.
func (k *keeper) adoptNodes() {
	for _, name := range k.nodes.GetStore().ListKeys() {
		k.nodeQueue.Add(name)
	}
}

// work takes keys from a queue until it is shut down. A key that failed is tried again, later each
// time; one that wants to be looked at again later says when.
func work[K comparable](ctx context.Context, queue workqueue.TypedRateLimitingInterface[K], kind string, do func(context.Context, K) (time.Duration, error)) {
	for {
		key, quit := queue.Get()
		if quit {
			return
		}
		again, err := do(ctx, key)
		switch {
		case err != nil && ctx.Err() == nil:
			// Somebody was faster: nothing is wrong, and the next look sees what they did.
			if !apierrors.IsConflict(err) {
				klog.FromContext(ctx).Error(err, "Failed; it is tried again", kind, key)
			}
			queue.AddRateLimited(key)
		case err == nil:
			queue.Forget(key)
			if again > 0 {
				queue.AddAfter(key, again)
			}
		}
		queue.Done(key)
	}
}
