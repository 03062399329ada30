// Package images says what an image is here: a name in a file that stands for a local environment.
//
// Nothing is downloaded and nothing unpacked. A reference that the file does not have is unknown, and the
// kubelet makes of that what it makes of an image a registry does not have. The file is read again
// when it changes, so that a development cluster can be given another environment while it runs.
package images

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// Image is what its processes find besides the machine's own system.
type Image struct {
	// Name is the key in the file.
	Name string `json:"-"`
	// Command is the entry point, Args what follows unless the Pod says otherwise.
	Command []string `json:"command"`
	Args    []string `json:"args"`
	// Env is overridden by the Pod's.
	Env map[string]string `json:"env"`
	// Path is put before the usual PATH.
	Path       []string `json:"path"`
	WorkingDir string   `json:"workingDir"`
	// User is whom the image runs as; without one, root.
	User *int64 `json:"user"`
	// Show lists folders of the machine that appear at their own paths, even below a closed home.
	Show []string `json:"show"`
}

// ID is the image's, as a digest of its name: the environment itself has none.
func (i *Image) ID() string { return id(i.Name) }

func id(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

// Unknown is the error for a reference that the file does not have.
type Unknown struct{ Reference, File string }

func (u *Unknown) Error() string {
	return fmt.Sprintf("image %q not found: this cluster knows the images of %s only", u.Reference, filepath.Base(u.File))
}

// Store reads the file, and remembers which images were pulled: the kubelet expects an image to be absent until it is.
type Store struct {
	file string

	mu     sync.Mutex
	images map[string]*Image
	stamp  time.Time
	size   int64
	pulled map[string]bool
}

// Open reads the file and fails if it is not right.
func Open(file string) (*Store, error) {
	s := &Store{file: file, pulled: map[string]bool{}}
	_, err := s.current()
	return s, err
}

// current gives what the file says now.
func (s *Store) current() (map[string]*Image, error) {
	info, err := os.Stat(s.file)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	if s.images != nil && info.ModTime().Equal(s.stamp) && info.Size() == s.size {
		return s.images, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	found := map[string]*Image{}
	if err := yaml.UnmarshalStrict(text, &found); err != nil {
		return nil, fmt.Errorf("images: %s: %w", s.file, err)
	}
	for name, image := range found {
		if image == nil {
			image = &Image{}
			found[name] = image
		}
		image.Name = name
		if err := image.check(); err != nil {
			return nil, fmt.Errorf("images: %s: %q: %w", s.file, name, err)
		}
	}
	s.images, s.stamp, s.size = found, info.ModTime(), info.Size()
	return found, nil
}

func (i *Image) check() error {
	for _, field := range []struct {
		name  string
		paths []string
	}{{"show", i.Show}, {"path", i.Path}, {"workingDir", []string{i.WorkingDir}}} {
		for _, p := range field.paths {
			if p != "" && !filepath.IsAbs(p) {
				return fmt.Errorf("%s: %q is not an absolute path", field.name, p)
			}
		}
	}
	for _, p := range i.Show {
		if filepath.Clean(p) == "/" {
			return errors.New(`show: "/" is everything; name the folders the image needs`)
		}
	}
	if i.User != nil && *i.User < 0 {
		return fmt.Errorf("user: %d is negative", *i.User)
	}
	return nil
}

// Find gives the image of a reference, pulled or not: by its name, by its name without the tag or the digest, or by ID.
func (s *Store) Find(reference string) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(reference)
}

func (s *Store) find(reference string) (*Image, error) {
	all, err := s.current()
	if err != nil {
		return nil, err
	}
	for _, name := range names(reference) {
		if image := all[name]; image != nil {
			return image, nil
		}
	}
	for name, image := range all {
		if id(name) == reference {
			return image, nil
		}
	}
	return nil, &Unknown{reference, s.file}
}

// names gives those under which a reference may stand, the most exact first.
func names(reference string) []string {
	out := []string{reference}
	tagged, _, _ := strings.Cut(reference, "@")
	out = append(out, tagged)
	if at := strings.LastIndex(tagged, ":"); at > strings.LastIndex(tagged, "/") {
		out = append(out, tagged[:at])
	}
	return slices.Compact(out)
}

// Pull makes an image present.
func (s *Store) Pull(reference string) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	image, err := s.find(reference)
	if err == nil {
		s.pulled[image.Name] = true
	}
	return image, err
}

// Present gives the image of a reference if it was pulled and is still known, else nil.
func (s *Store) Present(reference string) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	image, err := s.find(reference)
	var unknown *Unknown
	if errors.As(err, &unknown) {
		return nil, nil
	}
	if err != nil || !s.pulled[image.Name] {
		return nil, err
	}
	return image, nil
}

// List gives all that are present, in the order of their names.
func (s *Store) List() ([]*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.current()
	if err != nil {
		return nil, err
	}
	var out []*Image
	for name, image := range all {
		if s.pulled[name] {
			out = append(out, image)
		}
	}
	slices.SortFunc(out, func(a, b *Image) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Remove makes an image absent; one that is not there is no error.
func (s *Store) Remove(reference string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if image, err := s.find(reference); err == nil {
		delete(s.pulled, image.Name)
	}
}
