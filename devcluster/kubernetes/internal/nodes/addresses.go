package nodes

import (
	"fmt"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// addresses gives each Pod an address of its own from a range where nobody answers.
//
// 198.18.0.0/15 is set aside for benchmarks (RFC 2544) and, unlike loopback, allowed in EndpointSlices.
// What is given is kept in the Pods' status; the agent learns it from there when it starts.
type addresses struct {
	mutex sync.Mutex
	next  netip.Addr
	byPod map[types.UID]netip.Addr
	taken map[netip.Addr]types.UID
}

var podRange = netip.MustParsePrefix("198.18.0.0/15")

func newAddresses() *addresses {
	return &addresses{next: podRange.Addr().Next(), byPod: map[types.UID]netip.Addr{}, taken: map[netip.Addr]types.UID{}}
}

// of returns the Pod's address: the one it has, or a free one.
func (a *addresses) of(pod types.UID, has string) (string, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if ip, ok := a.byPod[pod]; ok {
		return ip.String(), nil
	}
	if ip, err := netip.ParseAddr(has); err == nil {
		a.byPod[pod], a.taken[ip] = ip, pod
		return has, nil
	}
	for ip := a.next; ; ip = ip.Next() {
		if !podRange.Contains(ip) {
			ip = podRange.Addr().Next()
		}
		if _, ok := a.taken[ip]; !ok {
			a.byPod[pod], a.taken[ip], a.next = ip, pod, ip.Next()
			return ip.String(), nil
		}
		if ip.Next() == a.next {
			return "", fmt.Errorf("all addresses of %s are taken", podRange)
		}
	}
}

// free makes the Pod's address available again.
func (a *addresses) free(pod types.UID) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if ip, ok := a.byPod[pod]; ok {
		delete(a.byPod, pod)
		delete(a.taken, ip)
	}
}
