// Package pins holds the tests that keep the build honest: the version that is said is the version that
// is compiled, and every module that Kubernetes uses is at the version Kubernetes was tested with.
package pins

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// A required module, as `go mod edit -json` prints it.
type required struct{ Path, Version string }

type goMod struct {
	Require []required
	Replace []struct{ Old, New required }
}

func read(t *testing.T, path string) goMod {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var m goMod
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// versions returns what the build uses, replacements applied.
func versions(m goMod) map[string]string {
	all := map[string]string{}
	for _, r := range m.Require {
		all[r.Path] = r.Version
	}
	for _, r := range m.Replace {
		if _, ok := all[r.Old.Path]; ok {
			all[r.Old.Path] = r.New.Version
		}
	}
	return all
}

func kubernetes(t *testing.T) (ours map[string]string, theirs goMod) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	return versions(read(t, filepath.Join(root, "go.mod"))), read(t, filepath.Join(strings.TrimSpace(string(out)), "go.mod"))
}

func TestEveryModuleIsAtTheVersionKubernetesWasTestedWith(t *testing.T) {
	ours, theirs := kubernetes(t)
	staging := "v0." + strings.TrimPrefix(ours["k8s.io/kubernetes"], "v1.")
	for _, module := range theirs.Require {
		want := module.Version
		if want == "v0.0.0" { // lies in Kubernetes' own repository
			want = staging
		}
		if got, ok := ours[module.Path]; ok && got != want {
			t.Errorf("%s is at %s, and Kubernetes was tested with %s", module.Path, got, want)
		}
	}
}

func TestTheVersionThatIsSaidIsTheOneThatIsCompiled(t *testing.T) {
	ours, _ := kubernetes(t)
	content, err := os.ReadFile(filepath.Join(root, "ldflags"))
	if err != nil {
		t.Fatal(err)
	}
	version := ours["k8s.io/kubernetes"]
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	for _, module := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for variable, want := range map[string]string{"gitVersion": version, "gitMajor": parts[0], "gitMinor": parts[1], "gitTreeState": "archive"} {
			line := "-X=" + module + "." + variable + "=" + want
			if !strings.Contains(string(content), line+"\n") {
				t.Errorf("ldflags lacks %s", line)
			}
		}
	}
}
