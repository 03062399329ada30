package multicall

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	table := Table{{Name: "etcd", Summary: "the store"}, {Name: "kubectl", Summary: "the client"}}
	for _, c := range []struct {
		name, program string
		argv, args    []string
	}{
		{"a link's name is the program", "kubectl", []string{"/some/bin/kubectl", "get", "pods"}, []string{"/some/bin/kubectl", "get", "pods"}},
		{"otherwise the first argument is", "etcd", []string{"kube", "etcd", "--data-dir", "d"}, []string{"etcd", "--data-dir", "d"}},
		{"a link's name wins over an argument that is a program too", "kubectl", []string{"kubectl", "etcd"}, []string{"kubectl", "etcd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, args, err := table.Select(c.argv)
			if err != nil || p.Name != c.program || !slices.Equal(args, c.args) {
				t.Errorf("Select(%q) = %q, %q, %v; want %q, %q", c.argv, p.Name, args, err, c.program, c.args)
			}
		})
	}
}

func TestSelectSaysWhatThereIs(t *testing.T) {
	table := Table{{Name: "etcd", Summary: "the store"}}
	for _, c := range []struct {
		name, problem string
		argv          []string
	}{
		{"without a program", "which program?", []string{"kube"}},
		{"with an unknown one", `no program "kublet"`, []string{"kube", "kublet"}},
		{"with a flag in its place", `no program "--help"`, []string{"kube", "--help"}},
		{"with no arguments at all", "which program?", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := table.Select(c.argv)
			var usage *UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("got %v, want a UsageError", err)
			}
			if !strings.Contains(err.Error(), c.problem) || !strings.Contains(err.Error(), "the store") {
				t.Errorf("the message %q names neither the problem nor the programs", err)
			}
		})
	}
}
