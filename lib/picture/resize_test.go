package picture

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// noise generates the same bytes as the function noise in testdata/resize.py.
func noise(n int, seed uint32) []uint8 {
	out := make([]uint8, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = uint8(seed >> 24)
		if i/32%2 == 1 {
			out[i] = 255 * (out[i] >> 7)
		}
	}
	return out
}

// TestAgainstPillow: resized images and grey images equal Pillow's, byte for byte.
func TestAgainstPillow(t *testing.T) {
	raw, err := os.ReadFile("testdata/resize.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Resized []struct {
			H, W, OutH, OutW int
			Filter           Filter
			Pixels           []byte
		}
		Grey []byte
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Resized) != 27 {
		t.Fatalf("%d cases, want 27", len(golden.Resized))
	}
	for i, c := range golden.Resized {
		src := &Image{C: 1, H: c.H, W: c.W, Pixels: noise(c.H*c.W, uint32(i/3))}
		got, err := NewResizer(c.Filter, c.H, c.W, c.OutH, c.OutW).Resize(src)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(got.Pixels, c.Pixels) {
			continue
		}
		count, most := 0, 0
		for k, v := range got.Pixels {
			if d := max(int(v)-int(c.Pixels[k]), int(c.Pixels[k])-int(v)); d > 0 {
				count, most = count+1, max(most, d)
			}
		}
		t.Errorf("%s from %dx%d to %dx%d: %d of %d pixels differ, by %d at most",
			c.Filter, c.H, c.W, c.OutH, c.OutW, count, len(c.Pixels), most)
	}
	rgb := &Image{C: 3, H: 40, W: 50, Pixels: noise(3*40*50, 99)}
	if !bytes.Equal(rgb.Grey().Pixels, golden.Grey) {
		t.Error("grey values differ from Pillow's")
	}
}

// TestResizeInvariants: constant channels stay constant and do not mix, and resizing to the same size changes nothing.
func TestResizeInvariants(t *testing.T) {
	for _, f := range []Filter{Bilinear, Bicubic, Lanczos} {
		src := &Image{C: 3, H: 19, W: 23, Pixels: make([]uint8, 3*19*23)}
		for i := range src.Pixels {
			src.Pixels[i] = []uint8{0, 100, 255}[i/(19*23)]
		}
		out, err := NewResizer(f, 19, 23, 8, 50).Resize(src)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out.Pixels {
			if want := []uint8{0, 100, 255}[i/400]; v != want {
				t.Fatalf("%s: value %d is %d, want %d", f, i, v, want)
			}
		}
		src.Pixels = noise(len(src.Pixels), 5)
		same, err := NewResizer(f, 19, 23, 19, 23).Resize(src)
		if err != nil || !slices.Equal(same.Pixels, src.Pixels) {
			t.Errorf("%s: an image changes at its own size (%v)", f, err)
		}
		if _, err := NewResizer(f, 19, 22, 8, 8).Resize(src); err == nil {
			t.Errorf("%s: an image of another size is accepted", f)
		}
	}
}

func TestCentreCrop(t *testing.T) {
	im := &Image{C: 2, H: 4, W: 5, Pixels: make([]uint8, 40)}
	for i := range im.Pixels {
		im.Pixels[i] = uint8(i)
	}
	for _, c := range []struct {
		h, w int
		want []uint8
	}{
		{2, 1, []uint8{7, 12, 27, 32}},
		{1, 2, []uint8{12, 13, 32, 33}}, // the corner ((4-1)/2, (5-2)/2) = (1.5, 1.5) is rounded to even: (2, 2)
		{3, 4, []uint8{0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 20, 21, 22, 23, 25, 26, 27, 28, 30, 31, 32, 33}},
		{4, 5, im.Pixels},
	} {
		copied := &Image{C: im.C, H: im.H, W: im.W, Pixels: slices.Clone(im.Pixels)} // CentreCrop reuses the memory
		got, err := copied.CentreCrop(c.h, c.w)
		if err != nil || !slices.Equal(got.Pixels, c.want) || got.C != 2 || got.H != c.h || got.W != c.w {
			t.Errorf("%dx%d: %+v (%v), want 2 channels of that size with values %v", c.h, c.w, got, err, c.want)
		}
	}
	for _, c := range [][2]int{{5, 5}, {4, 6}, {0, 1}} {
		if _, err := im.CentreCrop(c[0], c[1]); err == nil {
			t.Errorf("a crop of %v is accepted", c)
		}
	}
}
