package preview

import (
	"bytes"
	"errors"
	"image/color"
	"image/png"
	"testing"
)

func TestPNGPlacesEveryPixel(t *testing.T) {
	for _, tc := range []struct{ n, c, h, w, cols, scale int }{{1, 1, 1, 1, 0, 0}, {5, 1, 3, 2, 0, 1}, {7, 3, 2, 4, 3, 2}, {2, 3, 5, 5, 9, 3}} {
		pixels := make([]uint8, tc.n*tc.c*tc.h*tc.w)
		for i := range pixels {
			pixels[i] = uint8(i*37 + 11)
		}
		var buf, again bytes.Buffer
		if err := Grid(&buf, pixels, tc.n, tc.c, tc.h, tc.w, tc.cols, tc.scale); err != nil {
			t.Fatal(err)
		}
		if err := Grid(&again, pixels, tc.n, tc.c, tc.h, tc.w, tc.cols, tc.scale); err != nil || !bytes.Equal(buf.Bytes(), again.Bytes()) {
			t.Errorf("%+v: two encodings differ, %v", tc, err)
		}
		img, err := png.Decode(&buf)
		if err != nil {
			t.Fatal(err)
		}
		cols, scale := tc.cols, max(tc.scale, 1)
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
		if b := img.Bounds(); b.Dx() != Gap+cols*(tc.w*scale+Gap) || b.Dy() != Gap+rows*(tc.h*scale+Gap) {
			t.Fatalf("%+v: size %v", tc, b)
		}
		seen := map[[2]int]bool{}
		for k := range tc.n {
			for y := range tc.h * scale {
				for x := range tc.w * scale {
					at := [2]int{Gap + k%cols*(tc.w*scale+Gap) + x, Gap + k/cols*(tc.h*scale+Gap) + y}
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
					t.Fatalf("%+v: %v between cells at %d,%d", tc, got, x, y)
				}
			}
		}
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPNGRefuses(t *testing.T) {
	x := make([]uint8, 64)
	for name, err := range map[string]error{
		"channels": Grid(&bytes.Buffer{}, x, 1, 2, 4, 8, 0, 1),
		"length":   Grid(&bytes.Buffer{}, x, 2, 1, 8, 8, 0, 1),
		"none":     Grid(&bytes.Buffer{}, nil, 0, 1, 8, 8, 0, 1),
		"columns":  Grid(&bytes.Buffer{}, x, 1, 1, 8, 8, -1, 1),
		"huge":     Grid(&bytes.Buffer{}, x, 1, 1, 8, 8, 0, 1<<20),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := Grid(full{}, x, 1, 1, 8, 8, 0, 1); !errors.Is(err, errFull) {
		t.Errorf("a full disk gave %v", err)
	}
}
