// Package cri serves the kubelet: the Container Runtime Interface v1 (k8s.io/cri-api, api.proto) over boxes.
//
// It decides what a container is made of, keeps the records of Pods and containers, and answers. It holds
// no container: each has an init of its own (package box), and the records lie in the state folder, so that a runtime
// that was killed finds everything again. What the interface says is optional and a development
// cluster does not need (checkpoints, event streams, metric descriptors) answers Unimplemented, which the kubelet knows.
package cri

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"eugo.dev/devcluster/runtime/internal/box"
	"eugo.dev/devcluster/runtime/internal/cgroups"
	"eugo.dev/devcluster/runtime/internal/images"
)

// Options is what the command line says.
type Options struct {
	// Socket is where the kubelet finds us, readable by our own user only.
	Socket string
	// State holds the records and the writable layers.
	State string
	// Images is the file that says what images are.
	Images string
	// CDI is the folder of device descriptions.
	CDI string
	// Network is where Pods get their addresses from: IPv4, and routed to this machine.
	Network string
}

// shutdownGrace is how long containers have to end when the runtime is told to.
const shutdownGrace = 2 * time.Second

type server struct {
	rt.UnimplementedRuntimeServiceServer

	options Options
	log     *slog.Logger
	machine box.Machine
	limits  []string // what this machine lacks, in words
	images  *images.Store
	cgroups *cgroups.Tree // nil: none can be written
	streams streaming.Server

	// tidying counts layers that are being removed.
	tidying sync.WaitGroup

	mu         sync.Mutex
	addresses  *addresses
	sandboxes  map[string]*sandbox
	containers map[string]*container
	layers     map[string]layerUsage
}

// Serve serves until the context ends, and then ends all containers.
func Serve(ctx context.Context, o Options, log *slog.Logger) error {
	s, err := newServer(o, log)
	if err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	stopStreams, err := s.serveStreams()
	if err != nil {
		return err
	}
	defer stopStreams()
	listener, err := listen(o.Socket)
	if err != nil {
		return err
	}
	g := grpc.NewServer(grpc.UnaryInterceptor(s.logErrors))
	rt.RegisterRuntimeServiceServer(g, s)
	rt.RegisterImageServiceServer(g, &imageServer{s: s})
	defer context.AfterFunc(ctx, func() {
		s.stopAll()
		g.Stop()
	})()
	log.Info("serving", "socket", o.Socket)
	if err := g.Serve(listener); err != nil {
		return fmt.Errorf("serve on %s: %w", o.Socket, err)
	}
	return nil
}

func newServer(o Options, log *slog.Logger) (*server, error) {
	pool, err := newAddresses(o.Network)
	if err != nil {
		return nil, err
	}
	if o.State, err = filepath.Abs(o.State); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.State, filepath.Join(o.State, "sandboxes"), filepath.Join(o.State, "containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
	}
	store, err := images.Open(o.Images)
	if err != nil {
		return nil, err
	}
	// Orphans of boxes come to us, so that their inits do not stay as zombies.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper: %w", err)
	}
	machine, err := box.Probe(o.State)
	if err != nil {
		return nil, err
	}
	s := &server{
		options: o, log: log, machine: machine, limits: machine.Limits(), images: store, addresses: pool,
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{}, layers: map[string]layerUsage{},
	}
	tree, err := cgroups.Open(cgroups.Root, fmt.Sprintf("devcluster-%x", sha256.Sum256([]byte(o.State)))[:23])
	if err != nil {
		s.limits = append(s.limits, "no cgroups: limits of CPU and memory have no effect ("+err.Error()+")")
	} else {
		s.cgroups = tree
	}
	for _, l := range s.limits {
		log.Warn("this machine limits what containers get", "limit", l)
	}
	return s, nil
}

// listen makes the socket, for our own user only from its first moment.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	return l, nil
}

// serveStreams serves exec, attach and port-forward on the loopback interface. The kubelet is told a URL with a token that is good once.
func (s *server) serveStreams() (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("streaming: %w", err)
	}
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: l.Addr().String()}
	if s.streams, err = streaming.NewServer(config, streams{s}); err != nil {
		return nil, fmt.Errorf("streaming: %w", err)
	}
	web := &http.Server{Handler: s.streams, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("streaming ended", "error", err)
		}
	}()
	return func() { _ = web.Close() }, nil
}

func (s *server) logErrors(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, req)
	// The kubelet asks for what it has just removed as a matter of course.
	isLook := strings.HasSuffix(info.FullMethod, "Status")
	if err != nil && !(isLook && status.Code(err) == codes.NotFound) {
		s.log.Warn("refused", "call", filepath.Base(info.FullMethod), "error", err)
	}
	return answer, err
}

// Version says who we are.
func (s *server) Version(context.Context, *rt.VersionRequest) (*rt.VersionResponse, error) {
	return &rt.VersionResponse{Version: "0.1.0", RuntimeName: "devcluster-processes", RuntimeVersion: "0.1.0", RuntimeApiVersion: "v1"}, nil
}

// Status says that we are ready, and what this machine lacks.
func (s *server) Status(_ context.Context, r *rt.StatusRequest) (*rt.StatusResponse, error) {
	out := &rt.StatusResponse{
		Status: &rt.RuntimeStatus{Conditions: []*rt.RuntimeCondition{
			{Type: rt.RuntimeReady, Status: true}, {Type: rt.NetworkReady, Status: true},
		}},
		RuntimeHandlers: []*rt.RuntimeHandler{{Features: &rt.RuntimeHandlerFeatures{
			RecursiveReadOnlyMounts: true, UserNamespaces: s.machine.Users,
		}}},
		Features: &rt.RuntimeFeatures{SupplementalGroupsPolicy: s.machine.Identities},
	}
	if r.GetVerbose() {
		limits, err := json.Marshal(s.limits)
		if err != nil {
			return nil, err
		}
		machine, err := json.Marshal(s.machine)
		if err != nil {
			return nil, err
		}
		out.Info = map[string]string{"limits": string(limits), "machine": string(machine)}
	}
	return out, nil
}

// RuntimeConfig says how the kubelet should make its own cgroups, if it makes any.
func (s *server) RuntimeConfig(context.Context, *rt.RuntimeConfigRequest) (*rt.RuntimeConfigResponse, error) {
	return &rt.RuntimeConfigResponse{Linux: &rt.LinuxRuntimeConfiguration{CgroupDriver: rt.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig is told the Pod network's range; ours is given on the command line.
func (s *server) UpdateRuntimeConfig(context.Context, *rt.UpdateRuntimeConfigRequest) (*rt.UpdateRuntimeConfigResponse, error) {
	return &rt.UpdateRuntimeConfigResponse{}, nil
}

// stopAll ends everything, so that nothing outlives a cluster that was told to stop.
func (s *server) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*shutdownGrace)
	defer cancel()
	var all sync.WaitGroup
	for _, c := range s.findContainers(func(*container) bool { return true }) {
		all.Go(func() { _ = s.stop(ctx, c, shutdownGrace) })
	}
	all.Wait()
	s.tidying.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sandboxes {
		p.endPause()
	}
	if s.cgroups != nil {
		s.cgroups.Close()
	}
}
