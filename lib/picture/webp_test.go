package picture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"vapo/lib/failure"
)

type webpCase struct {
	W, H         int
	File, Pixels []byte
	Animated     bool
}

func webpCases(t testing.TB) (cases []webpCase) {
	t.Helper()
	raw, err := os.ReadFile("testdata/webp.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 10 {
		t.Fatalf("%d cases, want 10", len(cases))
	}
	return cases
}

// An animation whose first frame does not fill it is sound, and the message gives the sizes.
func TestWebPFrame(t *testing.T) {
	for _, c := range webpCases(t) {
		if !c.Animated {
			continue
		}
		file := bytes.Clone(c.File)
		copy(file[24:], []byte{0xff, 0x01, 0, 0xff, 0, 0}) // 512 and 256, each less 1
		_, err := Decode(file)
		want := fmt.Sprintf("unsupported WebP image: an animation of 512x256 pixels whose first frame has %dx%d", c.W, c.H)
		if err == nil || err.Error() != want || failure.HintOf(err) == "" {
			t.Errorf("%v, want %s and a hint", err, want)
		}
	}
}

// TestWebPAgainstPillow: WebP files decode to Pillow's pixels, byte for byte, because the format defines decoding
// exactly.
func TestWebPAgainstPillow(t *testing.T) {
	for _, c := range webpCases(t) {
		img, err := Decode(c.File)
		if len(c.Pixels) == 0 {
			if !errors.Is(err, errTransparent) {
				t.Errorf("%dx%d: %v, want %v", c.W, c.H, err, errTransparent)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if img.W != c.W || img.H != c.H || !bytes.Equal(img.Pixels, c.Pixels) {
			t.Errorf("%dx%d: decoded as %dx%d\n got %v\nwant %v", c.W, c.H, img.W, img.H, img.Pixels, c.Pixels)
		}
		if c.Animated {
			continue // its first frame is complete long before the end of the file
		}
		for n := range len(c.File) - 1 { // the last byte may be padding
			if _, err := Decode(c.File[:n]); err == nil {
				t.Errorf("%dx%d: decodes although truncated to %d of %d bytes", c.W, c.H, n, len(c.File))
			}
		}
	}
}
