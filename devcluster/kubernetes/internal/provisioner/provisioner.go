// Package provisioner makes PersistentVolumes out of folders of this machine.
//
// It is what a cloud's storage driver is elsewhere: claims of its StorageClasses get a volume at once
// or when their first Pod is scheduled, as the class says; the volume grows when the claim asks for
// more; it is removed with its claim, or kept if the class says Retain. Binding, protection of volumes
// in use, and every rule about who may ask for what remain upstream's.
//
// The waiting, retrying and event writing are the well-kept library of SIG Storage; ours are the
// folders (folders.go) and what the library leaves to others, expansion (expansion.go). A folder is
// named like its PersistentVolume, has mode 0777, and lies in a folder of mode 0700. Sizes are kept in
// the books only: nothing measures what a Pod writes.
package provisioner

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"eugo.dev/devcluster/kubernetes/internal/agent"
)

// Options are the flags of the command.
type Options struct {
	// Kubeconfig names the cluster and the identity.
	Kubeconfig string
	// Path is the folder of the volumes' folders.
	Path string
	// Name is the provisioner's name, as StorageClasses refer to it.
	Name string
}

// NewCommand returns the command `provisioner`.
func NewCommand() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "provisioner",
		Short: "Make PersistentVolumes out of folders of this machine",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := agent.Signals(context.Background())
			defer stop()
			return Run(ctx, o)
		},
	}
	c.Flags().StringVar(&o.Kubeconfig, "kubeconfig", "", "file that names the cluster and the identity (required)")
	c.Flags().StringVar(&o.Path, "path", "", "folder of the volumes' folders, made with mode 0700 (required)")
	c.Flags().StringVar(&o.Name, "name", "", "the provisioner's name in StorageClasses, such as devcluster.test/folders (required)")
	for _, flag := range []string{"kubeconfig", "path", "name"} {
		if err := c.MarkFlagRequired(flag); err != nil {
			panic(err) // only if the flag's name is misspelt
		}
	}
	return c
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	client, err := agent.Client(o.Kubeconfig, "provisioner", 100)
	if err != nil {
		return err
	}
	folders, err := openFolders(o.Path)
	if err != nil {
		return err
	}
	defer func() { _ = folders.root.Close() }()
	return serve(ctx, client, o.Name, folders)
}

// serve runs the library's controller and the expander on the same informers.
func serve(ctx context.Context, client kubernetes.Interface, name string, folders folders) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	volumes := factory.Core().V1().PersistentVolumes().Informer()
	classes := factory.Storage().V1().StorageClasses().Informer()
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	expander, err := newExpander(client, name, claims, volumes, broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: name}))
	if err != nil {
		return err
	}
	provision := controller.NewProvisionController(ctx, client, name, folders,
		controller.ClaimsInformer(claims), controller.VolumesInformer(volumes), controller.ClassesInformer(classes),
		controller.LeaderElection(false), // one process, supervised
		controller.AddFinalizer(true),    // a PersistentVolume is not gone before its folder
		controller.MetricsPort(0),
		// A failure is a full disk or a wrong class: worth another look soon, and seldom for long.
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, time.Minute)),
		controller.FailedProvisionThreshold(0), controller.FailedDeleteThreshold(0), // never give up
	)
	factory.Start(ctx.Done())
	go func() {
		factory.WaitForCacheSync(ctx.Done())
		expander.run(ctx)
	}()
	provision.Run(ctx)
	return nil
}
