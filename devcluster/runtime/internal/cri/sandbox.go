package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/box"
)

// A sandbox is what the containers of a Pod share: an address, a name, the settings for names of others, and the process
// namespace if the Pod asks for one. It is a record; a process (a pause box) stands for it in that last case only.

type sandbox struct {
	sandboxRecord
	config *rt.PodSandboxConfig
}

type sandboxRecord struct {
	ID      string
	Config  []byte // a PodSandboxConfig
	Created int64
	Ready   bool
	// IP is empty where the Pod uses the machine's own network.
	IP string
	// Pause holds the shared process namespace.
	Pause *box.Handle `json:",omitempty"`
}

func (p *sandbox) namespaces() *rt.NamespaceOption {
	return p.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

func (p *sandbox) state() rt.PodSandboxState {
	if p.Ready {
		return rt.PodSandboxState_SANDBOX_READY
	}
	return rt.PodSandboxState_SANDBOX_NOTREADY
}

// address is where the Pod's servers are.
func (p *sandbox) address() string {
	if p.IP == "" {
		return "127.0.0.1"
	}
	return p.IP
}

func (p *sandbox) endPause() {
	if p.Pause != nil {
		p.Pause.KillInit()
		box.Reap(p.Pause.PID)
		p.Pause = nil
	}
}

func (s *server) sandboxFolder(id string) string {
	return filepath.Join(s.options.State, "sandboxes", id)
}

// RunPodSandbox makes a Pod's sandbox; it is ready at once.
func (s *server) RunPodSandbox(_ context.Context, r *rt.RunPodSandboxRequest) (*rt.RunPodSandboxResponse, error) {
	if r.Config.GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "sandbox metadata is missing")
	}
	if r.RuntimeHandler != "" {
		return nil, status.Errorf(codes.InvalidArgument, "runtime handler %q is unknown: there is only the default one", r.RuntimeHandler)
	}
	p := &sandbox{sandboxRecord: sandboxRecord{ID: newID(), Created: time.Now().UnixNano(), Ready: true}, config: r.Config}
	if err := s.furnish(p); err != nil {
		p.endPause()
		_ = os.RemoveAll(s.sandboxFolder(p.ID))
		s.mu.Lock()
		delete(s.sandboxes, p.ID)
		s.mu.Unlock()
		return nil, status.Errorf(codes.Internal, "sandbox: %v", err)
	}
	return &rt.RunPodSandboxResponse{PodSandboxId: p.ID}, nil
}

