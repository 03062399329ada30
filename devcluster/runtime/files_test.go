package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestWhatAContainerWritesOutsideItsVolumesNeverReachesTheMachine(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		name := "written-" + filepath.Base(n.dir)
		places := []string{"", "/etc", "/usr/bin", "/var/lib", "/opt", "/tmp", "/var/tmp", "/run", "/home", "/root", "/srv", "/dev/shm", "/mnt"}
		if n.kind == asPlain {
			// What belongs to the machine's root below the top stays closed to a user who cannot be root.
			places = slices.DeleteFunc(places, func(p string) bool { return p == "/usr/bin" || p == "/var/lib" })
		}
		var script strings.Builder
		for _, dir := range places {
			script.WriteString("echo x > " + dir + "/" + name + " && ")
		}
		got := n.says(script.String() + "cat /etc/" + name + "; rm -f /etc/passwd; test -e /etc/passwd || echo removed")
		if !strings.HasPrefix(got, "x") {
			t.Errorf("a container cannot write: %q\n%s", got, n.limits())
		}
		for _, dir := range places {
			if _, err := os.Lstat(filepath.Join("/", dir, name)); err == nil {
				t.Errorf("%s/%s is on the machine", dir, name)
				_ = os.Remove(filepath.Join("/", dir, name))
			}
		}
		if _, err := os.Stat("/etc/passwd"); err != nil {
			t.Fatal("a container removed a file of the machine")
		}
		same(t, "the next container sees", n.says("ls /etc/"+name+" 2>/dev/null; true"), "")
	})
}

func TestTheWritableLayerIsRemovedOnceItsContainerHasEnded(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("head -c 3000000 /dev/zero > /opt/big; mkdir -p /usr/a/b; chmod 0 /usr/a; sleep 100")
		eventually(t, "the layer has the file", func() bool {
			r, err := n.runtime.ContainerStats(t.Context(), &rt.ContainerStatsRequest{ContainerId: id})
			return err == nil && (r.Stats.WritableLayer.UsedBytes.Value >= 3_000_000 || strings.Contains(n.limits(), "in memory")) || waitForLayer(n)
		})
		n.stopContainer(id, 0)
		eventually(t, "the layer is gone", func() bool {
			_, err := os.Stat(n.path("state/containers/" + id + "/layer"))
			return os.IsNotExist(err)
		})
		_, err := n.runtime.RemoveContainer(t.Context(), &rt.RemoveContainerRequest{ContainerId: id})
		must(t, err)
		if _, err := os.Stat(n.path("state/containers/" + id)); !os.IsNotExist(err) {
			t.Errorf("the container's folder is still there: %v", err)
		}
	})
}

// waitForLayer looks for the file itself: the size in the statistics may be some seconds old.
func waitForLayer(n *node) bool {
	found, _ := filepath.Glob(n.path("state/containers/*/layer/upper/*/big"))
	for _, f := range found {
		if info, err := os.Stat(f); err == nil && info.Size() >= 3_000_000 {
			return true
		}
	}
	return false
}

func TestVolumesAreMountedWhereThePodSays(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		data := n.folder("data")
		file := n.write("single", "a file")
		script := `echo written > /some/where/new/out; cat /etc/app/one.conf; echo; { echo no > /ro/x; } 2>/dev/null || echo read-only; ls /home`
		got := n.says(script, mount(data, "/some/where/new", false), mount(file, "/etc/app/one.conf", true), mount(data, "/ro", true), mount(data, "/home/jo/vol", false))
		same(t, "output", got, "a file\nread-only\njo")
		b, err := os.ReadFile(filepath.Join(data, "out"))
		must(t, err)
		same(t, "written", string(b), "written\n")
		for _, path := range []string{"/some", "/etc/app", "/ro", "/home/jo"} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("the mount point %s appeared on the machine", path)
			}
		}
	})
}

func TestAVolumeInAVolumeLeavesTheOuterOneWritable(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		outer, inner := n.folder("outer"), n.folder("inner")
		n.exited(n.run("echo o > /data/o; echo i > /data/sub/i", mount(inner, "/data/sub", false), mount(outer, "/data", false)))
		for _, file := range []string{filepath.Join(outer, "o"), filepath.Join(inner, "i")} {
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestASymbolicLinkInAVolumeCannotLeadAMountOutOfTheContainer(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		evil, inner, target := n.folder("evil"), n.folder("inner"), n.folder("target")
		must(t, os.Symlink(target, filepath.Join(evil, "link")))
		n.exited(n.run("echo x > /v/link/sub/x", mount(evil, "/v", false), mount(inner, "/v/link/sub", false)))
		if found, err := os.ReadDir(target); err != nil || len(found) > 0 {
			t.Errorf("the link's target on the machine has %v (%v)", found, err)
		}
		if _, err := os.Stat(filepath.Join(inner, "x")); err != nil {
			t.Error(err)
		}
	})
}

func TestASourceThatDoesNotExistIsAnErrorThatNamesIt(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod()
		id, err := n.create(pod, c, "true", mount(n.path("nowhere"), "/x", false))
		must(t, err)
		if err := n.start(id); err == nil || !strings.Contains(err.Error(), n.path("nowhere")) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAReadOnlyRootLeavesVolumesAndSharedMemoryWritable(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		data := n.folder("data")
		got := n.says(`for p in / /etc /usr /tmp /opt; do touch $p/x 2>/dev/null && echo $p; done; touch /data/x && touch /dev/shm/x && echo volumes`,
			mount(data, "/data", false), security(func(s *rt.LinuxContainerSecurityContext) { s.ReadonlyRootfs = true }))
		same(t, "writable", got, "volumes")
	})
}

