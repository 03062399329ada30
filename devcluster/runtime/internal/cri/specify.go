package cri

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/box"
	"eugo.dev/devcluster/runtime/internal/cdi"
	"eugo.dev/devcluster/runtime/internal/images"
)

// What a container is made of: the image's defaults, what the Pod says instead, and what its devices add.

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// shmBytes is the size of /dev/shm, as containerd and Docker have it.
const shmBytes = 64 << 20

func (s *server) specify(p *sandbox, image *images.Image, c *rt.ContainerConfig, folder string) (box.Spec, error) {
	security := c.GetLinux().GetSecurityContext()
	spec := box.Spec{
		Hostname: p.config.Hostname, Folder: folder, Layer: s.machine.Layer, UserXattr: s.machine.UserXattr, Show: image.Show,
		Privileged: security.GetPrivileged(), ReadOnlyRoot: security.GetReadonlyRootfs(), ShmBytes: shmBytes, PID: s.pidMode(security),
	}
	if !spec.Privileged {
		spec.MaskedPaths, spec.ReadOnlyPaths = security.GetMaskedPaths(), security.GetReadonlyPaths()
	}
	if spec.PID == box.PIDMachine {
		// What is masked in /proc would be masked in the machine's own.
		spec.MaskedPaths, spec.ReadOnlyPaths = outsideProc(spec.MaskedPaths), outsideProc(spec.ReadOnlyPaths)
	}
	var err error
	if spec.Users, err = s.usersOf(p); err != nil {
		return spec, err
	}
	user, err := resolveUser(security, image.User)
	if err != nil {
		return spec, err
	}
	env := map[string]string{"PATH": strings.Join(append(slices.Clone(image.Path), defaultPath), ":"), "HOME": user.home, "POD_IP": p.address()}
	if p.config.Hostname != "" {
		env["HOSTNAME"] = p.config.Hostname
	}
	maps.Copy(env, image.Env)
	for _, e := range c.Envs {
		env[e.Key] = string(e.Value)
	}
	if spec.Mounts, err = mounts(c, s.sandboxFolder(p.ID)); err != nil {
		return spec, err
	}
	groups, err := s.addDevices(&spec, c, env)
	if err != nil {
		return spec, err
	}
	spec.Process, err = process(image, c)
	if err != nil {
		return spec, err
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		spec.Process.Env = append(spec.Process.Env, k+"="+env[k])
	}
	spec.Process.Identity = box.Identity{UID: user.uid, GID: user.gid, Groups: append(user.groups, groups...), NoNewPrivs: security.GetNoNewPrivs(), Named: s.machine.Named}
	spec.Process.Identity.Bounding, spec.Process.Identity.Ambient, err = capabilities(security)
	return spec, err
}

// process is the command. As for any image, a Pod's command replaces the entry point and drops its arguments.
func process(image *images.Image, c *rt.ContainerConfig) (box.Process, error) {
	argv, args := image.Command, image.Args
	if len(c.Command) > 0 {
		argv, args = c.Command, nil
	}
	if len(c.Args) > 0 {
		args = c.Args
	}
	p := box.Process{
		Argv: slices.Concat(argv, args), Dir: c.WorkingDir, Image: image.Name, TTY: c.Tty, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		OOMScoreAdj: int(c.GetLinux().GetResources().GetOomScoreAdj()),
	}
	if p.Dir == "" {
		p.Dir = image.WorkingDir
	}
	if p.Dir == "" {
		p.Dir = "/"
	}
	if len(p.Argv) == 0 {
		return p, fmt.Errorf("no command: neither the Pod nor image %q names one", image.Name)
	}
	return p, nil
}

func (s *server) pidMode(security *rt.LinuxContainerSecurityContext) box.PIDMode {
	switch mode := security.GetNamespaceOptions().GetPid(); {
	case !s.machine.OwnPIDs || mode == rt.NamespaceMode_NODE:
		return box.PIDMachine
	case security.GetNamespaceOptions() == nil || mode == rt.NamespaceMode_CONTAINER:
		return box.PIDOwn
	default: // POD and TARGET
		return box.PIDJoined
	}
}

func outsideProc(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return strings.HasPrefix(p, "/proc/") })
}

// mounts are the Pod's volumes, and the few files that every Pod has.
func mounts(c *rt.ContainerConfig, sandboxFolder string) ([]box.Mount, error) {
	var out []box.Mount
	given := map[string]bool{}
	for _, m := range c.Mounts {
		if m.GetImage().GetImage() != "" {
			return nil, fmt.Errorf("mount %s: image volumes are not supported: an image has no files of its own here", m.ContainerPath)
		}
		if !filepath.IsAbs(m.ContainerPath) || filepath.Clean(m.ContainerPath) == "/" {
			return nil, fmt.Errorf("mount path %q: an absolute path other than / is needed", m.ContainerPath)
		}
		given[filepath.Clean(m.ContainerPath)] = true
		b := box.Mount{Host: m.HostPath, Path: m.ContainerPath, ReadOnly: m.Readonly, RecursiveReadOnly: m.RecursiveReadOnly, Propagation: propagation(m.Propagation)}
		if len(m.UidMappings) > 0 {
			b.Users = &box.Users{UIDs: ranges(m.UidMappings), GIDs: ranges(m.GidMappings)}
		}
		out = append(out, b)
	}
	for _, d := range c.Devices {
		out = append(out, box.Mount{Host: d.HostPath, Path: d.ContainerPath})
	}
	for name, path := range map[string]string{"resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname"} {
		if !given[path] {
			out = append(out, box.Mount{Host: filepath.Join(sandboxFolder, name), Path: path, Optional: true})
		}
	}
	return out, nil
}