func (s *server) furnish(p *sandbox) error {
	if _, err := s.usersOf(p); err != nil {
		return err
	}
	folder := s.sandboxFolder(p.ID)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if p.namespaces().GetPid() == rt.NamespaceMode_POD && s.machine.OwnPIDs {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		pause, err := box.Launch(box.Spec{Folder: folder, Pause: true}, null, 0, func(int) error { return nil })
		if err != nil {
			return fmt.Errorf("process namespace of the Pod: %w", err)
		}
		p.Pause = &pause
	}
	resolv, err := resolvConf(p.config.GetDnsConfig())
	if err != nil {
		return err
	}
	files := map[string]string{"resolv.conf": resolv}
	if name := p.config.GetHostname(); name != "" {
		files["hostname"] = name + "\n"
	}
	for name, text := range files {
		// The Pod's users read these, whoever they are.
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.namespaces().GetNetwork() != rt.NamespaceMode_NODE {
		taken := map[string]bool{}
		for _, other := range s.sandboxes {
			taken[other.IP] = true
		}
		if p.IP, err = s.addresses.next(taken); err != nil {
			return err
		}
	}
	s.sandboxes[p.ID] = p
	return s.saveSandbox(p)
}

// resolvConf is the Pod's resolver configuration. Where the kubelet gives none, the machine's is as good.
func resolvConf(c *rt.DNSConfig) (string, error) {
	if len(c.GetServers()) == 0 {
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !os.IsNotExist(err) {
			return "", fmt.Errorf("name servers of the machine: %w", err)
		}
		return string(b), nil
	}
	var b strings.Builder
	if len(c.Searches) > 0 {
		fmt.Fprintln(&b, "search", strings.Join(c.Searches, " "))
	}
	for _, server := range c.Servers {
		fmt.Fprintln(&b, "nameserver", server)
	}
	if len(c.Options) > 0 {
		fmt.Fprintln(&b, "options", strings.Join(c.Options, " "))
	}
	return b.String(), nil
}

// usersOf gives the user namespace that a Pod asks for, or nil.
func (s *server) usersOf(p *sandbox) (*box.Users, error) {
	o := p.namespaces().GetUsernsOptions()
	if o == nil || o.Mode != rt.NamespaceMode_POD || len(o.Uids) == 0 {
		return nil, nil
	}
	if !s.machine.Users {
		return nil, fmt.Errorf("hostUsers: false is not possible on this machine: %s", strings.Join(s.limits, "; "))
	}
	return &box.Users{UIDs: ranges(o.Uids), GIDs: ranges(o.Gids)}, nil
}

func ranges(in []*rt.IDMapping) []box.IDRange {
	var out []box.IDRange
	for _, m := range in {
		out = append(out, box.IDRange{Container: int(m.ContainerId), Host: int(m.HostId), Size: int(m.Length)})
	}
	return out
}

// StopPodSandbox ends whatever still runs in it and gives up its address. It may be called more than once, also for one
// that is gone.
func (s *server) StopPodSandbox(ctx context.Context, r *rt.StopPodSandboxRequest) (*rt.StopPodSandboxResponse, error) {
	for _, c := range s.findContainers(func(c *container) bool { return c.SandboxID == r.PodSandboxId }) {
		if err := s.stop(ctx, c, 0); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.sandboxes[r.PodSandboxId]
	if p == nil {
		return &rt.StopPodSandboxResponse{}, nil
	}
	p.endPause()
	p.Ready, p.IP = false, ""
	return &rt.StopPodSandboxResponse{}, s.saveSandbox(p)
}

// RemovePodSandbox forgets a sandbox and its containers.
func (s *server) RemovePodSandbox(ctx context.Context, r *rt.RemovePodSandboxRequest) (*rt.RemovePodSandboxResponse, error) {
	if _, err := s.StopPodSandbox(ctx, &rt.StopPodSandboxRequest{PodSandboxId: r.PodSandboxId}); err != nil {
		return nil, err
	}
	for _, c := range s.findContainers(func(c *container) bool { return c.SandboxID == r.PodSandboxId }) {
		if err := s.remove(c); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sandboxes, r.PodSandboxId)
	if r.PodSandboxId == "" {
		return &rt.RemovePodSandboxResponse{}, nil
	}
	return &rt.RemovePodSandboxResponse{}, os.RemoveAll(s.sandboxFolder(filepath.Base(r.PodSandboxId)))
}

// PodSandboxStatus describes one sandbox.
func (s *server) PodSandboxStatus(_ context.Context, r *rt.PodSandboxStatusRequest) (*rt.PodSandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.sandboxes[r.PodSandboxId]
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", r.PodSandboxId)
	}
	return &rt.PodSandboxStatusResponse{Status: &rt.PodSandboxStatus{
		Id: p.ID, Metadata: p.config.Metadata, State: p.state(), CreatedAt: p.Created, Labels: p.config.Labels, Annotations: p.config.Annotations,
		Network: &rt.PodSandboxNetworkStatus{Ip: p.IP}, Linux: &rt.LinuxPodSandboxStatus{Namespaces: &rt.Namespace{Options: p.namespaces()}},
	}}, nil
}

// ListPodSandbox lists sandboxes.
func (s *server) ListPodSandbox(_ context.Context, r *rt.ListPodSandboxRequest) (*rt.ListPodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &rt.ListPodSandboxResponse{}
	f := r.GetFilter()
	for _, p := range s.sandboxes {
		if (f.GetId() == "" || f.Id == p.ID) && (f.GetState() == nil || f.State.State == p.state()) && hasLabels(p.config.Labels, f.GetLabelSelector()) {
			out.Items = append(out.Items, &rt.PodSandbox{
				Id: p.ID, Metadata: p.config.Metadata, State: p.state(), CreatedAt: p.Created, Labels: p.config.Labels, Annotations: p.config.Annotations,
			})
		}
	}
	return out, nil
}

// UpdatePodSandboxResources is told the sum of a Pod's resources; limits are set per container here.
func (s *server) UpdatePodSandboxResources(context.Context, *rt.UpdatePodSandboxResourcesRequest) (*rt.UpdatePodSandboxResourcesResponse, error) {
	return &rt.UpdatePodSandboxResourcesResponse{}, nil
}

func hasLabels(labels, wanted map[string]string) bool {
	for k, v := range wanted {
		if labels[k] != v {
			return false
		}
	}
	return true
}
