package kernel

// AvgPool averages k x k tiles: src [planes, h, w] to dst [planes, h/k, w/k], where k divides h and w.
type AvgPool[T Float] struct{ planeLoop[T] }

// NewAvgPool prepares the average.
func NewAvgPool[T Float](planes, h, w, k int) *AvgPool[T] {
	p := &AvgPool[T]{}
	p.start(tiles(planes, h, w, k), h*w, p.average)
	return p
}

// Run computes dst from src. It is not safe for concurrent use.
func (p *AvgPool[T]) Run(dst, src []T) { p.run(dst, src, nil) }

func (p *AvgPool[T]) average(_, at int) {
	k, w := p.s.KH, p.s.W
	scale := 1 / T(k*k)
	for y := range p.oh {
		out := p.small(p.dst, at)[y*p.ow:][:p.ow]
		rows := p.large(p.a, at)[y*k*w:][:k*w]
		if k == 2 {
			averagePairs(out, rows[:w], rows[w:], scale)
			continue
		}
		clear(out)
		for ; len(rows) > 0; rows = rows[w:] {
			for x := range out {
				for _, v := range rows[x*k : (x+1)*k] {
					out[x] += v
				}
			}
		}
		for x := range out {
			out[x] *= scale
		}
	}
}

// averagePairs averages the 2 x 2 tiles of two rows. It adds in the same order as the general loop.
func averagePairs[T Float](out, top, bottom []T, scale T) {
	top, bottom = top[:2*len(out)], bottom[:2*len(out)]
	for x := range out {
		out[x] = (((top[2*x] + top[2*x+1]) + bottom[2*x]) + bottom[2*x+1]) * scale
	}
}

// Upsample repeats every element k x k times (nearest neighbour): src [planes, h, w] to dst [planes, h·k, w·k].
type Upsample[T Float] struct{ planeLoop[T] }

// tiles describes the k x k tiles of planes of h x w elements.
func tiles(planes, h, w, k int) WindowShape {
	return WindowShape{Planes: planes, H: h, W: w, KH: k, KW: k, StrideH: k, StrideW: k}
}

// NewUpsample prepares the upsampling.
func NewUpsample[T Float](planes, h, w, k int) *Upsample[T] {
	p := &Upsample[T]{}
	p.start(tiles(planes, h*k, w*k, k), h*w*k*k, p.repeat)
	return p
}

// Run computes dst from src. It is not safe for concurrent use.
func (p *Upsample[T]) Run(dst, src []T) { p.run(dst, src, nil) }

func (p *Upsample[T]) repeat(_, at int) {
	k, w := p.s.KH, p.s.W
	for y := range p.oh {
		row := p.small(p.a, at)[y*p.ow:][:p.ow]
		tall := p.large(p.dst, at)[y*k*w:][:k*w]
		first := tall[:w]
		if k == 2 {
			for x, v := range row {
				pair := (*[2]T)(first[2*x:])
				pair[0], pair[1] = v, v
			}
		} else {
			for x, v := range row {
				for dx := range k {
					first[x*k+dx] = v
				}
			}
		}
		for tall = tall[w:]; len(tall) > 0; tall = tall[w:] {
			copy(tall, first)
		}
	}
}
