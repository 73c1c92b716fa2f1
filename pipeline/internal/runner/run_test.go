package runner

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGoldenRun checks that a run stored by an earlier version can still be read, and that encoding it again gives the
// same bytes.
func TestGoldenRun(t *testing.T) {
	stored, err := os.ReadFile(filepath.Join("testdata", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var run Run
	d := json.NewDecoder(bytes.NewReader(stored))
	d.DisallowUnknownFields()
	if err := d.Decode(&run); err != nil {
		t.Fatal(err)
	}
	again, err := run.encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(stored), string(again)+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
