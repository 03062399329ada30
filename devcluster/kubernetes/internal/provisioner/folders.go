package provisioner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// folders makes and removes the folders of volumes. Nothing it does reaches outside its root: each
// step goes through os.Root, which follows no symbolic link out of it, and Pods can put links into
// their volumes as they like.
type folders struct {
	path string
	root *os.Root
}

var _ controller.Provisioner = folders{}

func openFolders(path string) (folders, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return folders{}, err
	}
	// 0700: the volumes below are 0777, and are reached through mounts only.
	if err := os.MkdirAll(path, 0o700); err != nil {
		return folders{}, fmt.Errorf("make the folder --path: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return folders{}, fmt.Errorf("open the folder --path: %w", err)
	}
	return folders{path: path, root: root}, nil
}

// Provision makes the folder of a volume. A folder that is already there is one that a killed
// predecessor made: volumes have the uid of their claim in their name.
func (f folders) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if err := refuse(o); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := f.root.Mkdir(o.PVName, 0o777); err != nil && !os.IsExist(err) {
		return nil, controller.ProvisioningFinished, fmt.Errorf("make the folder of the volume: %w", err)
	}
	// Mkdir keeps to the umask.
	if err := f.root.Chmod(o.PVName, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("open the folder of the volume to every user of a Pod: %w", err)
	}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: ptr.Deref(o.StorageClass.ReclaimPolicy, v1.PersistentVolumeReclaimDelete),
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{
				Path: filepath.Join(f.path, o.PVName), Type: ptr.To(v1.HostPathDirectory)}},
			// No node affinity: every Node of a development cluster is on this machine.
		},
	}, controller.ProvisioningFinished, nil
}

// refuse says what a folder cannot be. What it silently were not, somebody would rely on.
func refuse(o controller.ProvisionOptions) error {
	var unknown []string
	for name := range o.StorageClass.Parameters {
		unknown = append(unknown, name)
	}
	sort.Strings(unknown)
	switch {
	case len(unknown) > 0:
		return fmt.Errorf("StorageClass %s: parameters %q are unknown; this provisioner takes none", o.StorageClass.Name, unknown)
	case len(o.StorageClass.MountOptions) > 0:
		return fmt.Errorf("StorageClass %s: mountOptions: a folder is not mounted and takes none", o.StorageClass.Name)
	case o.PVC.Spec.Selector != nil:
		return fmt.Errorf("spec.selector: volumes are made for their claim and cannot be selected by label")
	case o.PVC.Spec.DataSource != nil || o.PVC.Spec.DataSourceRef != nil:
		return fmt.Errorf("spec.dataSource: volumes begin empty; snapshots and clones are not supported")
	}
	return nil
}

// Delete removes a volume's folder and what is in it.
func (f folders) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	source := volume.Spec.HostPath
	if want := filepath.Join(f.path, volume.Name); source == nil || source.Path != want {
		return fmt.Errorf("the volume is not %s, the folder this provisioner made for it; remove it by hand and delete the PersistentVolume", want)
	}
	if err := f.root.RemoveAll(volume.Name); err != nil {
		return fmt.Errorf("remove the folder of the volume: %w", err)
	}
	return nil
}
