package picture

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestUprightAgainstPillow: for every orientation and byte order, in every format that has Exif data, Upright gives the
// image of PIL.ImageOps.exif_transpose.
func TestUprightAgainstPillow(t *testing.T) {
	raw, err := os.ReadFile("testdata/exif.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name         string
		Orientation  int
		W, H         int
		File, Pixels []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 30 {
		t.Fatalf("%d cases, want 30", len(cases))
	}
	for _, c := range cases {
		info, err := Inspect(c.File)
		if err != nil || info.Orientation != c.Orientation {
			t.Errorf("%s: %+v (%v), want orientation %d", c.Name, info, err, c.Orientation)
			continue
		}
		im, err := Decode(c.File)
		if err != nil {
			t.Fatal(err)
		}
		if im.W != 7 || im.H != 5 {
			t.Errorf("%s: decoded as %dx%d, want 7x5, since Decode does not turn images", c.Name, im.W, im.H)
		}
		if im = im.Upright(info.Orientation); im.W != c.W || im.H != c.H || !bytes.Equal(im.Pixels, c.Pixels) {
			t.Errorf("%s: turned to %dx%d, want %dx%d with Pillow's pixels", c.Name, im.W, im.H, c.W, c.H)
		}
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := orientation(data); o < 1 || o > 8 {
			t.Errorf("orientation %d, want 1 to 8", o)
		}
	})
}
