package argo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	yaml3 "go.yaml.in/yaml/v3"
)

// FuzzFiles checks that files survive the way into a pod, and that Argo and Kubernetes find nothing to
// replace in them.
func FuzzFiles(f *testing.F) {
	f.Add("r.yaml", "name: r\nsteps: {a: {stage: x}}\n", "sub/x.sh", "echo {{x}} \\u007b \"'\t\r\n\x00 <&>")
	f.Add("a", "", "b", "\n\n")
	f.Add("r.yaml", "$$ $(VAPO_STORE) ${x}", "$(a)", "$")
	f.Add("a", "\x7f\u0085\u2028\ufeff\U000e0001\U0001f600", "ä", "ö\u00a0")
	f.Add("./0", "1", "0", "2")
	f.Add("half\xd5", "", "\x83half", "")
	f.Fuzz(func(t *testing.T, name1, text1, name2, text2 string) {
		name1, name2 = filepath.Clean(name1), filepath.Clean(name2) // as written by Files
		if !filepath.IsLocal(name1) || !filepath.IsLocal(name2) {
			t.Skip()
		}
		files, want := fileSet{}, map[string]string{}
		for name, text := range map[string]string{name1: text1, name2: text2} {
			if files.add(name, []byte(text)) == nil {
				want[name] = text
			}
		}
		encoded, err := files.encode()
		if err != nil || strings.Contains(encoded, "{{") || strings.Contains(encoded, "$") {
			t.Fatalf("%v\n%s", err, encoded)
		}
		document, err := yaml.MarshalWithOptions(parameter{"files", encoded}, style...)
		if err != nil {
			t.Fatal(err)
		}
		var read parameter
		if err := yaml.Unmarshal(document, &read); err != nil || read.Value != encoded {
			t.Fatalf("%v\n%s\n%q", err, document, encoded)
		}
		dir := t.TempDir()
		if Unpack(encoded, dir) != nil {
			t.Skip() // names that the file system does not accept, or that contradict each other
		}
		got := map[string]string{}
		for name := range want {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzParseID checks that the ID of a workflow can be part of the ID of a run.
func FuzzParseID(f *testing.F) {
	f.Add("2026-11-27T09:30:00Z/c0ffee00-1111-4222-8333-444455556666/3")
	f.Add("2026-11-27T09:30:00+01:00/../../x/3")
	f.Add(workflowID + "/3")
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := ParseID(text); err == nil && strings.ContainsFunc(w.UID, func(r rune) bool {
			return !strings.ContainsRune("0123456789abcdef-", r)
		}) {
			t.Errorf("%q has the ID %q", text, w.UID)
		}
	})
}

// FuzzUnpack checks that no text creates a file outside the directory.
func FuzzUnpack(f *testing.F) {
	f.Add(`{"sub/a": ["x"], "b": []}`)
	f.Add(`{"../a": ["x"]}`)
	f.Add(`{"/tmp/a": ["x"], "": [], ".": null}`)
	f.Fuzz(func(t *testing.T, text string) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		err := Unpack(text, dir)
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Errorf("%q: %v, and the parent directory has %v", text, err, entries)
		}
	})
}

func TestNames(t *testing.T) {
	u := unique{"recipe": true}
	long := strings.Repeat("x", 200)
	var got []string
	for _, like := range []string{
		"recipe", "potential[seed=0,rate=1e-3]", "potential[seed=0,rate=1e_3]", "a-", "a_", long, long,
	} {
		got = append(got, string(u.add(like)))
	}
	want := []string{"recipe-2", "potential-seed-0-rate-1e-3", "potential-seed-0-rate-1e-3-2", "a", "a-2", long[:123],
		long[:123] + "-2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for bytes, want := range map[int64]string{0: "", 4 << 30: "4Gi", 1536 << 20: "1536Mi", 1500000000: "1500000000"} {
		if got := quantity(bytes); got != want {
			t.Errorf("%d bytes: %s, want %s", bytes, got, want)
		}
	}
}

// FuzzText checks that another reader of YAML takes a text for what it is, as the one of Kubernetes must.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"? 3 * * *", "*/5 2 * * *", "@daily", "1e3", "y", "no", "~", "=", "<<", ".5", "+1", "-1", "--set", "a: b", "a:",
		"- a", "a #b", "# a", "!a", "&a", "%a", "`a`", "'a'", "\"a\"", "a\\", "{{inputs.parameters.step}}", "{a}", "[a]", "",
		" a ", "ä", "null", "0x1f", "12:30", "2026-11-27", "\u00a0", "\u2028", "\U0001f600", "a\u0085", "$$",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return // check refuses it
		}
		document, err := yaml.MarshalWithOptions(container{Args: []text{text(s)}}, style...)
		if err != nil {
			t.Fatal(err)
		}
		var read struct{ Args []any }
		if err := yaml3.Unmarshal(document, &read); err != nil || len(read.Args) != 1 || read.Args[0] != s {
			t.Errorf("%q became %v, %v:\n%s", s, read.Args, err, document)
		}
	})
}
