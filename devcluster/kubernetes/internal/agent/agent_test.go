package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// aWatch watches a file with the given content; what is loaded comes through the channel.
func aWatch(t *testing.T, content string) (path string, loaded chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file.yaml")
	write(t, path, content)
	loaded = make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, path, func(content []byte) error {
			if strings.Contains(string(content), "wrong") {
				return errors.New("this is wrong")
			}
			loaded <- string(content)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	expect(t, loaded, content)
	return path, loaded
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, loaded chan string, want string) {
	t.Helper()
	for {
		select {
		case got := <-loaded:
			if got == want {
				return
			}
			if got != "" { // an emptied file, seen between the two steps of writing it in place
				t.Fatalf("loaded %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("never loaded %q", want)
		}
	}
}

func TestAFileIsReadAgainWhenItIsWritten(t *testing.T) {
	path, loaded := aWatch(t, "one")
	write(t, path, "two")
	expect(t, loaded, "two")
}

func TestAFileIsReadAgainWhenAnotherTakesItsPlace(t *testing.T) {
	path, loaded := aWatch(t, "one")
	for _, content := range []string{"two", "three"} { // the second replacement shows that the folder is watched
		write(t, path+".new", content)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		expect(t, loaded, content)
	}
}

func TestSIGHUPReadsTheSameContentAgain(t *testing.T) {
	_, loaded := aWatch(t, "one")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect(t, loaded, "one")
}

func TestAMistakeLeavesWhatWasReadInForceUntilItIsMended(t *testing.T) {
	path, loaded := aWatch(t, "one")
	for _, content := range []string{"wrong", "two"} {
		write(t, path+".new", content)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, loaded, "two")
}

func TestAMistakeAtTheStartIsAnErrorThatNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.yaml")
	load := func([]byte) error { return errors.New("drivers[0].name: Required value") }
	if err := Watch(context.Background(), path, load); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without a file: %v", err)
	}
	write(t, path, "x")
	if err := Watch(context.Background(), path, load); err == nil || err.Error() != path+": drivers[0].name: Required value" {
		t.Errorf("with a wrong one: %v", err)
	}
}

func TestAKubeconfigThatIsMissingIsNamed(t *testing.T) {
	if _, err := Client("/nowhere/kubeconfig", "test", 5); err == nil || !strings.Contains(err.Error(), "--kubeconfig /nowhere/kubeconfig") {
		t.Error(err)
	}
}