func TestMaskedPathsReadAsEmptyAndReadOnlyPathsCannotBeWritten(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		got := n.says(`wc -c < /proc/timer_list; ls /proc/acpi 2>/dev/null | wc -l; { echo 1 > /proc/sys/kernel/domainname; } 2>/dev/null && echo wrote; ls /proc/self/exe > /dev/null && echo proc`,
			security(func(s *rt.LinuxContainerSecurityContext) {
				s.MaskedPaths, s.ReadonlyPaths = []string{"/proc/timer_list", "/proc/acpi", "/proc/nosuch"}, []string{"/proc/sys"}
			}))
		contains(t, "masked", got, "0\n0\n")
		contains(t, "the rest of /proc", got, "proc")
		if strings.Contains(got, "wrote") {
			t.Error("a read-only path was written")
		}
	})
}

func TestRecursiveReadOnlyReachesTheMountsBelow(t *testing.T) {
	n := start(t, kinds()[0])
	if n.kind != asRoot {
		return // a plain user cannot mount something below the volume from here; the code is the same
	}
	data, other := n.folder("data"), n.folder("other")
	must(t, os.Mkdir(filepath.Join(data, "sub"), 0o755))
	must(t, unix.Mount(other, filepath.Join(data, "sub"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(data, "sub"), 0)) })
	n.kill()
	n.serve() // it sees the machine's mounts
	got := n.says("touch /v/sub/x 2>/dev/null && echo wrote; true", func(c *rt.ContainerConfig) {
		c.Mounts = []*rt.Mount{{HostPath: data, ContainerPath: "/v", Readonly: true, RecursiveReadOnly: true}}
	})
	same(t, "below a recursive read-only mount", got, "")
}

func TestAMountPropagatesIntoAContainerThatAsksForIt(t *testing.T) {
	if os.Geteuid() != 0 {
		return // making a mount for the container to see takes root
	}
	n := start(t, asRoot)
	data := n.folder("data")
	must(t, unix.Mount(data, data, "", unix.MS_BIND, ""))
	must(t, unix.Mount("", data, "", unix.MS_SHARED, ""))
	t.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
	must(t, os.Mkdir(filepath.Join(data, "sub"), 0o755))
	id := n.run("sleep 100", func(c *rt.ContainerConfig) {
		c.Mounts = []*rt.Mount{
			{HostPath: data, ContainerPath: "/follows", Propagation: rt.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
			{HostPath: data, ContainerPath: "/private"},
		}
	})
	must(t, unix.Mount("tmpfs", filepath.Join(data, "sub"), "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(data, "sub"), unix.MNT_DETACH) })
	must(t, os.WriteFile(filepath.Join(data, "sub", "late"), nil, 0o644))
	out, _ := n.ask(id, "sh", "-c", "ls /follows/sub /private/sub")
	same(t, "seen", out, "/follows/sub:\nlate\n\n/private/sub:")
}

func TestAnImageShowsItsFoldersAtTheirOwnPathsAndNothingElseOfAClosedHome(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		home := n.folder("home")
		for _, dir := range []string{"env/bin", "interpreter/bin", "private"} {
			n.folder(filepath.Join("home", dir))
		}
		n.write("home/interpreter/bin/run", "#!/bin/sh\necho interpreted by $1\n")
		must(t, os.Chmod(n.path("home/interpreter/bin/run"), 0o755))
		must(t, os.Symlink(n.path("home/interpreter/bin/run"), n.path("home/env/bin/python")))
		n.write("home/env/bin/tool", "#!"+n.path("home/env/bin/python")+" shebang\n")
		must(t, os.Chmod(n.path("home/env/bin/tool"), 0o755))
		n.write("home/private/secret", "secret")
		must(t, os.Chmod(home, 0o700))
		n.give(home)
		n.write("images.yaml", imageFile+"\nenv: {command: [sh, -c], path: ["+n.path("home/env/bin")+"], show: ["+n.path("home/env")+", "+n.path("home/interpreter")+"]}\n")
		got := n.says("tool; ls "+home+"; ls "+n.dir+"; cat "+n.path("home/private/secret")+" 2>/dev/null; id -u", image("env"), asUser(1000))
		same(t, "seen", got, "interpreted by shebang\nenv\ninterpreter\nhome\n1000")
		must(t, os.WriteFile(filepath.Join(home, "check"), nil, 0o600))
	})
}

func TestSecretsOfTheMachineReadAsEmptyAndCanBeReplaced(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		same(t, "shadow", n.says("cat /etc/shadow; ls /etc/ssh 2>/dev/null; true"), "")
	})
}

func TestKernelFileSystemsWork(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		got := n.says(`echo x > /dev/null && head -c 4 /dev/urandom | wc -c; ls /sys/class > /dev/null && echo sys; touch /sys/x 2>/dev/null || echo read-only; ` +
			`exec 3<> /dev/ptmx && echo ptmx; echo y > /dev/shm/y && cat /dev/fd/0 < /dev/shm/y; stat -c %a /tmp; stat -f -c %T /dev/shm`)
		same(t, "output", got, "4\nsys\nread-only\nptmx\ny\n1777\ntmpfs")
	})
}

func TestAPodHasItsOwnHostnameAndResolver(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		pod, c := n.pod(func(c *rt.PodSandboxConfig) {
			c.DnsConfig = &rt.DNSConfig{Servers: []string{"10.1.2.3"}, Searches: []string{"a.b"}, Options: []string{"ndots:5"}}
		})
		id := n.runIn(pod, c, "hostname; cat /etc/hostname /etc/resolv.conf")
		s := n.exited(id)
		same(t, "output", text(n.log(s.LogPath)), "box\nbox\nsearch a.b\nnameserver 10.1.2.3\noptions ndots:5")
	})
}
