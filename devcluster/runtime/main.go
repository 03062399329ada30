// Command runtime is a container runtime whose containers are processes of this machine.
//
// It stands behind the kubelet's standard interface (CRI v1), so that everything above it is Kubernetes itself: a development
// cluster needs no images, no root and no container engine, and still has genuine Pods. A container gets its own view of the
// files, processes, users and limits as far as this machine allows; what it does not allow is said at the start.
// It is no security boundary for code that you do not trust.
//
// Besides serving, the program is the init of each container: it starts itself again for that (package box).
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"eugo.dev/devcluster/runtime/internal/box"
	"eugo.dev/devcluster/runtime/internal/cri"
)

func main() {
	if box.Inside(os.Args[1:]) {
		return
	}
	var o cri.Options
	flag.StringVar(&o.Socket, "socket", "", "Unix socket to serve the kubelet on")
	flag.StringVar(&o.State, "state", "", "folder for records and writable layers, kept over restarts")
	flag.StringVar(&o.Images, "images", "", "YAML file of images: name → command, args, env, path, workingDir, user, show")
	flag.StringVar(&o.CDI, "cdi", "/var/run/cdi", "folder of CDI device descriptions")
	flag.StringVar(&o.Network, "network", "127.77.0.0/16", "range of Pod addresses, routed to this machine")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := serve(o, log); err != nil {
		fmt.Fprintln(os.Stderr, "runtime:", err)
		os.Exit(1)
	}
}

func serve(o cri.Options, log *slog.Logger) error {
	for name, value := range map[string]string{"socket": o.Socket, "state": o.State, "images": o.Images} {
		if value == "" {
			return fmt.Errorf("--%s is missing; see --help", name)
		}
	}
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see --help", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	return cri.Serve(ctx, o, log)
}
