package stage

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// TestSummary: a run prints a few lines for people, and the manifest only with --json.
func TestSummary(t *testing.T) {
	dir, data := noStore(t)
	t.Chdir(dir)
	input := "--input=data=" + data
	code, out, stderr := demo(t, input, "--out=made")
	if code != 0 {
		t.Fatal(stderr)
	}
	want := regexp.MustCompile(`^the steps of a text of 3 letters\nin made: model.arrow \(4 B\)\ndone in \d+ ms\n$`)
	if !want.MatchString(out) {
		t.Errorf("the summary is\n%s\nwant a match of %s", out, want)
	}
	if code, out, stderr := demo(t, input, "--out=made", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("--json: exit code %d, want 0 and JSON:\n%s\n%s", code, out, stderr)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, flag := range []string{"--json", "--json=false"} {
		var errs strings.Builder
		if code := Main(spec(), []string{input, "--out=made", flag}, full, &errs); code != failure.Resources {
			t.Errorf("%s on a full disk: exit code %d, want %d\n%s", flag, code, failure.Resources, errs.String())
		}
	}
}

// TestSummaryFits: the summary of a run with five outputs has at most ten lines of at most 80 columns.
func TestSummaryFits(t *testing.T) {
	var desc contract.Description
	outputs := map[string]contract.Output{}
	for _, p := range []contract.Port{
		{Name: "train", Media: contract.MediaArrow}, {Name: "test", Media: contract.MediaArrow},
		{Name: "preview", Media: contract.MediaPNG}, {Name: "summary", Media: contract.MediaJSON},
		{Name: "valid", Media: contract.MediaArrow},
	} {
		desc.Outputs = append(desc.Outputs, p)
		outputs[p.Name] = contract.Output{Digest: "sha256:" + strings.Repeat("0", 64), Size: 12_345_678, Media: p.Media}
	}
	t.Setenv("VAPO_STORE", "")
	for _, out := range []string{"", filepath.Join(t.TempDir(), "out")} {
		j := &Job{desc: desc, paths: jobPaths{out: out}, manifest: contract.Manifest{Outputs: outputs, WallSeconds: 71}}
		j.Summary("%s", strings.Repeat("words\x1b[2J ", 8))
		var b strings.Builder
		if err := j.writeSummary(&b); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) > 10 || strings.Contains(b.String(), "\x1b") || !strings.Contains(b.String(), "valid") {
			t.Errorf("%d lines, want at most 10 without escape sequences, and the output valid:\n%q", len(lines), b.String())
		}
		for _, line := range lines {
			if len([]rune(line)) > 80 {
				t.Errorf("%d columns, want at most 80: %s", len([]rune(line)), line)
			}
		}
	}
}
