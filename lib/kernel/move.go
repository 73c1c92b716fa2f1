package kernel

// Segments copies a range of the middle axis of src [outer, from, inner] into dst [outer, to, inner]. Slice, pad and
// concatenate along one axis consist of such copies.
//
//	dst[o, dstAt+k, :] = src[o, srcAt+k, :] for k < count
func Segments[T Float](dst []T, to, dstAt int, src []T, from, srcAt, count, outer, inner int) {
	n := count * inner
	for o := range outer {
		d := (o*to + dstAt) * inner
		s := (o*from + srcAt) * inner
		copy(dst[d:d+n], src[s:s+n])
	}
}

// maxRank is the highest rank that Transpose takes. The bound keeps its working memory off the heap.
const maxRank = 16

// Transpose copies src into dst with permuted axes: axis i of dst is axis perm[i] of src. src has shape dims, of rank
// at most 16.
func Transpose[T Float](dst, src []T, dims, perm []int) {
	n := len(dims)
	var strides, index [maxRank]int
	step := 1
	for i := n - 1; i >= 0; i-- {
		strides[i] = step
		step *= dims[i]
	}
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
