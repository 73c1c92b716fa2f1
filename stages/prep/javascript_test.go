package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
)

// TestJavaScriptReadsOutput reads the splits that prep writes. The reader is npm's apache-arrow, an independent
// implementation. The splits are those of Fashion-MNIST if it is installed, and generated images otherwise.
func TestJavaScriptReadsOutput(t *testing.T) {
	js := filepath.Join("..", "..", "lib", "tensorfile", "testdata", "js")
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat(filepath.Join(js, "node_modules", "apache-arrow")); err != nil {
		t.Skip("apache-arrow is not installed: npm ci --prefix lib/tensorfile/testdata/js")
	}
	args := []string{"--source=fashion-mnist"}
	if _, err := source.Locate("fashion-mnist", ""); err != nil {
		args = []string{"--source=mnist", "--no-verify", "--path=" + digits(t, nil)}
	}
	dir, _ := mustPrep(t, args...)
	for _, split := range []string{"train", "test"} {
		path := filepath.Join(dir, split+".arrow")
		want := readSet(t, path).(*dataset.Images)
		out, err := exec.Command("node", filepath.Join(js, "read.mjs"), path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var got struct {
			Rows     int
			Metadata map[string]string
			Columns  []struct {
				Name, Type, SHA256 string
				ListSize           int
				Metadata           map[string]string
			}
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got.Rows != want.N || got.Metadata["split"] != split || len(got.Columns) != 2 {
			t.Fatalf("%s: read back as %s, want %d rows of two columns and the split in the metadata", split, out, want.N)
		}
		image, label := got.Columns[0], got.Columns[1]
		sum := sha256.Sum256(want.Pixels)
		shape, err := json.Marshal(map[string][]int{"shape": want.Shape()})
		if err != nil {
			t.Fatal(err)
		}
		if image.Name != "image" || image.Type != "Uint8" || image.ListSize != want.H*want.W ||
			image.Metadata["ARROW:extension:name"] != "arrow.fixed_shape_tensor" ||
			image.Metadata["ARROW:extension:metadata"] != string(shape) ||
			image.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: images read back as %+v, want the column image with Uint8 tensors of %s, %d values "+
				"each, and the SHA-256 %x", split, image, shape, want.H*want.W, sum)
		}
		if label.Name != "label" || label.Type != "Int64" {
			t.Errorf("%s: labels read back as %+v, want a column label of type Int64", split, label)
		}
	}
}
