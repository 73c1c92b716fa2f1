package tensorfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// jsTable is the output of testdata/js/read.mjs.
type jsTable struct {
	Rows     int               `json:"rows"`
	Metadata map[string]string `json:"metadata"`
	Columns  []jsColumn        `json:"columns"`
}

type jsColumn struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	ListSize int               `json:"listSize"`
	Metadata map[string]string `json:"metadata"`
	Values   int               `json:"values"`
	SHA256   string            `json:"sha256"`
}

// TestJavaScriptReadsBack: an independent implementation, apache-arrow from npm, reads what Write wrote. If
// VAPO_TENSORFILE names a file, such as an output of prep, that file is compared too.
func TestJavaScriptReadsBack(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	dir := filepath.Join("testdata", "js")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "apache-arrow")); err != nil {
		t.Skip("apache-arrow is not installed: npm ci --prefix lib/tensorfile/testdata/js")
	}
	small, large := filepath.Join(t.TempDir(), "small.arrow"), filepath.Join(t.TempDir(), "large.arrow")
	for path, rows := range map[string]int{small: 3, large: 2*BatchRows + 17} {
		if err := os.WriteFile(path, encode(t, example(rows)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{small, large}
	if f := os.Getenv("VAPO_TENSORFILE"); f != "" {
		files = append(files, f)
	}
	for _, path := range files {
		table, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("node", filepath.Join(dir, "read.mjs"), path).Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, stderrOf(err))
		}
		var got jsTable
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v: %s", path, err, out)
		}
		if d := cmp.Diff(asJavaScript(t, table), got); d != "" {
			t.Errorf("%s: (-want +JavaScript)\n%s", path, d)
		}
	}
}

func stderrOf(err error) []byte {
	if e, ok := err.(*exec.ExitError); ok {
		return e.Stderr
	}
	return nil
}

// asJavaScript returns the output that read.mjs should print for the table.
func asJavaScript(t *testing.T, table *Table) jsTable {
	want := jsTable{Rows: table.Rows, Metadata: table.Meta}
	for _, c := range table.Columns {
		n, _ := length(c.Data)
		_, raw := bytesOf(c.Data, 0, n)
		sum := sha256.Sum256(raw)
		j := jsColumn{
			Name: c.Name, Values: n, SHA256: hex.EncodeToString(sum[:]), Metadata: map[string]string{},
			Type: strings.ToUpper(elementName(c.Data)[:1]) + elementName(c.Data)[1:],
		}
		if len(c.Shape) > 0 {
			j.ListSize = c.Size()
			shape, err := json.Marshal(c.Shape)
			if err != nil {
				t.Fatal(err)
			}
			j.Metadata["ARROW:extension:name"] = "arrow.fixed_shape_tensor"
			j.Metadata["ARROW:extension:metadata"] = `{"shape":` + string(shape) + `}`
		}
		if c.Range != nil {
			r, err := json.Marshal(c.Range)
			if err != nil {
				t.Fatal(err)
			}
			j.Metadata["range"] = string(r)
		}
		want.Columns = append(want.Columns, j)
	}
	return want
}
