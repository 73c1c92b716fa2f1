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
		f := masked8x1x16
		switch {
		case vectors == 3 && rows <= 4:
			f = masked4x3x16
		case vectors == 3:
			f = masked8x3x16
		case vectors == 2:
			f = masked8x2x16
		}
		f(p.Channels, from, &b[0], &w.taps[0], len(w.taps), p.Plane, to, p.Stride, rows, mask, add)
	}
}
