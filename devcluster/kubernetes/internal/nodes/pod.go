package nodes

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// readyAfterAnnotation on a Pod says how long it runs before it is Ready, in place of what its Node says.
const readyAfterAnnotation = "devcluster.test/ready-after"

// readyAfter returns how long the Pod runs before it is Ready. A duration that is none counts as none.
func readyAfter(pod *v1.Pod, n node) time.Duration {
	if d, err := time.ParseDuration(pod.Annotations[readyAfterAnnotation]); err == nil && d >= 0 {
		return d
	}
	return n.readyAfter
}

// running returns the status of a Pod whose containers all run, and how long until it is Ready; zero
// if it is, or waits for somebody else's readiness gate.
//
// It says what a kubelet would say: init containers have completed, sidecars and containers run. Times
// are kept from an earlier status, so that asking again after a restart of the agent changes nothing.
func running(pod *v1.Pod, delay time.Duration, ip string, now time.Time) (v1.PodStatus, time.Duration) {
	started := metav1.NewTime(now.Truncate(time.Second))
	if pod.Status.StartTime != nil {
		started = *pod.Status.StartTime
	}
	// Times in the API have whole seconds, and truncation must not shorten the first wait: a Pod that is
	// seen for the first time waits from now.
	wait := delay
	if pod.Status.StartTime != nil {
		wait = delay - now.Sub(started.Time)
	}
	wait = max(wait, 0)
	ready := wait == 0
	status := v1.PodStatus{
		Phase: v1.PodRunning, StartTime: &started, PodIP: ip, PodIPs: []v1.PodIP{{IP: ip}},
		ObservedGeneration: pod.Generation,
	}
	for _, c := range pod.Spec.InitContainers {
		s := containerStatus(pod, c, started, true)
		if ptr.Deref(c.RestartPolicy, "") != v1.ContainerRestartPolicyAlways {
			s.Started = ptr.To(false)
			s.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
				Reason: "Completed", StartedAt: started, FinishedAt: started, ContainerID: s.ContainerID}}
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, s)
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(pod, c, started, ready))
	}
	status.Conditions = conditions(pod, ready, metav1.NewTime(now))
	return status, wait
}

func containerStatus(pod *v1.Pod, c v1.Container, started metav1.Time, ready bool) v1.ContainerStatus {
	return v1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: fmt.Sprintf("none://%s/%s", pod.UID, c.Name),
		Ready: ready, Started: ptr.To(true), State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: started}},
	}
}

func conditions(pod *v1.Pod, containersReady bool, now metav1.Time) []v1.PodCondition {
	ready := v1.PodCondition{Type: v1.PodReady, Status: truth(containersReady)}
	if !containersReady {
		ready.Reason, ready.Message = "ContainersNotReady", "containers with unready status: all"
	} else if gate := closedGate(pod); gate != "" {
		ready.Status, ready.Reason = v1.ConditionFalse, "ReadinessGatesNotReady"
		ready.Message = fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist or is not True", gate)
	}
	wanted := []v1.PodCondition{
		{Type: v1.PodReadyToStartContainers, Status: v1.ConditionTrue},
		{Type: v1.PodInitialized, Status: v1.ConditionTrue},
		{Type: v1.ContainersReady, Status: truth(containersReady), Reason: ready.Reason, Message: ready.Message},
		ready,
	}
	if containersReady {
		wanted[2].Reason, wanted[2].Message = "", ""
	}
	for i := range wanted {
		wanted[i].LastTransitionTime = now
		wanted[i].ObservedGeneration = pod.Generation
		if old := condition(pod, wanted[i].Type); old != nil && old.Status == wanted[i].Status {
			wanted[i].LastTransitionTime = old.LastTransitionTime
		}
	}
	return wanted
}

// closedGate returns a readiness gate whose condition is not True, or nothing.
func closedGate(pod *v1.Pod) v1.PodConditionType {
	for _, gate := range pod.Spec.ReadinessGates {
		if c := condition(pod, gate.ConditionType); c == nil || c.Status != v1.ConditionTrue {
			return gate.ConditionType
		}
	}
	return ""
}

func condition(pod *v1.Pod, kind v1.PodConditionType) *v1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// holds reports whether the Pod has the status already, leaving aside conditions that are not ours.
func holds(pod *v1.Pod, status v1.PodStatus) bool {
	if pod.Status.Phase != status.Phase || len(pod.Status.ContainerStatuses) != len(status.ContainerStatuses) {
		return false
	}
	for _, c := range status.Conditions {
		old := condition(pod, c.Type)
		if old == nil || old.Status != c.Status || old.Reason != c.Reason {
			return false
		}
	}
	return pod.Status.PodIP == status.PodIP
}

func truth(b bool) v1.ConditionStatus {
	if b {
		return v1.ConditionTrue
	}
	return v1.ConditionFalse
}
