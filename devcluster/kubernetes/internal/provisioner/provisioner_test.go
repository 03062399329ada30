package provisioner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const name = "devcluster.test/folders"

func aFolders(t *testing.T) folders {
	t.Helper()
	f, err := openFolders(filepath.Join(t.TempDir(), "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.root.Close() })
	return f
}

func aClass(policy v1.PersistentVolumeReclaimPolicy) *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "devcluster"}, Provisioner: name, ReclaimPolicy: &policy,
		AllowVolumeExpansion: ptr.To(true), VolumeBindingMode: ptr.To(storagev1.VolumeBindingImmediate),
	}
}

func aClaim(size string) *v1.PersistentVolumeClaim {
	return &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eugo", Name: "home", UID: "u1", Annotations: map[string]string{
			// What upstream's volume controller writes on claims that are an external provisioner's.
			"volume.kubernetes.io/storage-provisioner": name}},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: ptr.To("devcluster"), AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			VolumeMode: ptr.To(v1.PersistentVolumeFilesystem),
			Resources:  v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}},
		},
		Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimPending},
	}
}

func options(class *storagev1.StorageClass, claim *v1.PersistentVolumeClaim) controller.ProvisionOptions {
	return controller.ProvisionOptions{StorageClass: class, PVC: claim, PVName: "pvc-u1"}
}

func provision(t *testing.T, f folders) *v1.PersistentVolume {
	t.Helper()
	volume, state, err := f.Provision(context.Background(), options(aClass(v1.PersistentVolumeReclaimDelete), aClaim("1Gi")))
	if err != nil || state != controller.ProvisioningFinished {
		t.Fatal(state, err)
	}
	return volume
}

func TestAVolumeIsAFolderForEveryUserBelowOneForUs(t *testing.T) {
	f := aFolders(t)
	volume := provision(t, f)
	inside, err := os.Stat(volume.Spec.HostPath.Path)
	if err != nil || inside.Mode().Perm() != 0o777 || filepath.Base(volume.Spec.HostPath.Path) != volume.Name {
		t.Errorf("%s: %v, %v", volume.Spec.HostPath.Path, inside.Mode(), err)
	}
	if outside, err := os.Stat(f.path); err != nil || outside.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", f.path, outside.Mode(), err)
	}
	if size := volume.Spec.Capacity[v1.ResourceStorage]; size.String() != "1Gi" {
		t.Errorf("the volume has %s", size.String())
	}
}

func TestProvisioningAgainAfterAKillKeepsTheFolder(t *testing.T) {
	f := aFolders(t)
	kept := filepath.Join(provision(t, f).Spec.HostPath.Path, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	provision(t, f)
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

func TestDeletingAVolumeFollowsNoLinkOutOfIt(t *testing.T) {
	f := aFolders(t)
	volume := provision(t, f)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(volume.Spec.HostPath.Path, "link")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time after a kill between the folder and the object
		if err := f.Delete(context.Background(), volume); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(volume.Spec.HostPath.Path); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what the link pointed to is gone: %v", err)
	}
}

func TestAFolderThatALinkHasReplacedIsNotFollowed(t *testing.T) {
	f := aFolders(t)
	volume := provision(t, f)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(volume.Spec.HostPath.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, volume.Spec.HostPath.Path); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(context.Background(), volume); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
		t.Errorf("what the link pointed to is gone: %v", err)
	}
}

