package gpudriver

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// cdiVersion is the oldest version of the Container Device Interface that has everything used here.
const cdiVersion = "0.6.0"

// A cdiSpec is a file by which the container runtime learns what to change in a container that uses
// one of our devices: https://github.com/cncf-tags/container-device-interface, SPEC.md.
type cdiSpec struct {
	Version string      `json:"cdiVersion"`
	Kind    string      `json:"kind"`
	Devices []cdiDevice `json:"devices"`
}

type cdiDevice struct {
	Name  string   `json:"name"`
	Edits cdiEdits `json:"containerEdits"`
}

type cdiEdits struct {
	Env []string `json:"env"`
}

// A cdiFolder holds one file for each prepared claim of a driver. The files are the driver's only
// state: what is prepared survives it, and is found again by the claim's uid.
type cdiFolder struct {
	path   string
	driver string
}

func (f cdiFolder) kind() string { return "k8s." + f.driver + "/claim" }

func (f cdiFolder) id(device string) string { return f.kind() + "=" + device }

func (f cdiFolder) file(claim types.UID) (string, error) {
	if claim == "" || strings.ContainsAny(string(claim), "/\x00") || claim[0] == '.' {
		return "", fmt.Errorf("%q is not the uid of a claim", claim)
	}
	return filepath.Join(f.path, fmt.Sprintf("k8s.%s-claim-%s.json", f.driver, claim)), nil
}

// write makes the file of a claim, whole or not at all: a runtime never reads half of it.
func (f cdiFolder) write(claim types.UID, devices []cdiDevice) (err error) {
	path, err := f.file(claim)
	if err != nil {
		return err
	}
	content, err := json.MarshalIndent(cdiSpec{Version: cdiVersion, Kind: f.kind(), Devices: devices}, "", "  ")
	if err != nil {
		return err
	}
	// Runtimes read what ends in .json or .yaml; the temporary name does not.
	temporary, err := os.CreateTemp(f.path, ".claim-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name())
		}
	}()
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// remove removes the file of a claim, if there is one.
func (f cdiFolder) remove(claim types.UID) error {
	path, err := f.file(claim)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeTemporary removes what a killed predecessor left half written.
func (f cdiFolder) removeTemporary() error {
	left, err := filepath.Glob(filepath.Join(f.path, ".claim-*.tmp"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
