package cri

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestUsersGroupsAndHomeComeFromThePodTheImageAndTheMachinesTables(t *testing.T) {
	table := func(text string) (out [][]string) {
		for line := range strings.Lines(text) {
			out = append(out, strings.Split(strings.TrimSpace(line), ":"))
		}
		return out
	}
	passwd := table("root:x:0:0:root:/root:/bin/sh\njo:x:1000:100:Jo:/home/jo:/bin/sh\nbroken\n")
	group := table("users:x:100:\nvideo:x:44:jo,root\nbroken\n")
	number := func(n int64) *rt.Int64Value { return &rt.Int64Value{Value: n} }
	ofImage := int64(1000)
	for _, test := range []struct {
		name     string
		security *rt.LinuxContainerSecurityContext
		image    *int64
		want     string
	}{
		{"nothing said: root", nil, nil, "0 0 [44] /root"},
		{"the image's user", nil, &ofImage, "1000 100 [44] /home/jo"},
		{"the Pod's user wins", &rt.LinuxContainerSecurityContext{RunAsUser: number(7)}, &ofImage, "7 0 [] /"},
		{"by name", &rt.LinuxContainerSecurityContext{RunAsUsername: "jo"}, nil, "1000 100 [44] /home/jo"},
		{"group and merged groups", &rt.LinuxContainerSecurityContext{RunAsUser: number(1000), RunAsGroup: number(5), SupplementalGroups: []int64{9, 44}}, nil, "1000 5 [9 44] /home/jo"},
		{"strict groups", &rt.LinuxContainerSecurityContext{RunAsUser: number(1000), SupplementalGroups: []int64{9}, SupplementalGroupsPolicy: rt.SupplementalGroupsPolicy_Strict}, nil, "1000 100 [9] /home/jo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := resolve(test.security, test.image, passwd, group)
			if got := fmt.Sprint(u.uid, u.gid, " ", u.groups, " ", u.home); err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestAddressesAreUniqueRestAfterUseAndRunOut(t *testing.T) {
	pool, err := newAddresses("127.9.0.0/29")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	first, _ := pool.next(taken)
	if second, _ := pool.next(taken); first != "127.9.0.1" || second != "127.9.0.2" {
		t.Errorf("got %s and then %s, although nothing is taken", first, second)
	}
	for range 6 {
		ip, err := pool.next(taken)
		if err != nil || taken[ip] {
			t.Fatalf("got %s, %v with %v", ip, err, taken)
		}
		taken[ip] = true
	}
	if ip, err := pool.next(taken); err == nil {
		t.Errorf("got %s although all are taken", ip)
	}
	for _, bad := range []string{"", "127.0.0.1", "::1/64", "10.0.0.0/30"} {
		if _, err := newAddresses(bad); err == nil {
			t.Errorf("%q is a network", bad)
		}
	}
}

func TestAStopSignalHasItsNumber(t *testing.T) {
	for signal, want := range map[rt.Signal]unix.Signal{
		rt.Signal_RUNTIME_DEFAULT: unix.SIGTERM, rt.Signal_SIGQUIT: unix.SIGQUIT, rt.Signal_SIGUSR1: unix.SIGUSR1,
		rt.Signal_SIGRTMIN: 34, rt.Signal_SIGRTMINPLUS3: 37, rt.Signal_SIGRTMAX: 64, rt.Signal_SIGRTMAXMINUS2: 62,
	} {
		if got := stopSignal(signal); got != want {
			t.Errorf("%v: got %d, want %d", signal, got, want)
		}
	}
}

func TestPrivilegedHasAllCapabilitiesAndAmbientOnesAreInTheBoundingSet(t *testing.T) {
	bounding, _, err := capabilities(&rt.LinuxContainerSecurityContext{Privileged: true, Capabilities: &rt.Capability{DropCapabilities: []string{"ALL"}}})
	if err != nil || len(bounding) != len(capabilityNumbers) {
		t.Errorf("got %v, %v", bounding, err)
	}
	bounding, ambient, err := capabilities(&rt.LinuxContainerSecurityContext{Capabilities: &rt.Capability{DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"NET_RAW"}}})
	if err != nil || !slices.Equal(bounding, []int{unix.CAP_NET_RAW}) || !slices.Equal(ambient, bounding) {
		t.Errorf("got %v, %v, %v", bounding, ambient, err)
	}
}
