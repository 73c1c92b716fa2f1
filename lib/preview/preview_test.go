package preview

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"vapo/lib/dataset"
)

func decode(t *testing.T, draw func(w *bytes.Buffer) error) image.Image {
	t.Helper()
	var a, b bytes.Buffer
	if err := draw(&a); err != nil {
		t.Fatal(err)
	}
	if err := draw(&b); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("a second drawing has other bytes, or fails: %v", err)
	}
	im, err := png.Decode(&a)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func images(n, c, side, from int) *dataset.Images {
	s := &dataset.Images{N: n, C: c, H: side, W: side, Pixels: make([]uint8, n*c*side*side)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(from + i*37)
	}
	return s
}

// TestTable: every image is drawn, pixel for pixel, in its row and column of the table. There is text to the left of a
// row if and only if the row has a label.
func TestTable(t *testing.T) {
	for _, c := range []struct {
		n, channels, side, scale int
		heads                    []string
		labels                   []string
	}{
		{3, 1, 8, 6, nil, []string{"step 5", "step 1000", ""}},
		{2, 3, 64, 1, []string{"t=0", "t=1"}, []string{"0"}},
		{2, 1, 28, 2, []string{"a"}, []string{"", ""}},
	} {
		var rows []Row
		for k, l := range c.labels {
			rows = append(rows, Row{l, images(c.n, c.channels, c.side, 50*k)})
		}
		im := decode(t, func(w *bytes.Buffer) error { return Table(w, c.heads, rows) })
		longest := 0
		for _, l := range c.labels {
			longest = max(longest, 7*len(l)) // the font is seven pixels wide
		}
		left, top := 0, 0
		if longest > 0 {
			left = longest + 2*margin
		}
		if c.heads != nil {
			top = 13 + margin
		}
		cell := c.side*c.scale + gap
		if b := im.Bounds(); b.Dx() != left+c.n*cell+gap || b.Dy() != top+len(rows)*cell+gap {
			t.Fatalf("%+v: size %v, want %dx%d", c, b, left+c.n*cell+gap, top+len(rows)*cell+gap)
		}
		for k, r := range rows {
			for i := range c.n {
				for y := range c.side * c.scale {
					for x := range c.side * c.scale {
						at := func(channel int) uint8 {
							return r.Images.Image(i)[(channel%c.channels*c.side+y/c.scale)*c.side+x/c.scale]
						}
						want := color.RGBA{at(0), at(1), at(2), 255}
						if got := color.RGBAModel.Convert(im.At(left+gap+i*cell+x, top+gap+k*cell+y)); got != want {
							t.Fatalf("%+v: row %d, image %d, pixel %d, %d is %v, want %v", c, k, i, x, y, got, want)
						}
					}
				}
			}
			dark := 0
			for y := range cell {
				for x := range left {
					if got := color.RGBAModel.Convert(im.At(x, top+k*cell+y)); got == ink {
						dark++
					}
				}
			}
			if (dark > 0) != (r.Label != "") {
				t.Errorf("%+v: %d pixels of text beside row %d, want some if its label %q is not empty", c, dark, k, r.Label)
			}
		}
	}
	for name, rows := range map[string][]Row{
		"none":     nil,
		"sizes":    {{"a", images(2, 1, 4, 0)}, {"b", images(2, 1, 5, 0)}},
		"lengths":  {{"a", images(2, 1, 4, 0)}, {"b", images(3, 1, 4, 0)}},
		"channels": {{"a", images(2, 2, 4, 0)}},
	} {
		if err := Table(&bytes.Buffer{}, nil, rows); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// inked counts pixels that are not white.
func inked(im image.Image, r image.Rectangle) (n int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if c := color.RGBAModel.Convert(im.At(x, y)); c != (color.RGBA{255, 255, 255, 255}) {
				n++
			}
		}
	}
	return n
}

func TestPanelsAndPaths(t *testing.T) {
	points := func(d int, spread float32) *dataset.Points {
		s := &dataset.Points{N: 200, D: d, X: make([]float32, 200*d)}
		for i := range s.X {
			s.X[i] = spread * (float32(i*7919%200)/100 - 1)
		}
		return s
	}
	for _, d := range []int{1, 2, 5} {
		panels := []Panel{
			{"step 1", points(d, 1000)}, {"step 2", points(d, 1)}, {"step 3", points(d, 0)},
			{"4", points(d, 2)}, {"5", points(d, 1)}, {"step 6", points(d, 1)},
		}
		im := decode(t, func(w *bytes.Buffer) error { return Panels(w, panels) })
		b := im.Bounds()
		w, h := b.Dx()/5, b.Dy()/2
		// Six panels in two rows of five places: the places without a panel stay white.
		for k := range 10 {
			n := inked(im, image.Rect(k%5*w, k/5*h, (k%5+1)*w, (k/5+1)*h))
			if (n > 300) != (k < 6) {
				t.Errorf("d = %d: panel %d has %d inked pixels, want more than 300 in the first six alone", d, k, n)
			}
		}
		im = decode(t, func(w *bytes.Buffer) error { return Paths(w, "paths", points(d, 1).X, 20, 10, d) })
		if inked(im, im.Bounds()) < 2000 {
			t.Errorf("d = %d: the paths ink %d pixels, want at least 2000", d, inked(im, im.Bounds()))
		}
	}
	for name, err := range map[string]error{
		"no panels":  Panels(&bytes.Buffer{}, nil),
		"odd length": Paths(&bytes.Buffer{}, "", make([]float32, 7), 2, 2, 2),
		"one point":  Paths(&bytes.Buffer{}, "", make([]float32, 2), 1, 1, 2),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
