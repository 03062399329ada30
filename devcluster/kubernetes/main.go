// Command kube is Kubernetes on one machine in one file: upstream's own programs, linked together.
//
// Everything a cluster decides (validation, RBAC, admission, scheduling, DRA, probes, back-off,
// garbage collection) is upstream's code, reached through the commands upstream exports. Nothing is
// reimplemented here and nothing is patched; this file only chooses which of them to run, by the name
// it was called with or by its first argument. One program instead of six, because they share most of
// their packages: compiled and linked once they take a fraction of the time and of the disk
// (docs/decisions/0002).
//
// Beside them stand three small agents of our own, each where a real cluster has hardware or a cloud:
// gpu-driver (a DRA driver without devices), provisioner (a storage system without disks) and nodes
// (Nodes without machines). They speak to the API server and the kubelet as any third party would.
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata" // as upstream's main: CronJob time zones work on machines without a zone database

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // as upstream's kubectl
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // as upstream: --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // as upstream: client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // as upstream: kubernetes_build_info
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"eugo.dev/devcluster/kubernetes/internal/etcd"
	"eugo.dev/devcluster/kubernetes/internal/gpudriver"
	"eugo.dev/devcluster/kubernetes/internal/multicall"
	"eugo.dev/devcluster/kubernetes/internal/nodes"
	"eugo.dev/devcluster/kubernetes/internal/provisioner"
)

func main() {
	programs := multicall.Table{
		{Name: "etcd", Summary: "the store, one member, on a socket or loopback", Run: run(etcd.NewCommand)},
		{Name: "kube-apiserver", Summary: "upstream", Run: run(apiserver.NewAPIServerCommand)},
		{Name: "kube-controller-manager", Summary: "upstream", Run: run(controllermanager.NewControllerManagerCommand)},
		{Name: "kube-scheduler", Summary: "upstream", Run: run(func() *cobra.Command { return scheduler.NewSchedulerCommand() })},
		{Name: "kubelet", Summary: "upstream", Run: run(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })},
		{Name: "kubectl", Summary: "upstream", Run: kubectl},
		{Name: "gpu-driver", Summary: "DRA kubelet plugins for GPUs that are not there", Run: run(gpudriver.NewCommand)},
		{Name: "provisioner", Summary: "PersistentVolumes as folders of this machine", Run: run(provisioner.NewCommand)},
		{Name: "nodes", Summary: "extra Nodes without machines", Run: run(nodes.NewCommand)},
	}
	program, args, err := programs.Select(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// Upstream's commands read os.Args themselves, some of them more than once.
	os.Args = args
	os.Exit(program.Run())
}

// run wraps a command constructor, so that only the chosen program is constructed: each registers
// flags and feature gates of its own when it is.
func run(newCommand func() *cobra.Command) func() int {
	return func() int { return cli.Run(newCommand()) }
}

// kubectl does what upstream's own main does: its verbosity must be known before its flags are parsed,
// and its errors are printed the way people expect of kubectl.
func kubectl() int {
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // exits
	}
	return 0
}
