package kernel

// AvgPool averages k x k tiles: src [planes, h, w] to dst [planes, h/k, w/k], where k divides h and w.
type AvgPool[T Float] struct {
	tiles[T]
}

// NewAvgPool prepares the average.
func NewAvgPool[T Float](planes, h, w, k int) *AvgPool[T] {
	p := &AvgPool[T]{newTiles[T](planes, h/k, w/k, k)}
	p.plane = p.average
	return p
}

func (p *AvgPool[T]) average(at int) {
	w := p.w * p.k
	scale := 1 / T(p.k*p.k)
	for y := range p.h {
		out := p.dst[(at*p.h+y)*p.w:][:p.w]
		rows := p.src[(at*p.h+y)*p.k*w:][:p.k*w]
		if p.k == 2 {
			averagePairs(out, rows[:w], rows[w:], scale)
			continue
		}
		clear(out)
		for ; len(rows) > 0; rows = rows[w:] {
			for x := range out {
				for _, v := range rows[x*p.k : (x+1)*p.k] {
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
type Upsample[T Float] struct {
	tiles[T]
}

// NewUpsample prepares the upsampling.
func NewUpsample[T Float](planes, h, w, k int) *Upsample[T] {
	p := &Upsample[T]{newTiles[T](planes, h, w, k)}
	p.plane = p.repeat
	return p
}

func (p *Upsample[T]) repeat(at int) {
	w := p.w * p.k
	for y := range p.h {
		row := p.src[(at*p.h+y)*p.w:][:p.w]
		first := p.dst[(at*p.h+y)*p.k*w:][:w]
		if p.k == 2 {
			for x, v := range row {
				pair := (*[2]T)(first[2*x:])
				pair[0], pair[1] = v, v
			}
		} else {
			for x, v := range row {
				for dx := range p.k {
					first[x*p.k+dx] = v
				}
			}
		}
		for dy := 1; dy < p.k; dy++ {
			copy(p.dst[((at*p.h+y)*p.k+dy)*w:][:w], first)
		}
	}
}

// tiles is a loop over planes. A plane has h x w tiles of k x k elements each. A piece covers one or more planes.
type tiles[T Float] struct {
	planes, h, w, k int
	per             int
	plane           func(at int)
	body            func(worker, piece int)
	dst, src        []T
}

func newTiles[T Float](planes, h, w, k int) tiles[T] {
	return tiles[T]{planes: planes, h: h, w: w, k: k, per: max(1, grain/(h*w*k*k))}
}

// Run computes dst from src. It is not safe for concurrent use.
func (t *tiles[T]) Run(dst, src []T) {
	if t.body == nil {
		t.body = t.piece
	}
	t.dst, t.src = dst, src
	Parallel((t.planes+t.per-1)/t.per, t.body)
	t.dst, t.src = nil, nil
}

func (t *tiles[T]) piece(_, piece int) {
	for at := piece * t.per; at < min((piece+1)*t.per, t.planes); at++ {
		t.plane(at)
	}
}
