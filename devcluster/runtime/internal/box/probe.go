package box

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a machine allows differs: root or a plain user's namespace, a container around us or not, the age of the kernel.
// The runtime finds out once, by doing it in a process that is thrown away, and says what is missing; nothing
// is guessed from versions.

// Machine is what the machine allows.
type Machine struct {
	Layer     Layer
	UserXattr bool
	// OwnPIDs: a box can have processes of its own.
	OwnPIDs bool
	// Users: a box can have users of its own, and files can be shown as theirs.
	Users bool
	// Identities: a command can be anyone the Pod says. Otherwise everyone is the user that runs us.
	Identities bool
	// Named: where it cannot, it can at least bear the number that the Pod says.
	Named bool
}

// probeUsers is a mapping as the kubelet chooses them.
var probeUsers = Users{UIDs: []IDRange{{0, 65536, 65536}}, GIDs: []IDRange{{0, 65536, 65536}}}

// Limits says in words what is missing.
func (m Machine) Limits() []string {
	var out []string
	if m.Layer == LayerMemory {
		out = append(out, "the state folder cannot hold overlays: what containers write outside volumes is kept in memory")
	}
	if m.Layer == LayerNone {
		out = append(out, "no overlay mounts: what containers write outside volumes reaches the machine")
	}
	if !m.OwnPIDs {
		out = append(out, "no process namespaces: containers see the machine's processes")
	}
	if !m.Users {
		out = append(out, "no user namespaces with ranges or no mapped mounts: Pods with hostUsers: false are refused")
	}
	switch {
	case m.Identities:
	case m.Named:
		out = append(out, "this user namespace maps a single user: every container is this user, by the number it asks for; supplemental groups have no effect")
	default:
		out = append(out, "this user namespace maps a single user: runAsUser, runAsGroup and supplemental groups have no effect")
	}
	return out
}

// Probe finds out what the machine allows a box whose folder lies in the given one.
func Probe(folder string) (Machine, error) {
	m := Machine{Identities: isMapped("uid", 1000) && isMapped("gid", 1000), UserXattr: !isFirstNamespace()}
	dir, err := os.MkdirTemp(folder, "probe-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	if out, err := runProbe(unix.CLONE_NEWNS, dir, m, "mounts"); err != nil {
		return m, fmt.Errorf("mount namespaces are not allowed here; run as root or in `unshare --user --map-root-user --mount`: %w: %s", err, out)
	}
	m.Layer = LayerNone
	for _, layer := range []Layer{LayerDisk, LayerMemory} {
		if _, err := runProbe(unix.CLONE_NEWNS, dir, m, string(layer)); err == nil {
			m.Layer = layer
			break
		}
	}
	_, err = runProbe(unix.CLONE_NEWNS|unix.CLONE_NEWPID, dir, m, "pids")
	m.OwnPIDs = err == nil
	_, err = runProbe(unix.CLONE_NEWNS, dir, m, "users")
	m.Users = err == nil && m.OwnPIDs
	if !m.Identities {
		_, err = runProbe(unix.CLONE_NEWNS, dir, m, "name")
		m.Named = err == nil
	}
	return m, nil
}

// isFirstNamespace says whether we are in the machine's first user namespace.
func isFirstNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(b)), " ") == "0 0 4294967295"
}

func runProbe(flags uintptr, dir string, m Machine, what string) (string, error) {
	own, err := os.MkdirTemp(dir, what)
	if err != nil {
		return "", err
	}
	question, err := json.Marshal(probe{Folder: own, UserXattr: m.UserXattr, What: what})
	if err != nil {
		return "", err
	}
	command := exec.Command(self, "probe", string(question))
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

type probe struct {
	Folder, What string
	UserXattr    bool
	Inner        bool
}

// ProbeMain is the process that tries.
func ProbeMain(question string) {
	var p probe
	err := json.Unmarshal([]byte(question), &p)
	if err == nil {
		err = p.try()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (p probe) try() error {
	if p.Inner {
		return unix.Mount("proc", "/proc", "proc", 0, "")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	switch p.What {
	case "pids":
		return unix.Mount("proc", "/proc", "proc", 0, "")
	case string(LayerDisk), string(LayerMemory):
		return p.overlay(nil)
	case "users":
		if err := p.overlay(&probeUsers); err != nil {
			return err
		}
		return p.inUsers()
	case "name":
		attr := &syscall.ProcAttr{Sys: &syscall.SysProcAttr{}, Files: []uintptr{0, 1, 2}}
		Identity{UID: 1000, GID: 1000, Named: true}.name(attr)
		pid, err := syscall.ForkExec(self, []string{self, "hold"}, attr) // its input is empty: it ends at once
		if err == nil {
			_, err = unix.Wait4(pid, nil, 0, nil)
		}
		return err
	}
	return nil
}

func (p probe) overlay(users *Users) error {
	maps := newMappings()
	defer maps.close()
	s := Spec{Folder: p.Folder, Layer: Layer(p.What), UserXattr: p.UserXattr, Users: users}
	if users != nil {
		s.Layer = LayerMemory
	}
	b, err := newBuilder(s, maps)
	if err != nil {
		return err
	}
	target := filepath.Join(b.root, "usr")
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	return b.overlay("/usr", target)
}

// inUsers tries what the second step of a box with users of its own does.
func (p probe) inUsers() error {
	_ = unix.Mount("proc", "/proc", "proc", 0, "") // as attachProc does
	p.Inner = true
	question, err := json.Marshal(p)
	if err != nil {
		return err
	}
	command := exec.Command(self, "probe", string(question))
	command.SysProcAttr = probeUsers.attributes()
	command.SysProcAttr.Cloneflags |= unix.CLONE_NEWNS | unix.CLONE_NEWPID
	return command.Run()
}