func propagation(p rt.MountPropagation) box.Propagation {
	switch p {
	case rt.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		return box.HostToContainer
	case rt.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		return box.Bidirectional
	default:
		return box.Private
	}
}

// addDevices adds what the container's devices bring, and returns their groups.
func (s *server) addDevices(spec *box.Spec, c *rt.ContainerConfig, env map[string]string) ([]int, error) {
	var groups []int
	for _, d := range c.CDIDevices {
		edits, err := cdi.Find(s.options.CDI, d.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range edits {
			for _, kv := range e.Env {
				k, v, _ := strings.Cut(kv, "=")
				env[k] = v
			}
			for _, m := range e.Mounts {
				spec.Mounts = append(spec.Mounts, box.Mount{Host: m.HostPath, Path: m.ContainerPath, ReadOnly: m.ReadOnly()})
			}
			for _, n := range e.DeviceNodes {
				host := n.HostPath
				if host == "" {
					host = n.Path
				}
				spec.Mounts = append(spec.Mounts, box.Mount{Host: host, Path: n.Path})
			}
			for _, g := range e.AdditionalGIDs {
				groups = append(groups, int(g))
			}
		}
	}
	return groups, nil
}

var capabilityNumbers = map[string]int{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "FOWNER": unix.CAP_FOWNER,
	"FSETID": unix.CAP_FSETID, "KILL": unix.CAP_KILL, "SETGID": unix.CAP_SETGID, "SETUID": unix.CAP_SETUID, "SETPCAP": unix.CAP_SETPCAP,
	"LINUX_IMMUTABLE": unix.CAP_LINUX_IMMUTABLE, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "NET_BROADCAST": unix.CAP_NET_BROADCAST,
	"NET_ADMIN": unix.CAP_NET_ADMIN, "NET_RAW": unix.CAP_NET_RAW, "IPC_LOCK": unix.CAP_IPC_LOCK, "IPC_OWNER": unix.CAP_IPC_OWNER,
	"SYS_MODULE": unix.CAP_SYS_MODULE, "SYS_RAWIO": unix.CAP_SYS_RAWIO, "SYS_CHROOT": unix.CAP_SYS_CHROOT, "SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"SYS_PACCT": unix.CAP_SYS_PACCT, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_BOOT": unix.CAP_SYS_BOOT, "SYS_NICE": unix.CAP_SYS_NICE,
	"SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "SYS_TIME": unix.CAP_SYS_TIME, "SYS_TTY_CONFIG": unix.CAP_SYS_TTY_CONFIG, "MKNOD": unix.CAP_MKNOD,
	"LEASE": unix.CAP_LEASE, "AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "AUDIT_CONTROL": unix.CAP_AUDIT_CONTROL, "SETFCAP": unix.CAP_SETFCAP,
	"MAC_OVERRIDE": unix.CAP_MAC_OVERRIDE, "MAC_ADMIN": unix.CAP_MAC_ADMIN, "SYSLOG": unix.CAP_SYSLOG, "WAKE_ALARM": unix.CAP_WAKE_ALARM,
	"BLOCK_SUSPEND": unix.CAP_BLOCK_SUSPEND, "AUDIT_READ": unix.CAP_AUDIT_READ, "PERFMON": unix.CAP_PERFMON, "BPF": unix.CAP_BPF,
	"CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
}

// defaultCapabilities are those of containerd and Docker.
var defaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

// capabilities gives what a container can have, and what it has even as a user other than root. ALL goes before single
// names, so that dropping all and adding one leaves that one.
func capabilities(security *rt.LinuxContainerSecurityContext) (bounding, ambient []int, err error) {
	c := security.GetCapabilities()
	set := map[int]bool{}
	change := func(names []string, to bool) error {
		for _, name := range names {
			n, ok := capabilityNumbers[bare(name)]
			if !ok && bare(name) != "ALL" {
				return fmt.Errorf("capability %q is unknown", name)
			}
			if ok {
				set[n] = to
			}
		}
		return nil
	}
	hasAll := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return bare(n) == "ALL" })
	}
	start := defaultCapabilities
	if security.GetPrivileged() || hasAll(c.GetAddCapabilities()) {
		start = slices.Collect(maps.Keys(capabilityNumbers))
	}
	if hasAll(c.GetDropCapabilities()) && !security.GetPrivileged() {
		start = nil
	}
	for _, step := range []struct {
		names []string
		to    bool
	}{{start, true}, {c.GetAddCapabilities(), true}, {c.GetDropCapabilities(), false}, {c.GetAddAmbientCapabilities(), true}} {
		if err := change(step.names, step.to); err != nil {
			return nil, nil, err
		}
	}
	for n, on := range set {
		if on {
			bounding = append(bounding, n)
		}
	}
	slices.Sort(bounding)
	for _, name := range c.GetAddAmbientCapabilities() {
		ambient = append(ambient, capabilityNumbers[bare(name)])
	}
	return bounding, ambient, nil
}

func bare(name string) string { return strings.TrimPrefix(strings.ToUpper(name), "CAP_") }
