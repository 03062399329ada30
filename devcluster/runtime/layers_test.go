package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A folder that is an overlay itself, as in most containers, cannot hold the written part of another.
func TestWhereTheStateFolderCannotHoldOverlaysTheLayerIsKeptInMemory(t *testing.T) {
	if os.Geteuid() != 0 {
		return // making such a folder takes root
	}
	n := &node{t: t, kind: asRoot, dir: shortDir(t)}
	for _, dir := range []string{"upper", "work", "lower"} {
		n.folder(dir)
	}
	n.folder("cdi")
	n.write("images.yaml", imageFile)
	options := "lowerdir=" + n.path("lower") + ",upperdir=" + n.path("upper") + ",workdir=" + n.path("work")
	must(t, unix.Mount("overlay", n.path("state"), "overlay", 0, options))
	t.Cleanup(func() { must(t, unix.Unmount(n.path("state"), unix.MNT_DETACH)) })
	n.serve()
	t.Cleanup(n.stop)
	if !strings.Contains(n.limits(), "kept in memory") {
		t.Errorf("got %s", n.limits())
	}
	same(t, "output", n.says("echo x > /usr/bin/never && cat /usr/bin/never; ls /usr/bin/env"), "x\n/usr/bin/env")
	if _, err := os.Stat("/usr/bin/never"); err == nil {
		t.Error("it reached the machine")
	}
}
