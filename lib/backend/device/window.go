package device

import (
	"slices"

	"github.com/gomlx/compute"
	"vapo/lib/graphop"
)

// slide describes windows along one axis of images [N,C,H,W]. The axis has n elements and pad elements of padding on
// each side. It has count windows of kernel elements, whose starts are stride elements apart. Windows are lowered to
// strided slices and interior padding, which compilers fuse.
type slide struct{ axis, n, kernel, stride, pad, count int }

func slides(w graphop.Window2D, image, windows []int) [2]slide {
	return [2]slide{
		{2, image[2], w.KH, w.StrideH, w.PadH, windows[2]},
		{3, image[3], w.KW, w.StrideW, w.PadW, windows[3]},
	}
}

// margins pads v with zeros on both sides of an axis, and updates its shape.
func (l *lowering) margins(v compute.Value, shape []int, s slide) compute.Value {
	if s.pad == 0 {
		return v
	}
	pad := make([]compute.PadAxis, len(shape))
	pad[s.axis] = compute.PadAxis{Start: s.pad, End: s.pad}
	shape[s.axis] += 2 * s.pad
	return must(l.Pad(v, l.scalar(l.dt, 0), pad...))
}

// tap returns the k-th element of every window along one axis of v, which includes the padding.
func (l *lowering) tap(v compute.Value, shape []int, s slide, k int) compute.Value {
	return l.slice(v, shape, s.axis, k, k+(s.count-1)*s.stride+1, s.stride)
}

// scatter is the adjoint of tap: it puts each window's value at the window's k-th element and fills the rest with
// zeros.
func (l *lowering) scatter(v compute.Value, rank int, s slide, k int) compute.Value {
	pad := make([]compute.PadAxis, rank)
	last := k + (s.count-1)*s.stride + 1
	pad[s.axis] = compute.PadAxis{Start: k, End: s.n + 2*s.pad - last, Interior: s.stride - 1}
	return must(l.Pad(v, l.scalar(l.dt, 0), pad...))
}

// windowSum adds up each window, one axis after the other.
func (l *lowering) windowSum(x compute.Value, w graphop.Window2D, image, windows []int) compute.Value {
	shape := slices.Clone(image)
	for _, s := range slides(w, image, windows) {
		x = l.margins(x, shape, s)
		sum := l.tap(x, shape, s, 0)
		for k := 1; k < s.kernel; k++ {
			sum = must(l.Add(sum, l.tap(x, shape, s, k)))
		}
		x = sum
		shape[s.axis] = s.count
	}
	return x
}

// windowSumGrad is the adjoint of windowSum.
func (l *lowering) windowSumGrad(g compute.Value, w graphop.Window2D, image, windows []int) compute.Value {
	shape := slices.Clone(windows)
	for _, s := range slides(w, image, windows) {
		sum := l.scatter(g, len(shape), s, 0)
		for k := 1; k < s.kernel; k++ {
			sum = must(l.Add(sum, l.scatter(g, len(shape), s, k)))
		}
		shape[s.axis] = s.n + 2*s.pad
		g = l.slice(sum, shape, s.axis, s.pad, s.pad+s.n, 1)
		shape[s.axis] = s.n
	}
	return g
}

// firstMaximum calls visit once for each element index k of a window, row by row. tap returns the k-th element of every
// window of an image. take holds, for each window of a, whether its k-th element is larger than all earlier ones; in
// the first call, take is nil. Padding is never taken. A NaN counts as larger than every number.
func (l *lowering) firstMaximum(a compute.Value, w graphop.Window2D, image, windows []int,
	visit func(k int, tap func(compute.Value) compute.Value, take compute.Value)) {
	sides := slides(w, image, windows)
	padded := w.PadH > 0 || w.PadW > 0
	yes, no := l.truth(true, windows), l.truth(false, windows)
	ones := l.full(1, image)
	var best, taken compute.Value
	for k := range w.KH * w.KW {
		tap := func(v compute.Value) compute.Value { return l.element(v, sides, image, k/w.KW, k%w.KW) }
		here := tap(a)
		var inside compute.Value
		if padded {
			inside = must(l.GreaterThan(tap(ones), l.full(0, windows)))
		}
		if k == 0 {
			best, taken = here, inside
			visit(k, tap, nil)
			continue
		}
		take := must(l.Where(must(l.GreaterOrEqual(best, here)), no, must(l.Equal(best, best))))
		if padded {
			take = must(l.Where(taken, take, yes))
			take = must(l.Where(inside, take, no))
			taken = must(l.Where(inside, yes, taken))
		}
		best = must(l.Where(take, here, best))
		visit(k, tap, take)
	}
}

// element returns the element in row i and column j of every window of v.
func (l *lowering) element(v compute.Value, sides [2]slide, image []int, i, j int) compute.Value {
	shape := slices.Clone(image)
	for axis, k := range []int{i, j} {
		v = l.margins(v, shape, sides[axis])
		v = l.tap(v, shape, sides[axis], k)
		shape[sides[axis].axis] = sides[axis].count
	}
	return v
}

// truth returns a constant that repeats one truth value.
func (l *lowering) truth(v bool, shape []int) compute.Value {
	one := 0.0
	if v {
		one = 1
	}
	return must(l.GreaterThan(l.full(one, shape), l.full(0, shape)))
}

// selectMax returns, for each window, the element of b at the position of the first maximum of a.
func (l *lowering) selectMax(a, b compute.Value, w graphop.Window2D, image, windows []int) compute.Value {
	var chosen compute.Value
	l.firstMaximum(a, w, image, windows, func(_ int, tap func(compute.Value) compute.Value, take compute.Value) {
		if take == nil {
			chosen = tap(b)
			return
		}
		chosen = must(l.Where(take, tap(b), chosen))
	})
	return chosen
}

// scatterMax starts from zeros and adds each element of g at the position of the first maximum of a in its window.
func (l *lowering) scatterMax(a, g compute.Value, w graphop.Window2D, image, windows []int) compute.Value {
	place := l.full(0, windows)
	l.firstMaximum(a, w, image, windows, func(k int, _ func(compute.Value) compute.Value, take compute.Value) {
		if take != nil {
			place = must(l.Where(take, l.full(float64(k), windows), place))
		}
	})
	sides := slides(w, image, windows)
	var sum compute.Value
	for k := range w.KH * w.KW {
		part := must(l.Where(must(l.Equal(place, l.full(float64(k), windows))), g, l.full(0, windows)))
		part = l.scatter(l.scatter(part, 4, sides[0], k/w.KW), 4, sides[1], k%w.KW)
		if sum == nil {
			sum = part
		} else {
			sum = must(l.Add(sum, part))
		}
	}
	shape := []int{image[0], image[1], image[2] + 2*w.PadH, image[3] + 2*w.PadW}
	sum = l.slice(sum, shape, 2, w.PadH, w.PadH+image[2], 1)
	shape[2] = image[2]
	return l.slice(sum, shape, 3, w.PadW, w.PadW+image[3], 1)
}
