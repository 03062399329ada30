// Package agent holds what our own small programs share: a client, the signals, a watched file.
//
// An agent is started by a supervisor, talks to one API server as one user, is told to end by a signal
// and to read its file anew by SIGHUP or by the file's change. It starts whether or not the API server
// is up, and may be killed at any point: everything it knows is in its file and in the API.
package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fsnotify/fsnotify"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Client returns a client for the cluster that the kubeconfig file names.
//
// qps bounds its own rate of requests; client-go's default of 5 per second is meant for pieces of
// software that share an API server with thousands of others.
func Client(kubeconfig, name string, qps float32) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
	}
	config.UserAgent = "devcluster/" + name
	config.QPS, config.Burst = qps, int(2*qps)
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
	}
	return client, nil
}

// Signals returns a context that SIGTERM and SIGINT end.
func Signals(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
}

// Watch calls load with the file's content at once, and again after each change of it and each SIGHUP,
// until ctx ends.
//
// The first load must succeed, else its error is returned. A later one that fails is logged and what
// was loaded before stays in force: a typing mistake in the file must not take running work away. The
// folder is watched, not the file, because editors and careful programs replace files by renaming.
func Watch(ctx context.Context, path string, load func([]byte) error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = watcher.Close() }()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("watch the folder of %s: %w", path, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	if err := load(content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	logger := klog.FromContext(ctx)
	for {
		forced := false
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			forced = true
		case event := <-watcher.Events:
			if filepath.Base(event.Name) != filepath.Base(path) || event.Op == fsnotify.Chmod {
				continue
			}
		case err := <-watcher.Errors:
			logger.Error(err, "Watching the file failed once; SIGHUP makes it be read again", "file", path)
			continue
		}
		current, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // between the two halves of a replacement
		case err != nil:
			logger.Error(err, "The file cannot be read; what was read before stays in force", "file", path)
			continue
		case bytes.Equal(current, content) && !forced:
			continue
		}
		content = current
		if err := load(content); err != nil {
			logger.Error(err, "The file is wrong; what was read before stays in force", "file", path)
			continue
		}
		logger.Info("Read the file again", "file", path)
	}
}
