package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"iter"
)

// chunks yields the chunks of RIFF data: their identifiers and contents. It stops at an incomplete chunk.
func chunks(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(data) >= 8 {
			n := uint64(binary.LittleEndian.Uint32(data[4:]))
			if n > uint64(len(data)-8) || !yield(string(data[:4]), data[8:][:n]) {
				return
			}
			data = data[min(8+n+n%2, uint64(len(data))):] // chunks have even lengths
		}
	}
}

// The parts of a WebP file's header, and of the header of an animation's frame.
const (
	webpAlpha     = 1 << 4 // flags in the chunk VP8X
	webpAnimation = 1 << 1

	frameHeader = 16 // bytes: x, y, width - 1 and height - 1 of 3 bytes each, then the duration and flags
)

// webpUnsupported is the error of a sound file that cannot be read. It says what the file is.
type webpUnsupported string

func (e webpUnsupported) Error() string { return string(e) }

// plainWebP returns a file in a form that golang.org/x/image reads. It extracts the first frame of an animation. It
// clears the alpha flag of a file without alpha data, since libwebp tolerates such a flag. Other files are returned
// unchanged.
func plainWebP(data []byte) ([]byte, error) {
	if len(data) < 30 || string(data[12:16]) != "VP8X" || data[20]&(webpAnimation|webpAlpha) == 0 {
		return data, nil
	}
	if data[20]&webpAnimation == 0 {
		return withSize(data[24:30], data[30:]), nil
	}
	for id, frame := range chunks(data[12:]) {
		if id != "ANMF" {
			continue
		}
		if len(frame) < frameHeader {
			break
		}
		if string(frame[6:12]) != string(data[24:30]) {
			size := func(b []byte) int { return 1 + (int(b[0]) | int(b[1])<<8 | int(b[2])<<16) }
			return nil, webpUnsupported(fmt.Sprintf("an animation of %dx%d pixels whose first frame has %dx%d",
				size(data[24:]), size(data[27:]), size(frame[6:]), size(frame[9:])))
		}
		return withSize(data[24:30], frame[frameHeader:]), nil
	}
	return nil, errors.New("an animation without a whole frame")
}

// withSize returns a file with the given chunks. size is the encoded image size, as in the header.
func withSize(size, content []byte) []byte {
	var flags uint8
	for id := range chunks(content) {
		if id == "ALPH" {
			flags = webpAlpha
		}
	}
	head := append([]byte{flags, 0, 0, 0}, size...)
	body := append([]byte("WEBP"), chunk("VP8X", head)...)
	return chunk("RIFF", append(body, content...))
}

func chunk(id string, content []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(content))), content...)
}

// webp converts a decoded WebP image to the same pixels as libwebp. In a lossy image, chroma has half the resolution
// and values have the limited range of video (ITU-R BT.601, 16 to 235). The conversion uses libwebp's fixed-point
// arithmetic (upsampling.c, yuv.h).
//
// Note: golang.org/x/image treats the values as full range, as in JPEG, so white becomes 235.
func webp(img image.Image) (*Image, error) {
	var src *image.YCbCr
	switch im := img.(type) {
	case *image.YCbCr:
		src = im
	case *image.NYCbCrA:
		for y := range im.Rect.Dy() {
			for _, a := range im.A[y*im.AStride:][:im.Rect.Dx()] {
				if a != 0xff {
					return nil, errTransparent
				}
			}
		}
		src = &im.YCbCr
	default: // a lossless image is already RGB
		return rgb(img)
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	out := &Image{C: 3, H: h, W: w, Pixels: make([]uint8, 3*w*h)}
	lastX, lastY := (w+1)/2-1, (h+1)/2-1
	for y := range h {
		near, far := y/2, other(y, lastY)
		for x := range w {
			nearX, farX := x/2, other(x, lastX)
			colour := func(plane []uint8) int {
				at := func(i, k int) int { return int(plane[i*src.CStride+k]) }
				a, b, c, d := at(near, nearX), at(near, farX), at(far, nearX), at(far, farX)
				return ((a+b+c+d+8+2*(b+c))>>3 + a) >> 1
			}
			luma, u, v := int(src.Y[y*src.YStride+x])*19077>>8, colour(src.Cb), colour(src.Cr)
			p := y*w + x
			out.Pixels[p] = clip6(luma + v*26149>>8 - 14234)
			out.Pixels[w*h+p] = clip6(luma - u*6419>>8 - v*13320>>8 + 8708)
			out.Pixels[2*w*h+p] = clip6(luma + u*33050>>8 - 17685)
		}
	}
	return out, nil
}

// other returns the index of the farther of the two chroma samples around position i: the previous sample for even i,
// the next sample for odd i.
func other(i, last int) int { return min(max(i/2-1+2*(i%2), 0), last) }

// clip6 drops the six fractional bits of v and clamps the result to 8 bits.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
