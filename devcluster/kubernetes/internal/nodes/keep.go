package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// A kubelet's own figures: a Node whose Lease is not renewed for 40 s is on its way to NotReady.
const (
	leaseSeconds  = 40
	renewInterval = 10 * time.Second
	leases        = v1.NamespaceNodeLease
)

// keepNode makes one Node what the file says, or removes it, and says when to look again.
func (k *keeper) keepNode(ctx context.Context, name string) (time.Duration, error) {
	n, wanted := k.node(name)
	object, err := k.stored(name)
	switch {
	case err != nil:
		return 0, err
	case !wanted:
		k.slices.forget(name)
		return 0, k.remove(ctx, object)
	case object == nil:
		object = &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		apply(n, object)
		if object, err = k.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return 0, fmt.Errorf("create the Node: %w", err)
		}
	default:
		object = object.DeepCopy()
		if apply(n, object) {
			if object, err = k.client.CoreV1().Nodes().Update(ctx, object, metav1.UpdateOptions{}); err != nil {
				return 0, fmt.Errorf("update the Node: %w", err)
			}
		}
	}
	// The Lease first: a Node is judged by it from the moment it says Ready.
	if err := k.renew(ctx, object); err != nil {
		return 0, fmt.Errorf("renew the Node's Lease: %w", err)
	}
	if applyStatus(n, object, metav1.Now()) {
		if object, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, object, metav1.UpdateOptions{}); err != nil {
			return 0, fmt.Errorf("update the Node's status: %w", err)
		}
	}
	if err := k.slices.publish(ctx, n, object.UID); err != nil {
		return 0, fmt.Errorf("publish the Node's devices: %w", err)
	}
	return renewInterval, nil
}

// stored returns the Node of that name that this agent made, or nil.
func (k *keeper) stored(name string) (*v1.Node, error) {
	o, ok, err := k.nodes.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil, err
	}
	object, ok := o.(*v1.Node)
	if !ok {
		return nil, fmt.Errorf("a %T among the Nodes", o)
	}
	return object, nil
}

// remove deletes a Node that left the file, and its Pods at once: the garbage collector would do it
// too, after a quarantine meant for machines that may come back.
func (k *keeper) remove(ctx context.Context, object *v1.Node) error {
	if object == nil {
		return nil
	}
	err := k.client.CoreV1().Nodes().Delete(ctx, object.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &object.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the Node: %w", err)
	}
	pods, err := k.pods.GetIndexer().ByIndex(podsByNode, object.Name)
	if err != nil {
		return err
	}
	for _, o := range pods {
		if pod, ok := o.(*v1.Pod); ok {
			if err := k.delete(ctx, pod); err != nil {
				return err
			}
		}
	}
	return nil
}

// renew says that the Node lives.
func (k *keeper) renew(ctx context.Context, owner *v1.Node) error {
	client := k.client.CoordinationV1().Leases(leases)
	now := metav1.NowMicro()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now}})
	if err != nil {
		return err
	}
	lease, err := client.Patch(ctx, owner.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: owner.Name, OwnerReferences: ownedBy(owner)},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &owner.Name, LeaseDurationSeconds: ptr.To[int32](leaseSeconds), RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err == nil && (len(lease.OwnerReferences) != 1 || lease.OwnerReferences[0].UID != owner.UID) {
		// Of an earlier Node of that name: it goes with that one, so it must belong to this one.
		lease.OwnerReferences = ownedBy(owner)
		_, err = client.Update(ctx, lease, metav1.UpdateOptions{})
	}
	return err
}

func ownedBy(n *v1.Node) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
}

// keepPod reports one Pod running, or lets it go.
func (k *keeper) keepPod(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	o, ok, err := k.pods.GetStore().GetByKey(name.String())
	if err != nil || !ok {
		return 0, err
	}
	pod, ok := o.(*v1.Pod)
	if !ok {
		return 0, fmt.Errorf("a %T among the Pods", o)
	}
	n, ours := k.node(pod.Spec.NodeName)
	switch {
	case !ours:
		return 0, nil
	case pod.DeletionTimestamp != nil:
		return 0, k.delete(ctx, pod)
	case pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed:
		return 0, nil // somebody, such as an eviction, has ended it
	}
	ip, err := k.addresses.of(pod.UID, pod.Status.PodIP)
	if err != nil {
		return 0, err
	}
	status, wait := running(pod, readyAfter(pod, n), ip, time.Now())
	if holds(pod, status) {
		return wait, nil
	}
	// A patch, because the scheduler and the resource claim controller write to the status too.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return 0, err
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("report the Pod running: %w", err)
	}
	return wait, nil
}

// delete takes the Pod out of the API: nothing runs, so nothing has to be waited for.
func (k *keeper) delete(ctx context.Context, pod *v1.Pod) error {
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the Pod: %w", err)
	}
	return nil
}
