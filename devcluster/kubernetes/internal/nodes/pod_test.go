package nodes

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 400_000_000, time.UTC)

func aPod() *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eugo", Name: "ws", UID: "u1", Generation: 3},
		Spec: v1.PodSpec{
			NodeName:       "scale-0",
			InitContainers: []v1.Container{{Name: "init", Image: "i"}, {Name: "sidecar", Image: "s", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}},
			Containers:     []v1.Container{{Name: "notebook", Image: "n"}},
		},
		Status: v1.PodStatus{Phase: v1.PodPending},
	}
}

func TestAPodRunsAtOnce(t *testing.T) {
	status, wait := running(aPod(), 0, "198.18.0.1", noon)
	if wait != 0 || status.Phase != v1.PodRunning || status.PodIP != "198.18.0.1" || status.StartTime == nil {
		t.Errorf("wait %v, status %+v", wait, status)
	}
	for _, c := range status.Conditions {
		if c.Status != v1.ConditionTrue {
			t.Errorf("%s is %s", c.Type, c.Status)
		}
	}
	if c := status.ContainerStatuses[0]; !c.Ready || !*c.Started || c.State.Running == nil || c.Name != "notebook" {
		t.Errorf("the container: %+v", c)
	}
}

func TestInitContainersHaveCompletedAndSidecarsRun(t *testing.T) {
	status, _ := running(aPod(), 0, "198.18.0.1", noon)
	if s := status.InitContainerStatuses[0].State.Terminated; s == nil || s.Reason != "Completed" || s.ExitCode != 0 {
		t.Errorf("the init container: %+v", status.InitContainerStatuses[0])
	}
	if s := status.InitContainerStatuses[1]; s.State.Running == nil || !s.Ready {
		t.Errorf("the sidecar: %+v", s)
	}
}

func TestAPodIsReadyAfterItsDelayAndNotBefore(t *testing.T) {
	pod := aPod()
	status, wait := running(pod, 2*time.Second, "198.18.0.1", noon)
	if wait != 2*time.Second || status.Phase != v1.PodRunning || status.ContainerStatuses[0].Ready {
		t.Fatalf("at first: wait %v, %+v", wait, status)
	}
	pod.Status = status
	if ready := condition(pod, v1.PodReady); ready.Status != v1.ConditionFalse || ready.Reason != "ContainersNotReady" {
		t.Errorf("at first: %+v", ready)
	}
	status, wait = running(pod, 2*time.Second, "198.18.0.1", noon.Add(2*time.Second))
	pod.Status = status
	if ready := condition(pod, v1.PodReady); wait != 0 || ready.Status != v1.ConditionTrue {
		t.Errorf("after two seconds: wait %v, %+v", wait, ready)
	}
}

func TestTheDelayOfThePodWinsOverTheNodes(t *testing.T) {
	for _, c := range []struct {
		name, annotation string
		want             time.Duration
	}{
		{"the Node's without an annotation", "", 5 * time.Second},
		{"the Pod's with one", "300ms", 300 * time.Millisecond},
		{"none is a delay too", "0s", 0},
		{"the Node's if the annotation is no duration", "soon", 5 * time.Second},
		{"the Node's if it is negative", "-1s", 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := aPod()
			if c.annotation != "" {
				pod.Annotations = map[string]string{readyAfterAnnotation: c.annotation}
			}
			if got := readyAfter(pod, node{readyAfter: 5 * time.Second}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAskingAgainChangesNothing(t *testing.T) {
	pod := aPod()
	pod.Status, _ = running(pod, 0, "198.18.0.1", noon)
	again, _ := running(pod, 0, "198.18.0.1", noon.Add(time.Hour))
	if !holds(pod, again) || !again.StartTime.Equal(pod.Status.StartTime) || !again.Conditions[0].LastTransitionTime.Equal(&pod.Status.Conditions[0].LastTransitionTime) {
		t.Errorf("first %+v, then %+v", pod.Status, again)
	}
}

func TestSomebodyElsesReadinessGateIsWaitedFor(t *testing.T) {
	pod := aPod()
	pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/open"}}
	pod.Status, _ = running(pod, 0, "198.18.0.1", noon)
	if c := condition(pod, v1.PodReady); c.Status != v1.ConditionFalse || c.Reason != "ReadinessGatesNotReady" {
		t.Errorf("closed: %+v", c)
	}
	if c := condition(pod, v1.ContainersReady); c.Status != v1.ConditionTrue {
		t.Errorf("its containers are ready all the same: %+v", c)
	}
	pod.Status.Conditions = append(pod.Status.Conditions, v1.PodCondition{Type: "example.com/open", Status: v1.ConditionTrue})
	opened, _ := running(pod, 0, "198.18.0.1", noon)
	if holds(pod, opened) {
		t.Error("the opened gate changes nothing")
	}
	pod.Status = opened
	if c := condition(pod, v1.PodReady); c.Status != v1.ConditionTrue {
		t.Errorf("open: %+v", c)
	}
}

func TestAddressesAreKeptAndNeverGivenTwice(t *testing.T) {
	a := newAddresses()
	if _, err := a.of("old", "198.18.0.2"); err != nil {
		t.Fatal(err)
	}
	first, _ := a.of("p1", "")
	second, _ := a.of("p2", "")
	again, _ := a.of("p1", "")
	if first != "198.18.0.1" || second != "198.18.0.3" || again != first {
		t.Errorf("got %s, %s and %s again; 198.18.0.2 is the old Pod's", first, second, again)
	}
	a.free("old")
	a.free("p1")
	if third, _ := a.of("p3", ""); third != "198.18.0.4" {
		t.Errorf("got %s; an address rests as long as there are others", third)
	}
}
