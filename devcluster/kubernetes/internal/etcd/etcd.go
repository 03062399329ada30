// Package etcd runs the cluster's store: one member of genuine etcd, embedded.
//
// Whoever can talk to it can read every Secret and become anybody, and it asks nobody for a password.
// So it listens only where other users of the machine cannot reach it: on a unix socket in the data
// folder (0700), or, for those who ask for it, on a loopback port. Anything else is refused.
//
// Flags are the ones of upstream's etcd by name and meaning, as few as one machine needs.
package etcd

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// maxSocketPath is what fits into sun_path of Linux beside its closing zero (unix(7)).
const maxSocketPath = 107

// Options are the flags of the command.
type Options struct {
	// DataDir holds the data and is made with mode 0700.
	DataDir string
	// ClientURL is where the API server connects, PeerURL where other members would.
	// Empty means a socket in DataDir: client.sock and peer.sock.
	ClientURL, PeerURL string
	// UnsafeNoFsync trades the last writes before a power cut for speed. A killed process loses nothing.
	UnsafeNoFsync bool
	// LogLevel is one of debug, info, warn, error.
	LogLevel string
}

// NewCommand returns the command `etcd`.
func NewCommand() *cobra.Command {
	o := Options{LogLevel: "warn"}
	c := &cobra.Command{
		Use:   "etcd",
		Short: "Run the cluster's store: one member, on unix sockets or loopback",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return Run(ctx, o)
		},
	}
	c.SetContext(context.Background())
	f := c.Flags()
	f.StringVar(&o.DataDir, "data-dir", "", "folder of the data, made with mode 0700 (required)")
	f.StringVar(&o.ClientURL, "listen-client-urls", "", "unix:///path/to/socket, unix://socket below the working folder, or http://127.0.0.1:port (default: client.sock in --data-dir)")
	f.StringVar(&o.PeerURL, "listen-peer-urls", "", "as --listen-client-urls, another address (default: peer.sock in --data-dir)")
	f.BoolVar(&o.UnsafeNoFsync, "unsafe-no-fsync", false, "do not wait for the disk: faster, and a power cut may lose the cluster's state")
	f.StringVar(&o.LogLevel, "log-level", o.LogLevel, "debug, info, warn or error")
	if err := c.MarkFlagRequired("data-dir"); err != nil {
		panic(err) // only if the flag's name is misspelt
	}
	return c
}

// Run serves until ctx ends, then closes the database properly.
func Run(ctx context.Context, o Options) error {
	cfg, err := config(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the folder --data-dir: %w", err)
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start etcd on %s with data in %s: %w", cfg.ListenClientUrls[0].String(), o.DataDir, err)
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		return nil
	case <-e.Server.StopNotify():
		return fmt.Errorf("etcd ended by itself; its log says why")
	case err := <-e.Err():
		return fmt.Errorf("etcd failed: %w", err)
	}
}

func config(o Options) (*embed.Config, error) {
	client, err := localURL("--listen-client-urls", o.ClientURL, filepath.Join(o.DataDir, "client.sock"))
	if err != nil {
		return nil, err
	}
	peer, err := localURL("--listen-peer-urls", o.PeerURL, filepath.Join(o.DataDir, "peer.sock"))
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Dir = o.DataDir
	// The advertised addresses keep their defaults: they must be host:port, are stored with the data,
	// and there is no other member that would dial them.
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{*client}, []url.URL{*peer}
	cfg.UnsafeNoFsync = o.UnsafeNoFsync
	cfg.LogLevel = o.LogLevel
	// Upstream sets it from its flags only; left at zero every request is logged as too slow.
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	// The HTTP twin of the gRPC API: nobody uses it, and it dials the server through its own front door.
	cfg.EnableGRPCGateway = false
	return cfg, nil
}

// localURL parses an address that only this machine can reach; an empty one means the given socket.
func localURL(flag, value, socket string) (*url.URL, error) {
	const remedy = "give unix:///path/to/socket or http://127.0.0.1:port"
	if value == "" {
		value = "unix://" + socket
	}
	u, err := url.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", flag, err, remedy)
	}
	switch u.Scheme {
	case "unix":
		if u.Host+u.Path == "" {
			return nil, fmt.Errorf("%s: %q names no socket; %s", flag, value, remedy)
		}
		if path := u.Host + u.Path; len(path) > maxSocketPath {
			return nil, fmt.Errorf("%s: the path %s has %d characters and a socket's may have %d; use a shorter folder or a path relative to the working folder",
				flag, path, len(path), maxSocketPath)
		}
		// etcd 3.6 listens for clients on Host+Path but for peers on Host alone.
		return &url.URL{Scheme: "unix", Host: u.Host + u.Path}, nil
	case "http":
		if u.Port() == "" {
			return nil, fmt.Errorf("%s: %q has no port; %s", flag, value, remedy)
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("%s: %q is not a loopback address, and etcd asks nobody for a password; %s", flag, value, remedy)
		}
	default:
		return nil, fmt.Errorf("%s: %q is neither a unix nor an http address; %s", flag, value, remedy)
	}
	return u, nil
}
