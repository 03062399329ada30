package box

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Pod with `hostUsers: false` lives in a user namespace: its root is nobody in particular on the machine.
// The kubelet chooses the range; every container of the Pod gets a namespace with the same mapping. The files it
// shall own are mounted with their owners mapped (idmapped mounts), which the kernel wants described by a user
// namespace: a short-lived child holds one while the mounts are made.

// mappings holds the user namespaces that describe the mappings of mounts.
type mappings struct{ held map[string]*os.File }

func newMappings() *mappings { return &mappings{held: map[string]*os.File{}} }

// apply maps the owners of a detached mount.
func (m *mappings) apply(fd int, users Users) error {
	key := fmt.Sprint(users)
	namespace := m.held[key]
	if namespace == nil {
		var err error
		if namespace, err = hold(users); err != nil {
			return err
		}
		m.held[key] = namespace
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace.Fd())}
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
}

func (m *mappings) close() {
	for _, f := range m.held {
		_ = f.Close()
	}
}

// hold opens a new user namespace with a mapping. The child that brings it to life ends with its input.
func hold(users Users) (*os.File, error) {
	child := exec.Command(self, "hold")
	child.SysProcAttr = users.attributes()
	input, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("user namespace %v: %w", users, err)
	}
	defer func() {
		_ = input.Close()
		_ = child.Wait()
	}()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", child.Process.Pid))
}

// Hold is the child's whole life.
func Hold() { _, _ = io.Copy(io.Discard, os.Stdin) }

func (u Users) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: idMap(u.UIDs), GidMappings: idMap(u.GIDs), GidMappingsEnableSetgroups: true,
		// Root of the namespace from its first moment: nothing in it belongs to who we were.
		Credential: &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: false},
	}
}

func idMap(ranges []IDRange) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, r := range ranges {
		out = append(out, syscall.SysProcIDMap{ContainerID: r.Container, HostID: r.Host, Size: r.Size})
	}
	return out
}
