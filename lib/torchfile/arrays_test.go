package torchfile

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDictionary reads pickles that NumPy wrote (testdata/arrays.py).
func TestDictionary(t *testing.T) {
	for _, name := range []string{
		"arrays-2.pickle", "arrays-3.pickle", "arrays-4.pickle", "arrays-5.pickle", "arrays-old.pickle",
	} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		d, err := Dictionary(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		labels, _ := d["labels"].([]int)
		if !slices.Equal(labels, []int{3, 1, 4, 1, 5, 9}) {
			t.Errorf("%s: labels %v, want [3 1 4 1 5 9]", name, d["labels"])
		}
		a, ok := d["data"].(*Array)
		if !ok || !slices.Equal(a.Shape, []int{6, 4}) {
			t.Fatalf("%s: data %v, want an array of shape [6 4]", name, d["data"])
		}
		for i, v := range a.Data {
			if v != byte(i*11) {
				t.Fatalf("%s: byte %d is %d, want %d", name, i, v, i*11)
			}
		}
		for n := range raw { // a truncated file is never accepted
			if _, err := Dictionary(raw[:n]); err == nil {
				t.Errorf("%s: the first %d bytes are accepted", name, n)
			}
		}
	}
}

func TestDictionaryRefuses(t *testing.T) {
	array := func(kind, data string) string {
		return "cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x02\x85cnumpy\ndtype\nU" +
			string(rune(len(kind))) + kind + "\x85R\x89U" + string(rune(len(data))) + data + "tb"
	}
	grow := "X\x64\x00\x00\x00" + strings.Repeat("x", 100) + "q\x000c_codecs\nencode\nq\x010" +
		"X\x06\x00\x00\x00latin1q\x020" + strings.Repeat("h\x01h\x00h\x02\x86R0", 1000)
	for name, c := range map[string]struct{ body, want string }{
		"another class":    {"cos\nsystem\n(U\x02lstR.", "not a dictionary"},
		"no dictionary":    {"K\x01.", "not a dictionary"},
		"another protocol": {"V1\n.", "opcode 0x56"},
		"more":             {"}..", "after the end"},
		"floats":           {"}U\x01a" + array("f4", "12") + "s.", "f4"},
		"short array":      {"}U\x01a" + array("u1", "1") + "s.", "shape [2] and 1 bytes"},
		"growth":           {grow + "}.", "beyond the size"},
	} {
		if _, err := Dictionary([]byte("\x80\x02" + c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzDictionary(f *testing.F) {
	for _, name := range []string{"arrays-2.pickle", "arrays-5.pickle", "arrays-old.pickle"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := Dictionary(bytes.Clone(raw))
		if err != nil {
			return
		}
		for key, v := range d {
			if a, ok := v.(*Array); len(key) > maxKey || ok && len(a.Data) > 2*len(raw) {
				t.Errorf("a file of %d bytes has a key of %d bytes, want at most %d, or a value of more than twice the file",
					len(raw), len(key), maxKey)
			}
		}
	})
}
