// Package cdi finds what a device adds to a container, in the files that device drivers write
// (Container Device Interface, github.com/cncf-tags/container-device-interface, SPEC.md).
//
// Supported are environment, mounts and device nodes. Hooks would run programs as root on the machine for a container
// that is only a process; they are refused rather than left out in silence.
package cdi

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"
)

// Edits is what a device adds.
type Edits struct {
	Env         []string `json:"env"`
	Mounts      []Mount  `json:"mounts"`
	DeviceNodes []Node   `json:"deviceNodes"`
	Hooks       []any    `json:"hooks"`
	// AdditionalGIDs are supplemental groups.
	AdditionalGIDs []int64 `json:"additionalGids"`
}

// Mount is a file or folder of the machine.
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options"`
}

// ReadOnly says whether the mount may not be written.
func (m Mount) ReadOnly() bool { return slices.Contains(m.Options, "ro") }

// Node is a device of the machine.
type Node struct {
	Path     string `json:"path"`
	HostPath string `json:"hostPath"`
}

type specification struct {
	Kind    string `json:"kind"`
	Devices []struct {
		Name           string `json:"name"`
		ContainerEdits Edits  `json:"containerEdits"`
	} `json:"devices"`
	ContainerEdits Edits `json:"containerEdits"`
}

// Find gives the edits of a device ("vendor/class=name"): first those of its file, then its own.
func Find(folder, device string) ([]Edits, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("CDI device %q: %w", device, err)
	}
	var broken error
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".json" && ext != ".yaml" {
			continue
		}
		spec, err := read(filepath.Join(folder, e.Name()))
		if err != nil {
			// Another driver's broken file must not take this device away; but if the device
			// is not found, it is the likely reason.
			broken = err
			continue
		}
		for _, d := range spec.Devices {
			if spec.Kind+"="+d.Name != device {
				continue
			}
			if len(d.ContainerEdits.Hooks)+len(spec.ContainerEdits.Hooks) > 0 {
				return nil, fmt.Errorf("CDI device %q in %s has hooks, which are not supported here", device, e.Name())
			}
			return []Edits{spec.ContainerEdits, d.ContainerEdits}, nil
		}
	}
	if broken != nil {
		return nil, fmt.Errorf("CDI device %q is in no readable file of %s: %w", device, folder, broken)
	}
	return nil, fmt.Errorf("CDI device %q is in no file of %s", device, folder)
}

func read(file string) (*specification, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s specification
	if err := yaml.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return &s, nil
}
