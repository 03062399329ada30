package gpudriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	strictjson "sigs.k8s.io/json"
)

// The API version and kinds of opaque parameters, as NVIDIA's driver names them.
const (
	configVersion = "resource.nvidia.com/v1beta1"
	gpuConfigKind = "GpuConfig"
	migConfigKind = "MigDeviceConfig"
)

// The sharing strategies of NVIDIA's driver.
const (
	timeSlicing = "TimeSlicing"
	mps         = "MPS"
)

// A deviceConfig holds the opaque parameters that claims and classes may carry for a device: NVIDIA's
// GpuConfig and MigDeviceConfig, which have the same shape (a MIG device cannot be time-sliced).
type deviceConfig struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Sharing    *sharing `json:"sharing,omitempty"`
}

type sharing struct {
	Strategy    string             `json:"strategy"`
	TimeSlicing *timeSlicingConfig `json:"timeSlicingConfig,omitempty"`
	MPS         *mpsConfig         `json:"mpsConfig,omitempty"`
}

type timeSlicingConfig struct {
	Interval string `json:"interval,omitempty"`
}

type mpsConfig struct {
	DefaultActiveThreadPercentage     *int                         `json:"defaultActiveThreadPercentage,omitempty"`
	DefaultPinnedDeviceMemoryLimit    *resource.Quantity           `json:"defaultPinnedDeviceMemoryLimit,omitempty"`
	DefaultPerDevicePinnedMemoryLimit map[string]resource.Quantity `json:"defaultPerDevicePinnedMemoryLimit,omitempty"`
	MultiUser                         *bool                        `json:"multiUser,omitempty"`
}

// decodeConfig reads opaque parameters strictly: a key that a real driver would refuse is refused here.
func decodeConfig(parameters []byte) (deviceConfig, error) {
	var c deviceConfig
	// Version and kind first: a list of unknown fields says nothing about a config for someone else.
	if err := json.NewDecoder(bytes.NewReader(parameters)).Decode(&struct {
		APIVersion *string `json:"apiVersion"`
		Kind       *string `json:"kind"`
	}{&c.APIVersion, &c.Kind}); err != nil {
		return c, fmt.Errorf("parameters are not an object with apiVersion and kind: %w", err)
	}
	if c.APIVersion != configVersion || (c.Kind != gpuConfigKind && c.Kind != migConfigKind) {
		return c, fmt.Errorf("parameters are %q of %q; this driver knows %s and %s of %s", c.Kind, c.APIVersion, gpuConfigKind, migConfigKind, configVersion)
	}
	strict, err := strictjson.UnmarshalStrict(parameters, &c)
	if err := errors.Join(append(strict, err)...); err != nil {
		return c, fmt.Errorf("%s: %w", c.Kind, err)
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("%s: %w", c.Kind, err)
	}
	return c, nil
}

func (c deviceConfig) validate() error {
	s := c.Sharing
	if s == nil {
		return nil
	}
	switch s.Strategy {
	case timeSlicing:
		if c.Kind == migConfigKind {
			return fmt.Errorf("sharing.strategy: a MIG device cannot be time-sliced; use %s", mps)
		}
		if s.MPS != nil {
			return fmt.Errorf("sharing.mpsConfig: not with strategy %s", timeSlicing)
		}
		if s.TimeSlicing != nil {
			switch s.TimeSlicing.Interval {
			case "", "Default", "Short", "Medium", "Long":
			default:
				return fmt.Errorf("sharing.timeSlicingConfig.interval: %q is none of Default, Short, Medium, Long", s.TimeSlicing.Interval)
			}
		}
	case mps:
		if s.TimeSlicing != nil {
			return fmt.Errorf("sharing.timeSlicingConfig: not with strategy %s", mps)
		}
		return s.MPS.validate()
	default:
		return fmt.Errorf("sharing.strategy: %q is neither %s nor %s", s.Strategy, timeSlicing, mps)
	}
	return nil
}

func (m *mpsConfig) validate() error {
	if m == nil {
		return nil
	}
	if p := m.DefaultActiveThreadPercentage; p != nil && (*p < 1 || *p > 100) {
		return fmt.Errorf("sharing.mpsConfig.defaultActiveThreadPercentage: %d is not between 1 and 100", *p)
	}
	if q := m.DefaultPinnedDeviceMemoryLimit; q != nil && q.Value() < mebibyte {
		return fmt.Errorf("sharing.mpsConfig.defaultPinnedDeviceMemoryLimit: %s is less than 1Mi", q)
	}
	for device, q := range m.DefaultPerDevicePinnedMemoryLimit {
		if q.Value() < mebibyte {
			return fmt.Errorf("sharing.mpsConfig.defaultPerDevicePinnedMemoryLimit[%s]: %s is less than 1Mi", device, q.String())
		}
	}
	return nil
}

// configs are the opaque parameters of one claim for one driver, lowest precedence first.
type configs []struct {
	requests []string
	config   deviceConfig
}

// claimConfigs decodes what the allocation carries for the driver; the API orders it class before claim.
func claimConfigs(driver string, all []resourceapi.DeviceAllocationConfiguration) (configs, error) {
	var found configs
	for i, c := range all {
		if c.Opaque == nil || c.Opaque.Driver != driver {
			continue
		}
		decoded, err := decodeConfig(c.Opaque.Parameters.Raw)
		if err != nil {
			return nil, fmt.Errorf("config %d (%s) for driver %s: %w", i, c.Source, driver, err)
		}
		found = append(found, struct {
			requests []string
			config   deviceConfig
		}{c.Requests, decoded})
	}
	return found, nil
}

// forDevice returns the sharing that holds for a device allocated to a request; nil if there is none.
//
// The last config that names the request, or no request, and is of the device's kind wins. One that
// names the request and is of the wrong kind is an error: somebody meant something that cannot be.
func (cs configs) forDevice(request string, isMIG bool) (*sharing, error) {
	kind := gpuConfigKind
	if isMIG {
		kind = migConfigKind
	}
	for i := len(cs) - 1; i >= 0; i-- {
		named, general := matches(cs[i].requests, request), len(cs[i].requests) == 0
		switch {
		case !named && !general:
		case cs[i].config.Kind == kind:
			return cs[i].config.Sharing, nil
		case named:
			return nil, fmt.Errorf("request %s got a device that takes a %s, and its config is a %s", request, kind, cs[i].config.Kind)
		}
	}
	return nil, nil
}
