package main

import (
	"os"
	"strings"
	"testing"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestNoNewPrivsAndCapabilitiesAreWhatTheSecurityContextSays(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		for _, test := range []struct {
			name     string
			context  *rt.LinuxContainerSecurityContext
			bounding string
			privs    string
		}{
			{"by default, those of every container", &rt.LinuxContainerSecurityContext{}, "00000000a80425fb", "0"},
			{"drop ALL", &rt.LinuxContainerSecurityContext{Capabilities: &rt.Capability{DropCapabilities: []string{"ALL"}}}, "0000000000000000", "0"},
			{"drop ALL, add one", &rt.LinuxContainerSecurityContext{Capabilities: &rt.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}}, "0000000000000400", "0"},
			{"add with prefix", &rt.LinuxContainerSecurityContext{Capabilities: &rt.Capability{DropCapabilities: []string{"all"}, AddCapabilities: []string{"CAP_CHOWN"}}}, "0000000000000001", "0"},
			{"allowPrivilegeEscalation: false", &rt.LinuxContainerSecurityContext{NoNewPrivs: true}, "00000000a80425fb", "1"},
		} {
			t.Run(test.name, func(t *testing.T) {
				got := n.says("grep -E 'CapBnd|NoNewPrivs' /proc/self/status | cut -f2", func(c *rt.ContainerConfig) {
					test.context.NamespaceOptions = c.Linux.SecurityContext.NamespaceOptions
					c.Linux.SecurityContext = test.context
				})
				same(t, "CapBnd and NoNewPrivs", got, test.bounding+"\n"+test.privs)
			})
		}
		pod, c := n.pod()
		_, err := n.create(pod, c, "true", security(func(s *rt.LinuxContainerSecurityContext) {
			s.Capabilities = &rt.Capability{AddCapabilities: []string{"NO_SUCH"}}
		}))
		if err == nil || !strings.Contains(err.Error(), `capability "NO_SUCH" is unknown`) {
			t.Errorf("an unknown capability: %v", err)
		}
	})
}

func TestAPrivilegedContainerHasTheMachinesDevicesAndAllCapabilities(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		privileged := security(func(s *rt.LinuxContainerSecurityContext) { s.Privileged = true })
		got := n.says("grep CapBnd /proc/self/status | cut -f2; ls /dev | wc -l", privileged)
		bits, devices, _ := strings.Cut(got, "\n")
		if len(strings.Trim(bits, "0")) < 8 || devices == n.says("ls /dev | wc -l") {
			t.Errorf("got %q", got)
		}
	})
}

func TestAContainerRunsAsTheUserAndGroupsThatThePodSays(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*rt.LinuxContainerSecurityContext)
		want   string
	}{
		{"neither: root", func(*rt.LinuxContainerSecurityContext) {}, "0 0 0"},
		{"runAsUser", func(s *rt.LinuxContainerSecurityContext) { s.RunAsUser = id(4242) }, "4242 0 0"},
		{"runAsUser and runAsGroup", func(s *rt.LinuxContainerSecurityContext) { s.RunAsUser, s.RunAsGroup = id(4242), id(77) }, "4242 77 77"},
		{"runAsUserName", func(s *rt.LinuxContainerSecurityContext) { s.RunAsUsername = "daemon" }, "1 1 1"},
		{"supplemental groups", func(s *rt.LinuxContainerSecurityContext) {
			s.RunAsUser, s.SupplementalGroups = id(4242), []int64{500, 600}
		}, "4242 0 0 500 600"},
	} {
		t.Run(test.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, n *node) {
				want := test.want
				if strings.Contains(n.limits(), "supplemental groups have no effect") {
					want = strings.TrimSuffix(want, " 500 600") // said at the start, and in the status
				}
				same(t, "uid, gid, groups", n.says("echo $(id -u) $(id -g) $(id -G)", security(test.change)), want)
			})
		})
	}
}

func TestWhatAContainerWritesInAVolumeIsItsOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		data := n.folder("data")
		must(t, os.Chmod(data, 0o777))
		pod, c := n.pod()
		first := n.runIn(pod, c, "umask 077; echo x > /data/mine; cat /data/mine; stat -c %u /data/mine", asUser(4242), mount(data, "/data", false))
		same(t, "written", text(n.log(n.exited(first).LogPath)), "x\n4242")
		// The next life of a Pod finds it, and a command in it is the same user.
		second := n.runIn(pod, c, "sleep 100", asUser(4242), mount(data, "/data", false))
		out, _ := n.ask(second, "sh", "-c", "cat /data/mine; id -u; kill -TERM $(pidof sleep)")
		same(t, "found", out, "x\n4242")
		eventually(t, "its own command can be ended", func() bool { return n.status(second).State == rt.ContainerState_CONTAINER_EXITED })
	})
}

