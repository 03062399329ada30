package etcd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ name, url, host, problem string }{
		{name: "none means a socket in the data folder", url: "", host: "data/client.sock"},
		{name: "an absolute socket", url: "unix:///run/x/etcd.sock", host: "/run/x/etcd.sock"},
		{name: "a socket below the working folder", url: "unix://etcd.sock", host: "etcd.sock"},
		{name: "a loopback port", url: "http://127.0.0.1:2379", host: "127.0.0.1:2379"},
		{name: "a loopback port of IPv6", url: "http://[::1]:2379", host: "[::1]:2379"},
		{name: "all interfaces are refused", url: "http://0.0.0.0:2379", problem: "not a loopback address"},
		{name: "a name is refused, for it may change", url: "http://localhost:2379", problem: "not a loopback address"},
		{name: "a port is needed", url: "http://127.0.0.1", problem: "has no port"},
		{name: "a socket needs a name", url: "unix://", problem: "names no socket"},
		{name: "a path that the kernel cuts off is refused", url: "unix:///" + strings.Repeat("x", 120), problem: "has 121 characters and a socket's may have 107"},
		{name: "TLS would need certificates", url: "https://127.0.0.1:2379", problem: "neither a unix nor an http address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := localURL("--listen-client-urls", c.url, "data/client.sock")
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) || !strings.Contains(err.Error(), "--listen-client-urls") {
					t.Errorf("got %v, want the flag and %q", err, c.problem)
				}
				return
			}
			if err != nil || u.Host != c.host || u.Path != "" {
				t.Errorf("got %+v, %v; want the host %q", u, err, c.host)
			}
		})
	}
}

func TestItServesOnASocketThatOthersCannotReachAndKeepsItsData(t *testing.T) {
	// Not t.TempDir(): its path may be longer than a socket's may be.
	parent, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	data := filepath.Join(parent, "data")
	run := func(use func(context.Context, *clientv3.Client)) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, Options{DataDir: data, UnsafeNoFsync: true, LogLevel: "error"}) }()
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + data + "/client.sock"}, DialTimeout: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		use(ctx, client)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	run(func(ctx context.Context, c *clientv3.Client) {
		if _, err := c.Put(ctx, "key", "value"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the data folder: %v, %v; want mode 0700", info.Mode(), err)
		}
		if _, err := os.Stat(filepath.Join(data, "peer.sock")); err != nil {
			t.Errorf("the peer's socket: %v", err)
		}
	})
	run(func(ctx context.Context, c *clientv3.Client) {
		if got, err := c.Get(ctx, "key"); err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
			t.Errorf("after a restart: %v, %v", got, err)
		}
	})
}
