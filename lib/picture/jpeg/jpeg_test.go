package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
)

type golden struct {
	Name   string
	W, H   int
	File   []byte
	SHA256 string
}

func goldens(t testing.TB) (cases []golden) {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 303 {
		t.Fatalf("%d cases, want 303", len(cases))
	}
	return cases
}

// TestAgainstPillow: the files of testdata/golden.json, which vary in sampling, size, colour space and coding, give
// Pillow's pixels, byte for byte.
func TestAgainstPillow(t *testing.T) {
	for _, c := range goldens(t) {
		w, h, pixels, err := Decode(c.File)
		if err != nil {
			t.Errorf("%s: error %v", c.Name, err)
			continue
		}
		sum := sha256.Sum256(pixels)
		if w != c.W || h != c.H || hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("%s: decoded as %dx%d with digest %x, want %dx%d with %s", c.Name, w, h, sum, c.W, c.H, c.SHA256)
		}
		if head, err := ReadHeader(c.File); err != nil || head.Width != w || head.Height != h ||
			head.Memory < int64(len(pixels)) {
			t.Errorf("%s: header %+v (%v), want %dx%d and at least %d bytes of memory", c.Name, head, err, w, h, len(pixels))
		}
	}
}

// TestTruncated: a file that is cut off anywhere up to its end marker is refused.
func TestTruncated(t *testing.T) {
	cases := goldens(t)
	for i := 0; i < len(cases); i += 7 {
		data := cases[i].File
		end := bytes.LastIndex(data, []byte{0xff, markerEOI}) + 2
		for n := range end {
			if _, _, _, err := Decode(data[:n]); err == nil {
				t.Errorf("%s: decodes although truncated to %d of %d bytes", cases[i].Name, n, end)
				break
			}
		}
	}
}

// TestRefused: errors distinguish unsupported files from damaged ones.
func TestRefused(t *testing.T) {
	var plain []byte
	for _, c := range goldens(t) {
		if strings.HasPrefix(c.Name, "ycc 2x2,1x1,1x1 40x33 o") {
			plain = c.File
		}
	}
	frame := bytes.Index(plain, []byte{0xff, markerSOF0})
	scan := bytes.Index(plain, []byte{0xff, markerSOS})
	for name, c := range map[string]struct {
		edit        map[int]byte
		want        string
		unsupported bool
	}{
		"12 bits":           {map[int]byte{frame + 4: 12}, "12 bits per sample", true},
		"lossless":          {map[int]byte{frame + 1: 0xc3}, "lossless", true},
		"hierarchical":      {map[int]byte{frame + 1: 0xc5}, "hierarchical", true},
		"height 0":          {map[int]byte{frame + 5: 0, frame + 6: 0}, "DNL", true},
		"two thirds":        {map[int]byte{frame + 11: 0x32, frame + 14: 0x21}, "component 2 at 2/3 x 1/2", true},
		"factors 0x0":       {map[int]byte{frame + 11: 0}, "factors 0x0", false},
		"no quantisation":   {map[int]byte{frame + 12: 3}, "quantisation table 3", false},
		"no Huffman table":  {map[int]byte{scan + 6: 0x33}, "Huffman table is missing", false},
		"unknown component": {map[int]byte{scan + 5: 9}, "unknown component 9", false},
		"another start":     {map[int]byte{3: markerSOI}, "second start", false},
		"a marker inside":   {map[int]byte{len(plain) - 40: 0xff, len(plain) - 39: markerEOI}, "ends early", false},
	} {
		data := bytes.Clone(plain)
		for i, v := range c.edit {
			data[i] = v
		}
		_, _, _, err := Decode(data)
		var unsupported UnsupportedError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &unsupported) != c.unsupported {
			t.Errorf("%s: error %v, want one with %q, an UnsupportedError: %v", name, err, c.want, c.unsupported)
		}
	}
}

// TestHuge: a short file whose header claims a huge image is refused before memory for the image is allocated.
func TestHuge(t *testing.T) {
	data := bytes.Clone(goldens(t)[0].File)
	frame := bytes.Index(data, []byte{0xff, markerSOF0})
	copy(data[frame+5:], []byte{0xff, 0xff, 0xff, 0xff})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, _, err := Decode(data)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<18 || !errors.Is(err, errTruncated) {
		t.Errorf("%d bytes are allocated for a truncated file of %d, want at most 256 KiB (%v)", n, len(data), err)
	}
}

func TestExif(t *testing.T) {
	data := goldens(t)[0].File
	segment := []byte("\xff\xe1\x00\x0aExif\x00\x00II")
	head, err := ReadHeader(bytes.Join([][]byte{data[:2], segment, data[2:]}, nil))
	if err != nil || string(head.Exif) != "II" {
		t.Errorf("header %+v (%v), want Exif data II", head, err)
	}
}

func FuzzDecode(f *testing.F) {
	for i, c := range goldens(f) {
		if i%3 == 0 {
			f.Add(c.File)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, err := ReadHeader(data)
		if err != nil || head.Width*head.Height > 1<<20 {
			return
		}
		w, h, pixels, err := Decode(data)
		if err == nil && (w != head.Width || h != head.Height || len(pixels) != 3*w*h || w*h == 0) {
			t.Errorf("%d values for %dx%d pixels, want three each of %dx%d", len(pixels), w, h, head.Width, head.Height)
		}
	})
}