func TestAUserOtherThanRootHasNoCapabilityAndGetsNone(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		restricted := security(func(s *rt.LinuxContainerSecurityContext) {
			s.RunAsUser, s.NoNewPrivs, s.Capabilities = id(4242), true, &rt.Capability{DropCapabilities: []string{"ALL"}}
		})
		got := n.says("id -u; grep -E 'CapPrm|CapEff|CapAmb|NoNewPrivs' /proc/self/status | cut -f2", restricted)
		none := "0000000000000000"
		same(t, "user, permitted, effective, ambient, no_new_privs", got, "4242\n"+none+"\n"+none+"\n"+none+"\n1")
	})
}

func TestTheStatusSaysAsWhomAContainerRuns(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		user := n.status(n.runIn(pod, c, "sleep 100", asUser(4242))).User.GetLinux()
		if user.GetUid() != 4242 || user.GetGid() != 0 {
			t.Errorf("got %v", user)
		}
	})
}

func id(n int64) *rt.Int64Value { return &rt.Int64Value{Value: n} }

func TestAUserNameThatDoesNotExistIsAnError(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		_, err := n.create(pod, c, "true", security(func(s *rt.LinuxContainerSecurityContext) { s.RunAsUsername = "nosuchuser" }))
		if err == nil || !strings.Contains(err.Error(), `user "nosuchuser" is not in /etc/passwd`) {
			t.Errorf("got %v", err)
		}
		_, err = n.create(pod, c, "true", security(func(s *rt.LinuxContainerSecurityContext) { s.RunAsGroup = id(5) }))
		if err == nil || !strings.Contains(err.Error(), "runAsGroup needs runAsUser") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAContainerSeesItsOwnProcessesOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		got := n.says("ls /proc | grep -c '^[0-9]'; kill -0 1 && echo init; cat /proc/1/environ 2>&1 | head -c 0")
		if !strings.HasSuffix(got, "init") || len(strings.SplitN(got, "\n", 2)[0]) > 1 {
			t.Errorf("got %q", got)
		}
	})
}

func TestContainersOfAPodWithASharedProcessNamespaceSeeEachOther(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		shared := security(func(s *rt.LinuxContainerSecurityContext) { s.NamespaceOptions.Pid = rt.NamespaceMode_POD })
		pod, c := n.pod(func(c *rt.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = rt.NamespaceMode_POD })
		first := n.runIn(pod, c, "sleep 4324", shared)
		second := n.runIn(pod, c, "(setsid sleep 4325 &); sleep 4326", shared)
		eventually(t, "the second sees the first", func() bool {
			out, _ := n.ask(second, "ps", "-eo", "args")
			return strings.Contains(out, "sleep 4324") && strings.Contains(out, "sleep 4325")
		})
		n.stopContainer(second, 0)
		eventually(t, "the second's orphan ends with it", func() bool { return !machineRuns("sleep 4325") })
		if out, _ := n.ask(first, "ps", "-eo", "args"); !strings.Contains(out, "sleep 4324") {
			t.Errorf("the first ended too: %s", out)
		}
	})
}

func TestADebugContainerSeesTheProcessesOfItsTarget(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		target := n.runIn(pod, c, "sleep 4327")
		debug := n.runIn(pod, c, "sleep 100", security(func(s *rt.LinuxContainerSecurityContext) {
			s.NamespaceOptions = &rt.NamespaceOption{Pid: rt.NamespaceMode_TARGET, TargetId: target}
		}))
		out, _ := n.ask(debug, "ps", "-eo", "args")
		contains(t, "seen", out, "sleep 4327")
	})
}

func TestAContainerOfTheMachinesProcessNamespaceSeesTheMachinesProcesses(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		machine := security(func(s *rt.LinuxContainerSecurityContext) { s.NamespaceOptions.Pid = rt.NamespaceMode_NODE })
		id := n.run("(setsid sleep 4328 &); sleep 100", machine)
		out, _ := n.ask(id, "ps", "-eo", "args")
		contains(t, "seen", out, n.path("runtime"))
		n.stopContainer(id, 0)
		eventually(t, "the orphan ends with its container", func() bool { return !machineRuns("sleep 4328") })
	})
}
