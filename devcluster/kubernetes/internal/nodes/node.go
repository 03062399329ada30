package nodes

import (
	"encoding/json"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/version"
)

const (
	// managedLabel marks the Nodes that this agent made, and therefore may remove.
	managedLabel = "devcluster.test/nodes"
	managedValue = "without-machine"
	// appliedAnnotation holds what the file said last, so that what it no longer says can be taken
	// away without touching what controllers and people have put on the Node.
	appliedAnnotation = "devcluster.test/applied"
)

// applied is the part of a node that others may change on the Node.
type applied struct {
	Labels map[string]string `json:"labels"`
	Taints []v1.Taint        `json:"taints"`
}

// apply makes the Node what the file says, and reports whether that changed its metadata or spec.
func apply(n node, object *v1.Node) bool {
	before := object.DeepCopy()
	var last applied
	// An annotation that somebody broke counts as none: nothing is taken away.
	_ = json.Unmarshal([]byte(object.Annotations[appliedAnnotation]), &last)
	if object.Labels == nil {
		object.Labels = map[string]string{}
	}
	for key := range last.Labels {
		if _, ok := n.labels[key]; !ok {
			delete(object.Labels, key)
		}
	}
	maps.Copy(object.Labels, n.labels)
	object.Spec.Taints = slices.DeleteFunc(object.Spec.Taints, func(t v1.Taint) bool {
		same := func(o v1.Taint) bool { return o.MatchTaint(&t) }
		return slices.ContainsFunc(last.Taints, same) || slices.ContainsFunc(n.taints, same)
	})
	object.Spec.Taints = append(object.Spec.Taints, n.taints...)
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	// A struct of strings always marshals.
	content, _ := json.Marshal(applied{n.labels, n.taints})
	object.Annotations[appliedAnnotation] = string(content)
	return !equality.Semantic.DeepEqual(before, object)
}

// applyStatus makes the Node's status that of a healthy one, and reports whether that changed it.
//
// There is no InternalIP: nobody listens, and the API server says so at once when somebody asks for
// logs, where an address would let it dial until it gives up.
func applyStatus(n node, object *v1.Node, now metav1.Time) bool {
	before := object.DeepCopy()
	status := &object.Status
	status.Capacity, status.Allocatable = n.capacity.DeepCopy(), n.capacity.DeepCopy()
	status.Addresses = []v1.NodeAddress{{Type: v1.NodeHostName, Address: n.name}}
	status.NodeInfo.KubeletVersion = version.Get().GitVersion
	status.NodeInfo.OperatingSystem, status.NodeInfo.Architecture = "linux", "amd64"
	status.NodeInfo.ContainerRuntimeVersion = "none://0"
	status.NodeInfo.OSImage = "none: a Node without a machine"
	for _, c := range []v1.NodeCondition{
		{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "this Node has no machine and is always ready"},
		{Type: v1.NodeMemoryPressure, Status: v1.ConditionFalse, Reason: "KubeletHasSufficientMemory"},
		{Type: v1.NodeDiskPressure, Status: v1.ConditionFalse, Reason: "KubeletHasNoDiskPressure"},
		{Type: v1.NodePIDPressure, Status: v1.ConditionFalse, Reason: "KubeletHasSufficientPID"},
	} {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		i := slices.IndexFunc(status.Conditions, func(o v1.NodeCondition) bool { return o.Type == c.Type })
		switch {
		case i < 0:
			status.Conditions = append(status.Conditions, c)
		case status.Conditions[i].Status != c.Status:
			status.Conditions[i] = c
		}
	}
	return !equality.Semantic.DeepEqual(before, object)
}
