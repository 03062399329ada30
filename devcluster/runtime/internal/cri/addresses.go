package cri

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Pods share the machine's network, so a Pod's address is one of the machine's own that no other Pod has: all of
// 127.0.0.0/8 belongs to the loopback interface, and any other range that is routed there does as well.
// A server in a Pod must bind its Pod's address ($POD_IP); one that binds all of them collides with its neighbours.

type addresses struct {
	base uint32
	size uint32
	last uint32
}

func newAddresses(network string) (*addresses, error) {
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if !prefix.Addr().Is4() || prefix.Bits() > 29 {
		return nil, fmt.Errorf("network %s: an IPv4 range of at least 8 addresses is needed", network)
	}
	first := prefix.Masked().Addr().As4()
	return &addresses{base: binary.BigEndian.Uint32(first[:]), size: 1 << (32 - prefix.Bits())}, nil
}

var errNoAddress = errors.New("no Pod address is left in the network")

// next gives the address after the last one that is not taken: one that was just given up rests, so that a
// late packet for the old Pod does not reach a new one.
func (a *addresses) next(taken map[string]bool) (string, error) {
	for range a.size {
		a.last = a.last%(a.size-2) + 1
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a.base+a.last)
		if ip := netip.AddrFrom4(b).String(); !taken[ip] {
			return ip, nil
		}
	}
	return "", errNoAddress
}
