package provisioner

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// An expander gives bound claims the size they ask for.
//
// Whether a claim may grow was decided before: the API server refuses to shrink it, and to grow it
// unless its StorageClass allows expansion. A folder has no size, so what remains is to say so: first
// in the volume's capacity, then in the claim's status. Each step is found undone and done again if
// the process dies between them.
type expander struct {
	client      kubernetes.Interface
	provisioner string
	claims      corelisters.PersistentVolumeClaimLister
	volumes     corelisters.PersistentVolumeLister
	recorder    record.EventRecorder
	queue       workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// Where a volume says who made it; the provisioner library writes it.
const provisionedBy = "pv.kubernetes.io/provisioned-by"

func newExpander(client kubernetes.Interface, provisioner string, claims, volumes cache.SharedIndexInformer, recorder record.EventRecorder) (*expander, error) {
	e := &expander{
		client: client, provisioner: provisioner, recorder: recorder,
		claims:  corelisters.NewPersistentVolumeClaimLister(claims.GetIndexer()),
		volumes: corelisters.NewPersistentVolumeLister(volumes.GetIndexer()),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](100*time.Millisecond, time.Minute)),
	}
	_, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { e.enqueue(o) },
		UpdateFunc: func(_, o any) { e.enqueue(o) },
	})
	return e, err
}

func (e *expander) enqueue(o any) {
	if claim, ok := o.(*v1.PersistentVolumeClaim); ok && wants(claim) != nil {
		e.queue.Add(cache.MetaObjectToName(claim))
	}
}

// wants returns the size that a bound claim asks for and does not have; nil if it has it.
func wants(claim *v1.PersistentVolumeClaim) *resource.Quantity {
	asked, has := claim.Spec.Resources.Requests[v1.ResourceStorage], claim.Status.Capacity[v1.ResourceStorage]
	if claim.Status.Phase != v1.ClaimBound || claim.DeletionTimestamp != nil || asked.Cmp(has) <= 0 {
		return nil
	}
	return &asked
}

// run works until ctx ends.
func (e *expander) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		e.queue.ShutDown()
	}()
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		for e.next(ctx) {
		}
	}, time.Second)
}

func (e *expander) next(ctx context.Context) bool {
	name, quit := e.queue.Get()
	if quit {
		return false
	}
	defer e.queue.Done(name)
	if err := e.expand(ctx, name); err != nil {
		if !apierrors.IsConflict(err) {
			klog.FromContext(ctx).Error(err, "Expanding a volume failed; it is tried again", "claim", name)
		}
		e.queue.AddRateLimited(name)
		return true
	}
	e.queue.Forget(name)
	return true
}

func (e *expander) expand(ctx context.Context, name cache.ObjectName) error {
	claim, err := e.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	size := wants(claim)
	if size == nil {
		return nil
	}
	volume, err := e.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return fmt.Errorf("read the volume of claim %s: %w", name, err)
	}
	if volume.Annotations[provisionedBy] != e.provisioner {
		return nil
	}
	if has := volume.Spec.Capacity[v1.ResourceStorage]; has.Cmp(*size) < 0 {
		volume = volume.DeepCopy()
		volume.Spec.Capacity[v1.ResourceStorage] = *size
		if _, err := e.client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("grow volume %s to %s: %w", volume.Name, size, err)
		}
	}
	claim = claim.DeepCopy()
	if claim.Status.Capacity == nil {
		claim.Status.Capacity = v1.ResourceList{}
	}
	claim.Status.Capacity[v1.ResourceStorage] = *size
	// What upstream's controllers note while an expansion is under way; this one is done.
	delete(claim.Status.AllocatedResources, v1.ResourceStorage)
	delete(claim.Status.AllocatedResourceStatuses, v1.ResourceStorage)
	claim.Status.Conditions = nil
	if _, err := e.client.CoreV1().PersistentVolumeClaims(name.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("tell claim %s its new size: %w", name, err)
	}
	e.recorder.Eventf(claim, v1.EventTypeNormal, "VolumeResizeSuccessful", "The volume has %s now; a folder needs no restart of its Pods", size)
	return nil
}
