package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/box"
	"eugo.dev/devcluster/runtime/internal/cgroups"
)

// The life of a container: created (a record and a specification), running (a box), exited (a record with an exit), gone.

type container struct {
	containerRecord
	config *rt.ContainerConfig
	// starting is held while the box comes up: a container starts once.
	starting bool
	done     chan struct{} // closed when exited
}

type containerRecord struct {
	ID        string
	SandboxID string
	Image     string
	Config    []byte // a ContainerConfig
	State     rt.ContainerState
	Created   int64
	Started   int64
	Finished  int64
	ExitCode  int32
	Reason    string
	Message   string
	LogPath   string
	Box       box.Handle
	Spec      box.Spec
}

// forceTime bounds how long a killed container may take to be gone with its init's help, before the init is killed too.
const forceTime = 3 * time.Second

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

func (s *server) containerFolder(id string) string {
	return filepath.Join(s.options.State, "containers", id)
}

func (s *server) findContainer(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "no container %s", id)
}

func (s *server) findContainers(wanted func(*container) bool) (out []*container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.containers {
		if wanted(c) {
			out = append(out, c)
		}
	}
	return out
}

// CreateContainer decides what the container will be. Nothing runs yet.
func (s *server) CreateContainer(_ context.Context, r *rt.CreateContainerRequest) (*rt.CreateContainerResponse, error) {
	s.mu.Lock()
	p := s.sandboxes[r.PodSandboxId]
	s.mu.Unlock()
	if p == nil || !p.Ready {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s is ready", r.PodSandboxId)
	}
	if r.Config.GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "container metadata is missing")
	}
	image, err := s.images.Find(r.Config.GetImage().GetImage())
	if err != nil {
		return nil, imageError(err)
	}
	c := &container{
		containerRecord: containerRecord{ID: newID(), SandboxID: p.ID, Image: image.Name, Created: time.Now().UnixNano()},
		config:          r.Config, done: make(chan struct{}),
	}
	if r.Config.LogPath != "" {
		// From the beginning: the kubelet removes "LogPath*" with the container, which had better not be "*".
		c.LogPath = filepath.Join(p.config.LogDirectory, r.Config.LogPath)
	}
	folder := s.containerFolder(c.ID)
	if c.Spec, err = s.specify(p, image, r.Config, folder); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "container %s: %v", r.Config.Metadata.Name, err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, status.Errorf(codes.Internal, "container folder: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[c.ID] = c
	if err := s.saveContainer(c); err != nil {
		return nil, status.Errorf(codes.Internal, "record container: %v", err)
	}
	return &rt.CreateContainerResponse{ContainerId: c.ID}, nil
}

// StartContainer returns once the command runs. One that cannot be started has exited with 128, as everywhere.
func (s *server) StartContainer(_ context.Context, r *rt.StartContainerRequest) (*rt.StartContainerResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	p := s.sandboxes[c.SandboxID]
	if c.State != rt.ContainerState_CONTAINER_CREATED || c.starting || p == nil {
		s.mu.Unlock()
		return nil, status.Errorf(codes.FailedPrecondition, "container %s cannot be started again", c.ID)
	}
	c.starting = true
	s.mu.Unlock()
	handle, err := s.launch(p, c)
	if err != nil {
		s.finish(c, box.Exit{Code: startFailed, At: time.Now().UnixNano()}, "StartError", err.Error())
		return nil, status.Errorf(codes.Unknown, "%v", err)
	}
	s.mu.Lock()
	c.Box, c.State, c.Started, c.starting = handle, rt.ContainerState_CONTAINER_RUNNING, time.Now().UnixNano(), false
	err = s.saveContainer(c)
	s.mu.Unlock()
	go s.watch(c)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "record container: %v", err)
	}
	return &rt.StartContainerResponse{}, nil
}

const startFailed = 128

func (s *server) launch(p *sandbox, c *container) (box.Handle, error) {
	log, err := openLog(c.LogPath)
	if err != nil {
		return box.Handle{}, err
	}
	defer log.Close()
	inside, err := s.joins(p, c)
	if err != nil {
		return box.Handle{}, err
	}
	enter := func(int) error { return nil }
	if g := s.group(c); g != nil {
		if err := g.Create(limitsOf(c.config.GetLinux().GetResources())); err != nil {
			g.Remove()
			return box.Handle{}, err
		}
		enter = g.Enter
	}
	return box.Launch(c.Spec, log, inside, enter)
}

