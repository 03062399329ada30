package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, text string) (*Store, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "images.yaml")
	write(t, file, text)
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

func TestAReferenceIsFoundByItsNameWithOrWithoutTagAndDigest(t *testing.T) {
	s, _ := open(t, `{"quay.io:5000/a/b": {}, "c:v1": {}, "d@sha256:12": {}}`)
	for reference, want := range map[string]string{
		"quay.io:5000/a/b": "quay.io:5000/a/b", "quay.io:5000/a/b:v2": "quay.io:5000/a/b", "quay.io:5000/a/b:v2@sha256:99": "quay.io:5000/a/b",
		"quay.io:5000/a/b@sha256:99": "quay.io:5000/a/b", "c:v1": "c:v1", "c:v2": "", "c": "", "d@sha256:12": "d@sha256:12", "quay.io": "", id("c:v1"): "c:v1",
	} {
		image, err := s.Find(reference)
		var unknown *Unknown
		switch {
		case want == "" && !errors.As(err, &unknown):
			t.Errorf("%s: got %v, want it to be unknown", reference, err)
		case want != "" && (err != nil || image.Name != want):
			t.Errorf("%s: got %v, %v, want %s", reference, image, err, want)
		}
	}
}

func TestAnImageIsAbsentUntilItIsPulledAndAgainOnceItIsRemoved(t *testing.T) {
	s, _ := open(t, "{a: {}, b: {}}")
	present := func() string {
		all, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, i := range all {
			names = append(names, i.Name)
		}
		return strings.Join(names, ",")
	}
	for _, name := range []string{"b", "a:latest"} {
		if _, err := s.Pull(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := present(); got != "a,b" {
		t.Errorf("present: %s", got)
	}
	s.Remove("a")
	if i, err := s.Present("a"); i != nil || err != nil || present() != "b" {
		t.Errorf("after removal: %v, %v, %s", i, err, present())
	}
}

func TestAChangedFileIsReadAgainAndABrokenOneIsAnErrorUntilItIsRight(t *testing.T) {
	s, file := open(t, "{a: {}}")
	for i, step := range []struct {
		text string
		ok   bool
	}{{"{a: {}, b: {}}", true}, {"{b", false}, {"{b: {command: [x]}}", true}} {
		write(t, file, step.text)
		stamp := time.Now().Add(time.Duration(i+1) * time.Second)
		if err := os.Chtimes(file, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Find("b"); (err == nil) != step.ok {
			t.Errorf("%s: %v", step.text, err)
		}
	}
}

func TestAFileThatIsNotRightIsRefusedWithImageAndField(t *testing.T) {
	for text, want := range map[string]string{
		"{a: {comand: [x]}}": `unknown field "comand"`, "{a: {show: [rel]}}": `"a": show: "rel" is not an absolute path`,
		"{a: {show: [/]}}": `"/" is everything`, "{a: {path: [bin]}}": `path: "bin"`, "{a: {workingDir: x}}": `workingDir: "x"`, "{a: {user: -1}}": "user: -1 is negative",
	} {
		file := filepath.Join(t.TempDir(), "images.yaml")
		write(t, file, text)
		if _, err := Open(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something with %q", text, err, want)
		}
	}
}
