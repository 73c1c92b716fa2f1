package microkernel

var hasWindows = hasAVX512

//go:noescape
func masked8x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked8x2x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked8x1x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

//go:noescape
func masked4x3x16(channels int, a, b *float32, taps *tap, ntaps, plane int, c *float32, stride, rows, mask, add int)

func masked(p *Correlation, w *Window, a, b, c []float32) {
	vectors := (w.cols + 15) / 16
	mask := 1<<(w.cols-16*(vectors-1)) - 1
	add := flag(p.Add)
	for r := 0; r < p.Rows; r += rows512 {
		from, to, rows := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride], min(rows512, p.Rows-r)
		switch { // and not a variable, through which the slices would escape
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
