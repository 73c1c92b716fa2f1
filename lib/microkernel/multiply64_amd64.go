package microkernel

//go:noescape
func kernel8x3x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)

//go:noescape
func kernel8x2x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)

//go:noescape
func kernel8x1x8f64(k int, a, b *float64, off *int, c *float64, stride, rows, mask, add int)

//go:noescape
func kernel4x3x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)

//go:noescape
func kernel4x2x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)

//go:noescape
func kernel4x1x4f64(k int, a, b *float64, off *int, c *float64, stride, rows int, mask *[4]int64, add int)

func multiply64(p *Product, a, b, c []float64) {
	switch {
	case hasAVX512:
		multiply64x512(p, a, b, c)
	case hasAVX2:
		multiply64x256(p, a, b, c)
	default:
		plain(p, a, b, c)
	}
}

// An AVX-512 vector has eight elements. The kernels compute up to eight rows of up to three vectors.
func multiply64x512(p *Product, a, b, c []float64) {
	k, add := p.Off.Len(), flag(p.Add)
	off := &p.Off.at[0]
	for j := 0; j < p.Cols; j += 24 {
		cols := min(24, p.Cols-j)
		vectors := (cols + 7) / 8
		mask := 1<<(cols-8*(vectors-1)) - 1
		for r := 0; r < p.Rows; r += 8 {
			from, to, rows := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride+j], min(8, p.Rows-r)
			switch vectors {
			case 3:
				kernel8x3x8f64(k, from, &b[j], off, to, p.Stride, rows, mask, add)
			case 2:
				kernel8x2x8f64(k, from, &b[j], off, to, p.Stride, rows, mask, add)
			default:
				kernel8x1x8f64(k, from, &b[j], off, to, p.Stride, rows, mask, add)
			}
		}
	}
}

// masks64[n] selects the first n elements of a vector of four.
var masks64 = [5][4]int64{{}, {-1}, {-1, -1}, {-1, -1, -1}, {-1, -1, -1, -1}}

// An AVX2 vector has four elements. The kernels compute up to four rows of up to three vectors.
func multiply64x256(p *Product, a, b, c []float64) {
	k, add := p.Off.Len(), flag(p.Add)
	off := &p.Off.at[0]
	for j := 0; j < p.Cols; j += 12 {
		cols := min(12, p.Cols-j)
		vectors := (cols + 3) / 4
		mask := &masks64[cols-4*(vectors-1)]
		for r := 0; r < p.Rows; r += 4 {
			from, to, rows := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride+j], min(4, p.Rows-r)
			switch {
			case cols == 12:
				kernel4x3x4f64(k, from, &b[j], off, to, p.Stride, rows, nil, add)
			case vectors == 3:
				kernel4x2x4f64(k, from, &b[j], off, to, p.Stride, rows, &masks64[4], add)
				kernel4x1x4f64(k, from, &b[j+8], off, &c[r*p.Stride+j+8], p.Stride, rows, mask, add)
			case vectors == 2:
				kernel4x2x4f64(k, from, &b[j], off, to, p.Stride, rows, mask, add)
			default:
				kernel4x1x4f64(k, from, &b[j], off, to, p.Stride, rows, mask, add)
			}
		}
	}
}
