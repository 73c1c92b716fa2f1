package preview

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"testing"

	"vapo/lib/dataset"
)

func TestGridPlacesEveryPixel(t *testing.T) {
	for _, tc := range []struct{ n, c, h, w, cols, scale int }{
		{1, 1, 1, 1, 0, 1}, {5, 1, 3, 2, 0, 1}, {7, 3, 2, 4, 3, 2}, {2, 3, 5, 5, 9, 3},
	} {
		pixels := make([]uint8, tc.n*tc.c*tc.h*tc.w)
		for i := range pixels {
			pixels[i] = uint8(i*37 + 11)
		}
		set := &dataset.Images{N: tc.n, C: tc.c, H: tc.h, W: tc.w, Pixels: pixels}
		img := decode(t, func(w *bytes.Buffer) error { return Grid(w, set, tc.cols, tc.scale) })
		cols, scale := tc.cols, tc.scale
		for cols == 0 || cols > tc.n {
			if cols > tc.n {
				cols = tc.n
				break
			}
			for cols*cols < tc.n {
				cols++
			}
		}
		rows := (tc.n + cols - 1) / cols
		if b := img.Bounds(); b.Dx() != gap+cols*(tc.w*scale+gap) || b.Dy() != gap+rows*(tc.h*scale+gap) {
			t.Fatalf("%+v: size %v, want %dx%d", tc, b, gap+cols*(tc.w*scale+gap), gap+rows*(tc.h*scale+gap))
		}
		seen := map[[2]int]bool{}
		for k := range tc.n {
			for y := range tc.h * scale {
				for x := range tc.w * scale {
					at := [2]int{gap + k%cols*(tc.w*scale+gap) + x, gap + k/cols*(tc.h*scale+gap) + y}
					seen[at] = true
					value := func(channel int) uint8 {
						return pixels[((k*tc.c+channel%tc.c)*tc.h+y/scale)*tc.w+x/scale]
					}
					want := color.RGBA{value(0), value(1), value(2), 255}
					if got := color.RGBAModel.Convert(img.At(at[0], at[1])); got != want {
						t.Fatalf("%+v: image %d at %d,%d is %v, want %v", tc, k, x, y, got, want)
					}
				}
			}
		}
		for y := range img.Bounds().Dy() { // everything else is background
			for x := range img.Bounds().Dx() {
				if got := color.RGBAModel.Convert(img.At(x, y)); !seen[[2]int{x, y}] && got != background {
					t.Fatalf("%+v: colour %v between cells at %d,%d, want %v", tc, got, x, y, background)
				}
			}
		}
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestImage(t *testing.T) {
	for _, c := range []int{1, 3} {
		s := images(2, c, 5, 3)
		im := decode(t, func(w *bytes.Buffer) error { return Image(w, s, 1) })
		if _, grey := im.(*image.Gray); grey != (c == 1) || im.Bounds() != image.Rect(0, 0, 5, 5) {
			t.Errorf("%d channels: a %T of %v, want 5x5 and grey if there is one channel", c, im, im.Bounds())
		}
		for p := range 25 {
			at := func(channel int) uint8 { return s.Image(1)[channel%c*25+p] }
			want := color.RGBA{at(0), at(1), at(2), 255}
			if got := color.RGBAModel.Convert(im.At(p%5, p/5)); got != want {
				t.Errorf("%d channels: pixel %d is %v, want %v", c, p, got, want)
			}
		}
	}
	if err := Image(&bytes.Buffer{}, images(1, 2, 4, 0), 0); err == nil {
		t.Error("two channels are accepted")
	}
}

func TestGridRefuses(t *testing.T) {
	set := func(n, c, h, w, bytes int) *dataset.Images {
		return &dataset.Images{N: n, C: c, H: h, W: w, Pixels: make([]uint8, bytes)}
	}
	sound := set(1, 1, 8, 8, 64)
	for name, err := range map[string]error{
		"channels": Grid(&bytes.Buffer{}, set(1, 2, 4, 8, 64), 0, 1),
		"length":   Grid(&bytes.Buffer{}, set(2, 1, 8, 8, 64), 0, 1),
		"none":     Grid(&bytes.Buffer{}, set(0, 1, 8, 8, 0), 0, 1),
		"columns":  Grid(&bytes.Buffer{}, sound, -1, 1),
		"scale":    Grid(&bytes.Buffer{}, sound, 0, 0),
		"huge":     Grid(&bytes.Buffer{}, sound, 0, 1<<20),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Grid(full{}, sound, 0, 1); !errors.Is(err, errFull) {
		t.Errorf("a full disk: error %v, want %v", err, errFull)
	}
}
