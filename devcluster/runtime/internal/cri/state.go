package cri

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/box"
)

// The records of sandboxes and containers, one file each, written before the kubelet hears of a change. A runtime that
// starts reads them all, takes back the containers that live, learns how those that ended did so, and clears away what
// belongs to none. The folder may be thrown away with all its containers stopped; nothing else refers to it.

const recordName = "record.json"

func (s *server) saveSandbox(p *sandbox) (err error) {
	if p.Config, err = proto.Marshal(p.config); err != nil {
		return err
	}
	return save(s.sandboxFolder(p.ID), p.sandboxRecord)
}

// saveContainer is called with the lock held.
func (s *server) saveContainer(c *container) (err error) {
	if c.Config, err = proto.Marshal(c.config); err != nil {
		return err
	}
	return save(s.containerFolder(c.ID), c.containerRecord)
}

// save replaces a record as a whole. It need not survive the machine, only us, so it is not synced.
func save(folder string, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	path := filepath.Join(folder, recordName)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func read(folder string, record any) error {
	b, err := os.ReadFile(filepath.Join(folder, recordName))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, record)
}

// load takes over what an earlier runtime left.
func (s *server) load() error {
	if err := s.each("sandboxes", s.loadSandbox); err != nil {
		return err
	}
	if err := s.each("containers", s.loadContainer); err != nil {
		return err
	}
	if s.cgroups != nil {
		for _, id := range s.cgroups.Names() {
			if s.containers[id] == nil {
				s.cgroups.Group(id).Remove()
			}
		}
	}
	if n := len(s.sandboxes); n > 0 {
		s.log.Info("took over from an earlier runtime", "sandboxes", n, "containers", len(s.containers))
	}
	return nil
}

// each loads every entry of a folder, and removes those that cannot be loaded.
func (s *server) each(kind string, loadOne func(folder, id string) error) error {
	parent := filepath.Join(s.options.State, kind)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	for _, e := range entries {
		folder := filepath.Join(parent, e.Name())
		if err := loadOne(folder, e.Name()); err != nil {
			s.log.Warn("removing what an earlier runtime left half-made", "kind", kind, "id", e.Name(), "error", err)
			box.Handle{Folder: folder}.Kill()
			if err := os.RemoveAll(folder); err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
		}
	}
	return nil
}

func (s *server) loadSandbox(folder, id string) error {
	p := &sandbox{config: &rt.PodSandboxConfig{}}
	if err := read(folder, &p.sandboxRecord); err != nil {
		return err
	}
	if err := proto.Unmarshal(p.Config, p.config); err != nil {
		return err
	}
	if p.Pause != nil && !p.Pause.Alive() {
		p.Pause, p.Ready = nil, false
	}
	s.sandboxes[id] = p
	return nil
}

func (s *server) loadContainer(folder, id string) error {
	c := &container{config: &rt.ContainerConfig{}, done: make(chan struct{})}
	if err := read(folder, &c.containerRecord); err != nil {
		return err
	}
	if err := proto.Unmarshal(c.Config, c.config); err != nil {
		return err
	}
	if s.sandboxes[c.SandboxID] == nil {
		return errors.New("its sandbox is gone")
	}
	s.containers[id] = c
	_, _ = s.images.Pull(c.Image) // an image in use was pulled
	switch c.State {
	case rt.ContainerState_CONTAINER_RUNNING:
		go s.watch(c)
	case rt.ContainerState_CONTAINER_EXITED:
		close(c.done)
	default:
		s.loadCreated(folder, c)
	}
	return nil
}

// loadCreated looks at a container that had not started, as far as is recorded. If its folder says that it had begun to,
// nobody knows its init: that ends, and the kubelet starts another.
func (s *server) loadCreated(folder string, c *container) {
	entries, _ := os.ReadDir(folder)
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != recordName }) {
		return
	}
	begun := box.Handle{Folder: folder}
	begun.Kill()
	exit := begun.Exit()
	if exit == nil {
		exit = &box.Exit{Code: box.Killed, At: time.Now().UnixNano()}
	}
	s.finish(c, *exit, "Error", "the runtime ended while the container started")
}
