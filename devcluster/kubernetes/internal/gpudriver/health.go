package gpudriver

import (
	"time"

	healthapi "k8s.io/kubelet/pkg/apis/dra-health/v1alpha1"
)

// healthInterval is how often devices are said to be healthy; the kubelet doubts what it has not heard
// for 30 s.
const healthInterval = 10 * time.Second

var _ healthapi.DRAResourceHealthServer = &plugin{}

// NodeWatchResources tells the kubelet that the devices are healthy, which it shows in the status of
// containers (allocatedResourcesStatus). A kubelet asks every driver, and a driver that does not
// answer is asked again each second.
func (p *plugin) NodeWatchResources(_ *healthapi.NodeWatchResourcesRequest, stream healthapi.DRAResourceHealth_NodeWatchResourcesServer) error {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	for {
		if err := stream.Send(p.health(time.Now())); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (p *plugin) health(now time.Time) *healthapi.NodeWatchResourcesResponse {
	var all healthapi.NodeWatchResourcesResponse
	for _, device := range p.devices().Devices {
		all.Devices = append(all.Devices, &healthapi.DeviceHealth{
			Device:          &healthapi.DeviceIdentifier{PoolName: p.pool, DeviceName: device.Name},
			Health:          healthapi.HealthStatus_HEALTHY,
			LastUpdatedTime: now.Unix(),
		})
	}
	return &all
}
