package nodes

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/fake"
)

// aKeeper runs a keeper of the file against a client that keeps objects in memory.
func aKeeper(t *testing.T, file string) (*fake.Clientset, *keeper) {
	t.Helper()
	client := fake.NewClientset()
	k, err := newKeeper(client)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, k, file)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return client, k
}

func wants(t *testing.T, k *keeper, file string) {
	t.Helper()
	nodes, err := parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	k.want(nodes)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(context.Background(), 5*time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return is(), nil })
	if err != nil {
		t.Fatalf("never: %s", what)
	}
}

func nodeOf(client *fake.Clientset, name string) *v1.Node {
	n, err := client.CoreV1().Nodes().Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return n
}

func isReady(n *v1.Node) bool {
	return n != nil && slices.ContainsFunc(n.Status.Conditions, func(c v1.NodeCondition) bool {
		return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue
	})
}

func TestNodesOfTheFileAreReadyAndHaveALease(t *testing.T) {
	client, _ := aKeeper(t, "nodes: [{prefix: s-, count: 2}]")
	for _, name := range []string{"s-0", "s-1"} {
		eventually(t, name+" is Ready", func() bool { return isReady(nodeOf(client, name)) })
		lease, err := client.CoordinationV1().Leases(leases).Get(context.Background(), name, metav1.GetOptions{})
		if err != nil || *lease.Spec.LeaseDurationSeconds != 40 || len(lease.OwnerReferences) != 1 {
			t.Errorf("the Lease of %s: %+v, %v", name, lease, err)
		}
	}
}

func TestANodeThatLeavesTheFileGoesWithItsPods(t *testing.T) {
	client, k := aKeeper(t, "nodes: [{name: a}, {name: b}]")
	eventually(t, "both are Ready", func() bool { return isReady(nodeOf(client, "a")) && isReady(nodeOf(client, "b")) })
	pod := aPod()
	pod.Spec.NodeName = "b"
	if _, err := client.CoreV1().Pods(pod.Namespace).Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Pod is seen", func() bool { return len(k.pods.GetStore().List()) == 1 })
	wants(t, k, "nodes: [{name: a}]")
	eventually(t, "b is gone", func() bool { return nodeOf(client, "b") == nil })
	eventually(t, "its Pod is gone", func() bool {
		_, err := client.CoreV1().Pods(pod.Namespace).Get(context.Background(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if nodeOf(client, "a") == nil {
		t.Error("a is gone too")
	}
}

func TestWhatTheFileNoLongerSaysIsTakenAwayAndWhatOthersSaidStays(t *testing.T) {
	parsed := func(file string) node {
		nodes, err := parse([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		return nodes["a"]
	}
	object := &v1.Node{}
	apply(parsed("nodes: [{name: a, labels: {old: x, both: x}, taints: [{key: old, effect: NoSchedule}]}]"), object)
	object.Labels["mine"] = "x"
	object.Spec.Taints = append(object.Spec.Taints, v1.Taint{Key: "mine", Effect: v1.TaintEffectNoSchedule})
	if !apply(parsed("nodes: [{name: a, labels: {both: z, new: x}, taints: [{key: new, effect: NoSchedule}]}]"), object) {
		t.Error("nothing changed")
	}
	for label, want := range map[string]string{"old": "", "both": "z", "new": "x", "mine": "x"} {
		if object.Labels[label] != want {
			t.Errorf("label %s is %q, want %q", label, object.Labels[label], want)
		}
	}
	var keys []string
	for _, taint := range object.Spec.Taints {
		keys = append(keys, taint.Key)
	}
	if !slices.Equal(keys, []string{"mine", "new"}) {
		t.Errorf("taints %v", keys)
	}
	if apply(parsed("nodes: [{name: a, labels: {both: z, new: x}, taints: [{key: new, effect: NoSchedule}]}]"), object) {
		t.Error("the same again is a change")
	}
}

func TestPodsOfOtherNodesAreLeftAlone(t *testing.T) {
	client, k := aKeeper(t, "nodes: [{name: a}]")
	pod := aPod()
	pod.Spec.NodeName = "real"
	if _, err := client.CoreV1().Pods(pod.Namespace).Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Pod is seen", func() bool { return len(k.pods.GetStore().List()) == 1 })
	eventually(t, "a is Ready", func() bool { return isReady(nodeOf(client, "a")) })
	got, err := client.CoreV1().Pods(pod.Namespace).Get(context.Background(), pod.Name, metav1.GetOptions{})
	if err != nil || got.Status.Phase != v1.PodPending {
		t.Errorf("%+v, %v", got.Status, err)
	}
}

func TestANodesDevicesArePublished(t *testing.T) {
	client, k := aKeeper(t, "nodes: [{name: a, drivers: [{name: gpu.example.com, devices: [{name: gpu-0}]}]}]")
	slicesOf := func() int {
		all, err := client.ResourceV1().ResourceSlices().List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return -1
		}
		return len(all.Items)
	}
	eventually(t, "a slice", func() bool { return slicesOf() == 1 })
	wants(t, k, "nodes: [{name: a}]")
	eventually(t, "no slice once the driver left the file", func() bool { return slicesOf() == 0 })
}
