package microkernel

// hasWindows reports whether this machine can read through windows. wideWindows reports whether their masks have
// sixteen elements, for AVX-512, instead of eight.
var hasWindows, wideWindows = hasAVX2, hasAVX512

//go:noescape
func masked8x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked8x2x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked8x1x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked4x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

func masked(p *Correlation, w *Window, a, b, c []float32) {
	if hasAVX512 {
		masked512(p, w, a, b, c)
	} else {
		masked256(p, w, a, b, c)
	}
}

func masked512(p *Correlation, w *Window, a, b, c []float32) {
	vectors := (w.cols + 15) / 16
	mask := 1<<(w.cols-16*(vectors-1)) - 1
	add := flag(p.Add)
	for r := 0; r < p.Rows; r += rows512 {
		from, to, rows := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride], min(rows512, p.Rows-r)
		switch { // a function variable would make the slices escape
		case vectors == 3 && rows <= 4:
			masked4x3x16(p.Channels, from, &b[0], &w.taps[0], len(w.taps), p.Plane, to, p.Stride, rows, mask, add)
		case vectors == 3:
			masked8x3x16(p.Channels, from, &b[0], &w.taps[0], len(w.taps), p.Plane, to, p.Stride, rows, mask, add)
		case vectors == 2:
			masked8x2x16(p.Channels, from, &b[0], &w.taps[0], len(w.taps), p.Plane, to, p.Stride, rows, mask, add)
		default:
			masked8x1x16(p.Channels, from, &b[0], &w.taps[0], len(w.taps), p.Plane, to, p.Stride, rows, mask, add)
		}
	}
}

//go:noescape
func masked4x3x8(
	channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32, stride, rows, last, add int,
)

//go:noescape
func masked4x2x8(
	channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32, stride, rows, last, add int,
)

//go:noescape
func masked4x1x8(
	channels int, a, b *float32, taps *vectorTap, ntaps, plane, piece int, c *float32, stride, rows, last, add int,
)

func masked256(p *Correlation, w *Window, a, b, c []float32) {
	n, add := len(w.vectors), flag(p.Add)
	for r := 0; r < p.Rows; r += rows256 {
		from, rows := &a[r/Panel*p.Next+r%Panel], min(rows256, p.Rows-r)
		for j := 0; j < w.cols; {
			to := &c[r*p.Stride+j]
			vectors, last := nextVectors(w.cols - j)
			switch vectors {
			case 3:
				masked4x3x8(p.Channels, from, &b[0], &w.vectors[0], n, p.Plane, 4*j, to, p.Stride, rows, last, add)
			case 2:
				masked4x2x8(p.Channels, from, &b[0], &w.vectors[0], n, p.Plane, 4*j, to, p.Stride, rows, last, add)
			default:
				masked4x1x8(p.Channels, from, &b[0], &w.vectors[0], n, p.Plane, 4*j, to, p.Stride, rows, last, add)
			}
			j += 8*(vectors-1) + last
		}
	}
}