func TestAVolumeThatIsNotOursIsNotDeleted(t *testing.T) {
	f := aFolders(t)
	for _, path := range []string{"/etc", f.path, filepath.Join(f.path, "..", "other"), filepath.Join(f.path, "another")} {
		volume := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-u1"}}
		volume.Spec.HostPath = &v1.HostPathVolumeSource{Path: path}
		if err := f.Delete(context.Background(), volume); err == nil || !strings.Contains(err.Error(), "by hand") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := f.Delete(context.Background(), &v1.PersistentVolume{}); err == nil {
		t.Error("a volume that is no folder at all was deleted")
	}
}

func TestWhatAFolderCannotBeIsRefusedInWords(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*storagev1.StorageClass, *v1.PersistentVolumeClaim)
	}{
		{"unknown parameters", `parameters ["fast"] are unknown`, func(s *storagev1.StorageClass, _ *v1.PersistentVolumeClaim) {
			s.Parameters = map[string]string{"fast": "yes"}
		}},
		{"mount options", "mountOptions", func(s *storagev1.StorageClass, _ *v1.PersistentVolumeClaim) { s.MountOptions = []string{"ro"} }},
		{"a selector", "spec.selector", func(_ *storagev1.StorageClass, c *v1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{}
		}},
		{"a clone", "spec.dataSource", func(_ *storagev1.StorageClass, c *v1.PersistentVolumeClaim) {
			c.Spec.DataSource = &v1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			class, claim := aClass(v1.PersistentVolumeReclaimDelete), aClaim("1Gi")
			c.change(class, claim)
			if _, _, err := aFolders(t).Provision(context.Background(), options(class, claim)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// serving runs the whole agent against a client that keeps objects in memory. Nobody plays upstream's
// volume controller there: the tests bind claims themselves.
func serving(t *testing.T, f folders, policy v1.PersistentVolumeReclaimPolicy) *fake.Clientset {
	t.Helper()
	client := fake.NewClientset(aClass(policy), aClaim("1Gi"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, client, name, f) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return client
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(context.Background(), 5*time.Millisecond, 20*time.Second, true,
		func(context.Context) (bool, error) { return is(), nil })
	if err != nil {
		t.Fatalf("never: %s", what)
	}
}

func volumeOf(client *fake.Clientset) *v1.PersistentVolume {
	volume, err := client.CoreV1().PersistentVolumes().Get(context.Background(), "pvc-u1", metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return volume
}

func TestABoundClaimGrowsWithItsVolume(t *testing.T) {
	client := serving(t, aFolders(t), v1.PersistentVolumeReclaimDelete)
	eventually(t, "a volume", func() bool { return volumeOf(client) != nil })
	claim := aClaim("3Gi")
	claim.Spec.VolumeName = "pvc-u1"
	claim.Status = v1.PersistentVolumeClaimStatus{
		Phase: v1.ClaimBound, Capacity: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")},
		Conditions: []v1.PersistentVolumeClaimCondition{{Type: v1.PersistentVolumeClaimResizing, Status: v1.ConditionTrue}},
	}
	if _, err := client.CoreV1().PersistentVolumeClaims("eugo").Update(context.Background(), claim, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the claim says 3Gi", func() bool {
		now, err := client.CoreV1().PersistentVolumeClaims("eugo").Get(context.Background(), "home", metav1.GetOptions{})
		size := now.Status.Capacity[v1.ResourceStorage]
		return err == nil && size.String() == "3Gi" && len(now.Status.Conditions) == 0
	})
	if size := volumeOf(client).Spec.Capacity[v1.ResourceStorage]; size.String() != "3Gi" {
		t.Errorf("the volume has %s", size.String())
	}
}

func TestAReleasedVolumeIsRemovedOrKeptAsItsClassSays(t *testing.T) {
	for policy, kept := range map[v1.PersistentVolumeReclaimPolicy]bool{v1.PersistentVolumeReclaimDelete: false, v1.PersistentVolumeReclaimRetain: true} {
		t.Run(string(policy), func(t *testing.T) {
			f := aFolders(t)
			client := serving(t, f, policy)
			eventually(t, "a volume", func() bool { return volumeOf(client) != nil })
			volume := volumeOf(client)
			volume.Status.Phase = v1.VolumeReleased
			if _, err := client.CoreV1().PersistentVolumes().UpdateStatus(context.Background(), volume, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if kept {
				time.Sleep(300 * time.Millisecond) // longer than a removal takes
				if _, err := os.Stat(volume.Spec.HostPath.Path); err != nil || volumeOf(client) == nil {
					t.Errorf("it is gone: %v", err)
				}
				return
			}
			eventually(t, "the folder is gone", func() bool {
				_, err := os.Stat(volume.Spec.HostPath.Path)
				return os.IsNotExist(err)
			})
			eventually(t, "the volume is gone", func() bool {
				_, err := client.CoreV1().PersistentVolumes().Get(context.Background(), "pvc-u1", metav1.GetOptions{})
				return apierrors.IsNotFound(err)
			})
		})
	}
}
