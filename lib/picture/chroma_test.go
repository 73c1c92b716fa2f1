package picture

import (
	"encoding/json"
	"os"
	"testing"
)

// TestJPEGAgainstPillow: JPEG files decode to the same pixels as in Pillow, except for rounding in the inverse
// transform.
func TestJPEGAgainstPillow(t *testing.T) {
	raw, err := os.ReadFile("testdata/jpeg.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		W, H         int
		Subsampling  string
		File, Pixels []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		img, err := Decode(c.File, JPEG)
		if err != nil {
			t.Fatal(err)
		}
		if img.W != c.W || img.H != c.H || len(img.Pixels) != len(c.Pixels) {
			t.Fatalf("%dx%d %s: decoded as %v", c.W, c.H, c.Subsampling, img)
		}
		sum, most := 0, 0
		for i, v := range img.Pixels {
			d := max(int(v)-int(c.Pixels[i]), int(c.Pixels[i])-int(v))
			sum, most = sum+d, max(most, d)
		}
		if mean := float64(sum) / float64(len(c.Pixels)); mean > 0.6 || most > 3 {
			t.Errorf("%dx%d %s: pixels differ by %.2f on average, %d at most", c.W, c.H, c.Subsampling, mean, most)
		} else {
			t.Logf("%dx%d %s: pixels differ by %.2f on average, %d at most", c.W, c.H, c.Subsampling, mean, most)
		}
	}
}
