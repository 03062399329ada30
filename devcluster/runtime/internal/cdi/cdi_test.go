package cdi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADeviceIsFoundInJSONAndYAML(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"a.json":   `{"kind": "x.test/gpu", "containerEdits": {"env": ["ALL=1"]}, "devices": [{"name": "0", "containerEdits": {"env": ["ONE=1"], "mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro"]}]}}]}`,
		"b.yaml":   "kind: y.test/gpu\ndevices: [{name: '0', containerEdits: {deviceNodes: [{path: /dev/y}], additionalGids: [44]}}]",
		"c.json":   "{",
		"hook.yml": "not read",
		"h.json":   `{"kind": "h.test/gpu", "devices": [{"name": "0", "containerEdits": {"hooks": [{"path": "/bin/x"}]}}]}`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x, err := Find(dir, "x.test/gpu=0")
	if err != nil || len(x) != 2 || x[0].Env[0] != "ALL=1" || x[1].Env[0] != "ONE=1" || !x[1].Mounts[0].ReadOnly() {
		t.Errorf("got %v, %v", x, err)
	}
	y, err := Find(dir, "y.test/gpu=0")
	if err != nil || y[1].DeviceNodes[0].Path != "/dev/y" || y[1].AdditionalGIDs[0] != 44 {
		t.Errorf("got %v, %v", y, err)
	}
	for device, want := range map[string]string{"h.test/gpu=0": "has hooks", "x.test/gpu=9": "c.json"} {
		if _, err := Find(dir, device); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want something with %q", device, err, want)
		}
	}
	if _, err := Find(filepath.Join(dir, "nowhere"), "x.test/gpu=0"); err == nil || !strings.Contains(err.Error(), `CDI device "x.test/gpu=0"`) {
		t.Errorf("without a folder: %v", err)
	}
}