// joins gives the process whose process namespace a container joins, or 0.
func (s *server) joins(p *sandbox, c *container) (int, error) {
	if c.Spec.PID != box.PIDJoined {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := c.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if o.GetPid() == rt.NamespaceMode_TARGET {
		target := s.containers[o.TargetId]
		if target == nil || target.SandboxID != c.SandboxID || target.State != rt.ContainerState_CONTAINER_RUNNING {
			return 0, fmt.Errorf("target container %s does not run in this Pod", o.TargetId)
		}
		return target.Box.PID, nil
	}
	if p.Pause == nil || !p.Pause.Alive() {
		return 0, fmt.Errorf("the Pod's shared process namespace has ended")
	}
	return p.Pause.PID, nil
}

// openLog opens a container's log. The kubelet reads it as our user.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("log folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

func (s *server) group(c *container) *cgroups.Group {
	if s.cgroups == nil {
		return nil
	}
	return s.cgroups.Group(c.ID)
}

// watch waits for the end of a container, of this runtime's or an earlier one's.
func (s *server) watch(c *container) {
	exit, reason, message := c.Box.Watch(), "Completed", ""
	if exit == nil {
		// The init went without a word: killed from outside, or by the kernel for want of memory.
		c.Box.KillInit()
		exit = &box.Exit{Code: box.Killed, At: time.Now().UnixNano()}
		message = "the container's init was killed"
	}
	box.Reap(c.Box.PID)
	if exit.Code != 0 {
		reason = "Error"
	}
	if g := s.group(c); g != nil && exit.Code == box.Killed && g.OOMKilled() {
		reason, message = "OOMKilled", "the container used more memory than its limit"
	}
	s.finish(c, *exit, reason, message)
}

// finish records the end of a container and takes down what it no longer needs.
func (s *server) finish(c *container, exit box.Exit, reason, message string) {
	if g := s.group(c); g != nil {
		g.Remove()
	}
	// Nobody can look into a container that has ended, so what it wrote outside its volumes goes now; and what the kernel
	// makes for an overlay is closed even to its owner, who may want to remove the state folder when we are gone.
	s.tidying.Go(func() { _ = os.RemoveAll(filepath.Join(s.containerFolder(c.ID), "layer")) })
	s.mu.Lock()
	defer s.mu.Unlock()
	c.State, c.starting = rt.ContainerState_CONTAINER_EXITED, false
	c.ExitCode, c.Finished, c.Reason, c.Message = int32(exit.Code), exit.At, reason, message
	if c.Started == 0 {
		c.Started = exit.At
	}
	if err := s.saveContainer(c); err != nil && !os.IsNotExist(err) {
		s.log.Error("the end of a container could not be recorded", "container", c.ID, "error", err)
	}
	close(c.done)
}

// stop ends a container: its stop signal, and SIGKILL once the time is up.
func (s *server) stop(ctx context.Context, c *container, grace time.Duration) error {
	s.mu.Lock()
	running, handle := c.State == rt.ContainerState_CONTAINER_RUNNING, c.Box
	s.mu.Unlock()
	if !running {
		return nil
	}
	if grace > 0 && handle.Signal(stopSignal(c.config.StopSignal)) == nil {
		select {
		case <-c.done:
			return nil
		case <-time.After(grace):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	handle.Kill()
	select {
	case <-c.done:
		return nil
	case <-time.After(forceTime):
		handle.KillInit()
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// stopSignal gives the number of a signal of the CRI; the default is SIGTERM.
func stopSignal(s rt.Signal) unix.Signal {
	name := s.String()
	if n := unix.SignalNum(name); n != 0 {
		return n
	}
	const first, last = 34, 64 // SIGRTMIN and SIGRTMAX as the C library counts them
	var offset int
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		_, _ = fmt.Sscanf(rest, "PLUS%d", &offset)
		return unix.Signal(first + offset)
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		_, _ = fmt.Sscanf(rest, "MINUS%d", &offset)
		return unix.Signal(last - offset)
	}
	return unix.SIGTERM
}

// StopContainer may be called more than once, also for one that is gone.
func (s *server) StopContainer(ctx context.Context, r *rt.StopContainerRequest) (*rt.StopContainerResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return &rt.StopContainerResponse{}, nil
	}
	return &rt.StopContainerResponse{}, s.stop(ctx, c, time.Duration(r.Timeout)*time.Second)
}

// RemoveContainer ends a container if it runs, and forgets it.
func (s *server) RemoveContainer(ctx context.Context, r *rt.RemoveContainerRequest) (*rt.RemoveContainerResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return &rt.RemoveContainerResponse{}, nil
	}
	if err := s.stop(ctx, c, 0); err != nil {
		return nil, err
	}
	return &rt.RemoveContainerResponse{}, s.remove(c)
}

func (s *server) remove(c *container) error {
	s.mu.Lock()
	delete(s.containers, c.ID)
	delete(s.layers, c.ID)
	s.mu.Unlock()
	if err := os.RemoveAll(s.containerFolder(c.ID)); err != nil {
		return status.Errorf(codes.Internal, "remove container: %v", err)
	}
	return nil
}

// ListContainers lists containers.
func (s *server) ListContainers(_ context.Context, r *rt.ListContainersRequest) (*rt.ListContainersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &rt.ListContainersResponse{}
	f := r.GetFilter()
	for _, c := range s.containers {
		if (f.GetId() == "" || f.Id == c.ID) && (f.GetPodSandboxId() == "" || f.PodSandboxId == c.SandboxID) &&
			(f.GetState() == nil || f.State.State == c.State) && hasLabels(c.config.Labels, f.GetLabelSelector()) {
			out.Containers = append(out.Containers, &rt.Container{
				Id: c.ID, PodSandboxId: c.SandboxID, Metadata: c.config.Metadata, Image: c.config.Image, ImageRef: imageID(c.Image), ImageId: imageID(c.Image),
				State: c.State, CreatedAt: c.Created, Labels: c.config.Labels, Annotations: c.config.Annotations,
			})
		}
	}
	return out, nil
}

// ContainerStatus describes one container.
func (s *server) ContainerStatus(_ context.Context, r *rt.ContainerStatusRequest) (*rt.ContainerStatusResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := c.Spec.Process.Identity
	out := &rt.ContainerStatus{
		Id: c.ID, Metadata: c.config.Metadata, State: c.State, CreatedAt: c.Created, StartedAt: c.Started, FinishedAt: c.Finished,
		ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message, Image: &rt.ImageSpec{Image: c.Image}, ImageRef: imageID(c.Image), ImageId: imageID(c.Image),
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.LogPath, StopSignal: c.config.StopSignal,
	}
	if out.StopSignal == rt.Signal_RUNTIME_DEFAULT {
		out.StopSignal = rt.Signal_SIGTERM
	}
	if s.machine.Identities || s.machine.Named {
		user := &rt.LinuxContainerUser{Uid: int64(id.UID), Gid: int64(id.GID)}
		if s.machine.Identities {
			user.SupplementalGroups = groups64(id.Groups)
		}
		out.User = &rt.ContainerUser{Linux: user}
	}
	if s.cgroups != nil && c.config.GetLinux().GetResources() != nil {
		out.Resources = &rt.ContainerResources{Linux: c.config.Linux.Resources}
	}
	answer := &rt.ContainerStatusResponse{Status: out}
	if r.Verbose {
		answer.Info = map[string]string{"pid": fmt.Sprint(c.Box.PID)}
	}
	return answer, nil
}

func groups64(groups []int) []int64 {
	out := make([]int64, 0, len(groups))
	for _, g := range groups {
		out = append(out, int64(g))
	}
	return out
}

// UpdateContainerResources changes the limits of a container (in-place resize of a Pod).
func (s *server) UpdateContainerResources(_ context.Context, r *rt.UpdateContainerResourcesRequest) (*rt.UpdateContainerResourcesResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Linux == nil {
		return &rt.UpdateContainerResourcesResponse{}, nil
	}
	if g := s.group(c); g != nil && c.State == rt.ContainerState_CONTAINER_RUNNING {
		if err := g.Set(limitsOf(r.Linux)); err != nil {
			return nil, status.Errorf(codes.Internal, "container %s: %v", c.config.Metadata.Name, err)
		}
	}
	if c.config.Linux == nil {
		c.config.Linux = &rt.LinuxContainerConfig{}
	}
	c.config.Linux.Resources = r.Linux
	return &rt.UpdateContainerResourcesResponse{}, s.saveContainer(c)
}

func limitsOf(r *rt.LinuxContainerResources) cgroups.Limits {
	return cgroups.Limits{
		CPUQuota: r.GetCpuQuota(), CPUPeriod: r.GetCpuPeriod(), CPUShares: r.GetCpuShares(), MemoryBytes: r.GetMemoryLimitInBytes(), Unified: r.GetUnified(),
	}
}

// ReopenContainerLog goes on in a new file after the kubelet has moved the old one away.
func (s *server) ReopenContainerLog(_ context.Context, r *rt.ReopenContainerLogRequest) (*rt.ReopenContainerLogResponse, error) {
	c, err := s.findContainer(r.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	running, handle, path := c.State == rt.ContainerState_CONTAINER_RUNNING, c.Box, c.LogPath
	s.mu.Unlock()
	if !running {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s does not run", c.ID)
	}
	log, err := openLog(path)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "%v", err)
	}
	defer log.Close()
	if err := handle.Reopen(log); err != nil {
		return nil, status.Errorf(codes.Internal, "reopen log: %v", err)
	}
	return &rt.ReopenContainerLogResponse{}, nil
}
