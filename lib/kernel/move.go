package kernel

// Segments copies rows of a [outer, from, inner] array into a [outer, to, inner] one: the whole of slice, pad
// and concatenate along one axis.
//
// dst[o, dstAt+k, :] = src[o, srcAt+k, :] for k < count.
func Segments[T Float](dst []T, to, dstAt int, src []T, from, srcAt, count, outer, inner int) {
	n := count * inner
	for o := range outer {
		d := (o*to + dstAt) * inner
		s := (o*from + srcAt) * inner
		copy(dst[d:d+n], src[s:s+n])
	}
}

// Transpose copies src, of shape dims, into dst with its axes permuted: axis i of dst is axis perm[i] of src.
func Transpose[T Float](dst, src []T, dims, perm []int) {
	n := len(dims)
	strides := make([]int, n)
	step := 1
	for i := n - 1; i >= 0; i-- {
		strides[i] = step
		step *= dims[i]
	}
	index := make([]int, n)
	at := 0
	for i := range dst {
		dst[i] = src[at]
		for d := n - 1; d >= 0; d-- {
			index[d]++
			at += strides[perm[d]]
			if index[d] < dims[perm[d]] {
				break
			}
			at -= index[d] * strides[perm[d]]
			index[d] = 0
		}
	}
}

// AvgPool averages k x k tiles: src [planes, h, w] to dst [planes, h/k, w/k]; k divides h and w.
func AvgPool[T Float](dst, src []T, planes, h, w, k int) {
	oh, ow := h/k, w/k
	scale := 1 / T(k*k)
	per := max(1, grain/(h*w))
	Blocks(planes, per, func(_, lo, hi int) {
		for p := lo; p < hi; p++ {
			for y := range oh {
				out := dst[(p*oh+y)*ow:][:ow]
				clear(out)
				for dy := range k {
					row := src[(p*h+y*k+dy)*w:][:w]
					for x := range out {
						for dx := range k {
							out[x] += row[x*k+dx]
						}
					}
				}
				for x := range out {
					out[x] *= scale
				}
			}
		}
	})
}

// Upsample repeats every element k x k times (nearest neighbour): src [planes, h, w] to dst [planes, h·k, w·k].
func Upsample[T Float](dst, src []T, planes, h, w, k int) {
	ow := w * k
	per := max(1, grain/(h*w*k*k))
	Blocks(planes, per, func(_, lo, hi int) {
		for p := lo; p < hi; p++ {
			for y := range h {
				row := src[(p*h+y)*w:][:w]
				first := dst[(p*h+y)*k*ow:][:ow]
				for x, v := range row {
					for dx := range k {
						first[x*k+dx] = v
					}
				}
				for dy := 1; dy < k; dy++ {
					copy(dst[((p*h+y)*k+dy)*ow:][:ow], first)
				}
			}
		}
	})
}
