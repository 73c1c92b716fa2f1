package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
)

// opaque hides the concrete type of an image, so that rgb converts it pixel by pixel.
type opaque struct{ image.Image }

// TestRGBShortcuts: the fast paths of rgb give the same result as the slow path, also for odd sizes and offsets.
func TestRGBShortcuts(t *testing.T) {
	r := image.Rect(3, 5, 3+17, 5+11)
	paletted := image.NewPaletted(r, color.Palette{color.Black, color.RGBA{200, 10, 30, 255}, color.Gray{90}})
	for i, v := range noise(len(paletted.Pix), 3) {
		paletted.Pix[i] = v % 3
	}
	grey, rgba, nrgba := image.NewGray(r), image.NewRGBA(r), image.NewNRGBA(r)
	copy(grey.Pix, noise(len(grey.Pix), 4))
	for i, v := range noise(len(rgba.Pix), 5) {
		if i%4 == 3 {
			v = 255
		}
		rgba.Pix[i], nrgba.Pix[i] = v, v
	}
	for name, im := range map[string]image.Image{
		"paletted": paletted, "grey": grey, "rgba": rgba, "nrgba": nrgba,
		"part": rgba.SubImage(image.Rect(4, 6, 9, 9)),
	} {
		got, err := rgb(im)
		if err != nil {
			t.Fatal(err)
		}
		want, err := rgb(opaque{im})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Pixels, want.Pixels) || got.W != im.Bounds().Dx() || got.H != im.Bounds().Dy() {
			t.Errorf("%s: the size or pixels differ from those of the slow path", name)
		}
	}
	rgba.Pix[7], nrgba.Pix[7] = 254, 254
	paletted.Palette[1] = color.NRGBA{200, 10, 30, 254}
	for _, im := range []image.Image{rgba, nrgba, opaque{nrgba}, paletted} {
		if _, err := rgb(im); err == nil {
			t.Errorf("%T: a transparent pixel is accepted", im)
		}
	}
}

// encoded returns one image encoded in every format and variant, by file name.
func encoded(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	put := func(name string, encode func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		out[name] = b.Bytes()
	}
	r := image.Rect(0, 0, 6, 5)
	palette := color.Palette{color.Black, color.RGBA{200, 10, 30, 255}, color.White}
	paletted := image.NewPaletted(r, palette)
	colours := image.NewRGBA(r)
	deep, deepGrey := image.NewRGBA64(r), image.NewGray16(r)
	for i := range paletted.Pix {
		paletted.Pix[i] = uint8(i % 3)
		x, y := i%6, i/6
		colours.Set(x, y, paletted.At(x, y))
		deep.Set(x, y, color.RGBA64{uint16(i) << 8, 0x1ff, 0xffff, 0xffff})
		deepGrey.Set(x, y, color.Gray16{uint16(i)<<8 | 0xff})
	}
	for name, im := range map[string]image.Image{
		"paletted.png": paletted, "colours.png": colours, "deep.png": deep, "grey16.png": deepGrey,
	} {
		put(name, func(b *bytes.Buffer) error { return png.Encode(b, im) })
	}
	put("colours.bmp", func(b *bytes.Buffer) error { return bmp.Encode(b, colours) })
	put("paletted.gif", func(b *bytes.Buffer) error { return gif.Encode(b, paletted, nil) })
	put("two.gif", func(b *bytes.Buffer) error {
		second := image.NewPaletted(r, palette)
		return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{paletted, second}, Delay: []int{1, 1}})
	})
	put("part.gif", func(b *bytes.Buffer) error {
		frame := image.NewPaletted(image.Rect(1, 1, 3, 3), palette)
		config := image.Config{Width: 6, Height: 5, ColorModel: palette}
		return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{1}, Config: config})
	})
	put("glass.gif", func(b *bytes.Buffer) error {
		return gif.Encode(b, image.NewPaletted(r, color.Palette{color.Transparent, color.Black}), nil)
	})
	put("colours.jpg", func(b *bytes.Buffer) error { return jpeg.Encode(b, colours, nil) })
	grey := image.NewGray(r)
	draw.Draw(grey, r, colours, image.Point{}, draw.Src)
	put("grey.jpg", func(b *bytes.Buffer) error { return jpeg.Encode(b, grey, nil) })
	return out
}

