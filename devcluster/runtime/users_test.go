package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const podRange = 700_000_000

func ownUsers(c *rt.PodSandboxConfig) {
	one := []*rt.IDMapping{{HostId: podRange, ContainerId: 0, Length: 65536}}
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &rt.UserNamespace{Mode: rt.NamespaceMode_POD, Uids: one, Gids: one}
}

func mapped(host, path string) option {
	one := []*rt.IDMapping{{HostId: podRange, ContainerId: 0, Length: 65536}}
	return func(c *rt.ContainerConfig) {
		c.Mounts = append(c.Mounts, &rt.Mount{HostPath: host, ContainerPath: path, UidMappings: one, GidMappings: one})
	}
}

func TestRootOfAPodWithUsersOfItsOwnIsNotRootOfTheMachine(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		features, err := n.runtime.Status(t.Context(), &rt.StatusRequest{})
		must(t, err)
		if !features.RuntimeHandlers[0].Features.UserNamespaces {
			_, err := n.runtime.RunPodSandbox(t.Context(), &rt.RunPodSandboxRequest{Config: func() *rt.PodSandboxConfig {
				c := &rt.PodSandboxConfig{Metadata: &rt.PodSandboxMetadata{}, Linux: &rt.LinuxPodSandboxConfig{SecurityContext: &rt.LinuxSandboxSecurityContext{NamespaceOptions: &rt.NamespaceOption{}}}}
				ownUsers(c)
				return c
			}()})
			if n.kind == asRoot || err == nil || !strings.Contains(err.Error(), "hostUsers: false is not possible") {
				t.Fatalf("got %v; %s", err, n.limits())
			}
			return
		}
		data := n.folder("data")
		secret := n.write("secret", "x")
		must(t, os.Chmod(secret, 0o600))
		pod, c := n.pod(ownUsers)
		id := n.runIn(pod, c, `id -u; cat /proc/self/uid_map | tr -s ' '; echo x > /data/mine; touch /usr/bin/x /etc/x /x /root/x /tmp/x && echo system; cat /secret 2>/dev/null || echo closed; ls -ln /data | tail -1 | cut -d' ' -f3; sleep 4329`,
			mapped(data, "/data"), mount(secret, "/secret", false))
		eventually(t, "all is said", func() bool { return strings.Count(n.log(n.status(id).LogPath), "\n") >= 5 })
		same(t, "output", text(n.log(n.status(id).LogPath)), "0\n 0 700000000 65536\nsystem\nclosed\n0")
		info, err := os.Stat(filepath.Join(data, "mine"))
		must(t, err)
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
			t.Errorf("a file in a mapped volume belongs to %d on the machine, not to who owns the volume", owner)
		}
		eventually(t, "the shell went on to sleep", func() bool { return ownerOf(t, "sleep 4329") != "nobody" })
		same(t, "the kernel knows the command as", ownerOf(t, "sleep 4329"), "700000000")
		out, _ := n.ask(id, "id", "-u")
		same(t, "exec", out, "0")
		nobody := n.runIn(pod, c, "id -u; touch /etc/x 2>/dev/null || echo no", asUser(1000))
		same(t, "another user", text(n.log(n.exited(nobody).LogPath)), "1000\nno")
	})
}

func TestAPodCanHaveUsersOfItsOwnAndShareItsProcesses(t *testing.T) {
	n := start(t, kinds()[0])
	if n.kind != asRoot {
		return // needs a range of users
	}
	pod, c := n.pod(ownUsers, func(c *rt.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = rt.NamespaceMode_POD })
	shared := security(func(s *rt.LinuxContainerSecurityContext) { s.NamespaceOptions.Pid = rt.NamespaceMode_POD })
	n.runIn(pod, c, "sleep 4330", shared)
	second := n.runIn(pod, c, "sleep 4331", shared)
	out, _ := n.ask(second, "ps", "-eo", "args")
	contains(t, "seen", out, "sleep 4330")
	n.stopContainer(second, 0)
	if s := n.status(second); s.ExitCode != 137 {
		t.Errorf("exit code %d", s.ExitCode)
	}
}

// ownerOf gives the machine's number of the user of a process.
func ownerOf(t *testing.T, args string) string {
	t.Helper()
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.TrimSuffix(strings.ReplaceAll(string(b), "\x00", " "), " ") != args {
			continue
		}
		status, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		must(t, err)
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "Uid:") {
				return strings.Fields(line)[1]
			}
		}
	}
	return "nobody"
}
