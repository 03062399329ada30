package main

import "testing"

func TestAContainerRunsItsCommandAndExitsWithItsCode(t *testing.T) {
	everywhere(t, func(t *testing.T, n *node) {
		id := n.run("echo hello; exit 3")
		s := n.exited(id)
		if s.ExitCode != 3 || s.Reason != "Error" {
			t.Errorf("got exit code %d and reason %q", s.ExitCode, s.Reason)
		}
		same(t, "log", text(n.log(s.LogPath)), "hello")
	})
}
