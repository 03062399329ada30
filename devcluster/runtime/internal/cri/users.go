package cri

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Who the command runs as: what the Pod says, else what the image says, else root. Names and memberships are those
// of the machine's /etc/passwd and /etc/group, because these are the image's as well.

type user struct {
	uid, gid int
	groups   []int
	home     string
}

func resolveUser(security *rt.LinuxContainerSecurityContext, ofImage *int64) (user, error) {
	passwd, err := readTable("/etc/passwd")
	if err != nil {
		return user{}, err
	}
	group, err := readTable("/etc/group")
	if err != nil {
		return user{}, err
	}
	return resolve(security, ofImage, passwd, group)
}

// resolve does it on the lines of the two tables, split at their colons.
func resolve(security *rt.LinuxContainerSecurityContext, ofImage *int64, passwd, group [][]string) (user, error) {
	if security.GetRunAsGroup() != nil && security.GetRunAsUser() == nil && security.GetRunAsUsername() == "" {
		return user{}, errors.New("runAsGroup needs runAsUser")
	}
	u := user{home: "/"}
	switch {
	case security.GetRunAsUser() != nil:
		u.uid = int(security.RunAsUser.Value)
	case security.GetRunAsUsername() != "":
		at := slices.IndexFunc(passwd, func(f []string) bool { return len(f) > 5 && f[0] == security.RunAsUsername })
		if at < 0 {
			return user{}, fmt.Errorf("user %q is not in /etc/passwd", security.RunAsUsername)
		}
		u.uid, _ = strconv.Atoi(passwd[at][2])
	case ofImage != nil:
		u.uid = int(*ofImage)
	}
	var name string
	if at := slices.IndexFunc(passwd, func(f []string) bool { return len(f) > 5 && f[2] == strconv.Itoa(u.uid) }); at >= 0 {
		name, u.home = passwd[at][0], passwd[at][5]
		u.gid, _ = strconv.Atoi(passwd[at][3])
	}
	if g := security.GetRunAsGroup(); g != nil {
		u.gid = int(g.Value)
	}
	for _, g := range security.GetSupplementalGroups() {
		u.groups = append(u.groups, int(g))
	}
	// Merge, the default: the memberships that the image records for the user count as well.
	if name != "" && security.GetSupplementalGroupsPolicy() == rt.SupplementalGroupsPolicy_Merge {
		for _, f := range group {
			if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), name) {
				if g, err := strconv.Atoi(f[2]); err == nil {
					u.groups = append(u.groups, g)
				}
			}
		}
	}
	slices.Sort(u.groups)
	u.groups = slices.Compact(u.groups)
	return u, nil
}

func readTable(file string) ([][]string, error) {
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		out = append(out, strings.Split(strings.TrimSpace(line), ":"))
	}
	return out, nil
}