func TestDecode(t *testing.T) {
	files := encoded(t)
	want, err := Decode(files["colours.png"])
	if err != nil {
		t.Fatal(err)
	}
	red, green := want.Pixels[:3], want.Pixels[30:33]
	if want.C != 3 || want.H != 5 || want.W != 6 ||
		!slices.Equal(red, []uint8{0, 200, 255}) || !slices.Equal(green, []uint8{0, 10, 255}) {
		t.Errorf("colours.png is %+v, want 3x5x6 that begins with red 0, 200, 255 and green 0, 10, 255", want)
	}
	for _, name := range []string{"paletted.png", "colours.bmp", "paletted.gif", "two.gif"} {
		got, err := Decode(files[name])
		if err != nil || !slices.Equal(got.Pixels, want.Pixels) {
			t.Errorf("%s: %+v (%v), want the pixels of colours.png", name, got, err)
		}
	}
	deep, err := Decode(files["deep.png"])
	if err != nil || deep.Pixels[7] != 7 || deep.Pixels[30+7] != 1 || deep.Pixels[60] != 255 {
		t.Errorf("deep.png: %+v (%v), want the upper 8 bits of each 16-bit sample", deep, err)
	}
	for _, name := range []string{"grey16.png", "grey.jpg"} {
		grey, err := Decode(files[name])
		if err != nil {
			t.Fatal(err)
		}
		plane := grey.Pixels[:30]
		if !slices.Equal(grey.Pixels, slices.Concat(plane, plane, plane)) || !slices.Equal(grey.Grey().Pixels, plane) {
			t.Errorf("%s: %+v, want three equal channels, and Grey to return one of them", name, grey)
		}
	}
	huge := slices.Concat([]byte("GIF89a"), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0}, files["paletted.gif"][13:])
	rle := bytes.Clone(files["colours.bmp"])
	rle[30] = 1 // the kind of compression
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":         {nil, "empty"},
		"text":            {[]byte("no image at all"), "are not those of a PNG, JPEG, GIF, BMP or WebP image"},
		"HEIC":            {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), "it is a HEIC image, expected a PNG"},
		"AVIF":            {[]byte("\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif"), "it is an AVIF image"},
		"JPEG XL":         {[]byte("\xff\x0a\xfa\x7f\x01"), "it is a JPEG XL image"},
		"TIFF":            {[]byte("II*\x00\x08\x00\x00\x00"), "it is a TIFF"},
		"Git LFS":         {[]byte("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"},
		"zeros":           {make([]byte, 5000), "begins with zeros"},
		"part of a frame": {files["part.gif"], "first frame has 2x2"},
		"transparent":     {files["glass.gif"], "transparent"},
		"huge":            {huge, "65535x65535 pixels; at most 178956970 pixels are read"},
		"BMP with RLE":    {rle, "unsupported BMP"},
	} {
		im, err := Decode(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: image %v, error %v, want an error with %q", name, im, err, c.want)
			continue
		}
		if damaged := strings.Contains(err.Error(), "damaged"); damaged {
			t.Errorf("%s: error %q calls a file damaged that is only unsupported", name, err)
		}
	}
	delete(files, "two.gif") // its first frame is complete long before the end of the file
	for name, data := range files {
		for n := range data[:len(data)*3/4] {
			if im, err := Decode(data[:n]); err == nil {
				t.Errorf("%s truncated to %d of %d bytes decodes to %+v", name, n, len(data), im)
			}
		}
	}
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{
		"a.PNG": true, "b/c.Jpeg": true, "x.jpg": true, ".png": true, "x.gif": true, "x.JFIF": true, "x.bmp": true,
		"x.webp": true, "png": false, "a.png.txt": false, "x": false, "x.heic": false, "x.tiff": false,
	} {
		if Named(name) != want {
			t.Errorf("Named(%q) = %v, want %v", name, !want, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range encoded(f) {
		f.Add(data)
	}
	for _, c := range webpCases(f) {
		f.Add(c.File)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := Inspect(data)
		if err != nil || info.W*info.H > 1<<20 {
			return
		}
		im, err := Decode(data)
		if err == nil && (im.C != 3 || len(im.Pixels) != 3*im.H*im.W || im.H != info.H || im.W != info.W || im.H*im.W == 0) {
			t.Errorf("%d values in %d channels of %dx%d, want 3 channels of %dx%d as Inspect returns",
				len(im.Pixels), im.C, im.W, im.H, info.W, info.H)
		}
		if err == nil {
			im.Upright(info.Orientation)
		}
	})
}
