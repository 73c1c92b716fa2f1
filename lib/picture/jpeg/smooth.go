package jpeg

// A progressive file need not contain all coefficients, for example if its last scans were cut off. For such files,
// libjpeg hides the block edges: it estimates the low frequencies of a block from the DC coefficients of the 5 x 5
// blocks around it. This extends section K.8 of the standard. The estimates below are those of libjpeg-turbo 2.1
// (jdcoefct.c).

// smoothed is the number of coefficients, in zigzag order, that can be estimated.
const smoothed = 10

// kernels are the weights of the DC coefficients around a block, row by row, in units of 1/256. The second set is for
// components that have some of their AC coefficients; then only the first five AC coefficients are estimated.
var kernels = [2][smoothed][25]int{
	{
		{-2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6, -2},
		{-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1},
		{-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1},
		{2: 1, 6: 2, 7: 7, 8: 2, 11: -5, 12: -14, 13: -5, 16: 2, 17: 7, 18: 2, 22: 1},
		{0: -1, 4: 1, 6: 9, 8: -9, 16: -9, 18: 9, 20: 1, 24: -1},
		{6: 2, 7: -5, 8: 2, 10: 1, 11: 7, 12: -14, 13: 7, 14: 1, 16: 2, 17: -5, 18: 2},
		{6: 1, 8: -1, 11: 2, 13: -2, 16: 1, 18: -1},
		{6: 1, 7: -3, 8: 1, 16: -1, 17: 3, 18: -1},
		{6: 1, 8: -1, 11: -3, 13: 3, 16: 1, 18: -1},
		{6: 1, 7: 2, 8: 1, 16: -1, 17: -2, 18: -1},
	},
	{
		1: {10: -7, 11: 50, 13: -50, 14: 7},
		2: {2: -7, 7: 50, 17: -50, 22: 7},
		3: {2: -1, 7: 13, 12: -24, 17: 13, 22: -1},
		4: {1: -1, 3: 1, 5: -1, 6: 10, 8: -10, 9: 1, 15: 1, 16: -10, 18: 10, 19: -1, 21: 1, 23: -1},
		5: {10: -1, 11: 13, 12: -24, 13: 13, 14: -1},
	},
}

// smooths reports whether coefficients are to be estimated: some must be missing, every component must have its DC
// coefficients, and the quantisation values must not be 0.
func (d *decoder) smooths() bool {
	missing := false
	for i := range d.comps {
		c := &d.comps[i]
		if c.precision[0] < 0 || c.quant[0] == 0 {
			return false
		}
		for k := 1; k < smoothed; k++ {
			if c.quant[k] == 0 {
				return false
			}
			missing = missing || c.precision[k] != 0
		}
	}
	return missing
}

// smooth returns a block with estimates for its missing coefficients. unit is the row of units that contains the block.
func (d *decoder) smooth(c *component, x, y, unit int) *[64]int16 {
	b := *c.block(x, y)
	if x >= c.blocksX {
		return &b // a padding block
	}
	around := c.neighbours(x, y, unit, d.unitsY)
	set, last := 0, smoothed-1
	for k := 1; k < smoothed; k++ {
		if c.precision[k] >= 0 {
			set, last = 1, 5
		}
	}
	for k := last; k >= set; k-- { // the DC changes only if no AC coefficient is set
		at, low := &b[zigzag[k]], int(c.precision[k])
		if k > 0 && (low == 0 || *at != 0) {
			continue
		}
		sum := 0
		for i, w := range kernels[set][k] {
			sum += w * around[i]
		}
		sum *= int(c.quant[0])
		q := int(c.quant[k])
		v := (q<<7 + max(sum, -sum)) / (q << 8)
		if k > 0 && low > 0 {
			v = min(v, 1<<low-1)
		}
		if sum < 0 {
			v = -v
		}
		*at = int16(v)
	}
	return &b
}

// neighbours returns the DC coefficients of the 5 x 5 blocks around a block. Blocks beyond an edge are replaced by
// those at the edge.
//
// Note: two exceptions follow libjpeg-turbo 2.1. The block's row of units decides whether a block row has rows above
// and below it. In a component of two columns, the first column replaces those beyond the second.
func (c *component) neighbours(x, y, unit, units int) (dc [25]int) {
	r, count := y-unit*c.v, c.v // the block row in this row of units, and how many there are
	if unit == units-1 {
		count = (c.blocksY-1)%c.v + 1
	}
	above, below := 0, 0
	if r > 0 || unit > 0 {
		above = 1
	}
	if r > 1 || unit > 1 {
		above = 2
	}
	if r < count-1 || unit < units-1 {
		below = 1
	}
	if r < count-2 || unit < units-2 {
		below = 2
	}
	last := c.blocksX - 1
	for i := range dc {
		row := y + min(max(i/5-2, -above), below)
		col := min(max(x+i%5-2, 0), last)
		if last == 1 && x+i%5-2 > 1 {
			col = 0
		}
		dc[i] = int(c.coefs[64*(row*c.strideX+col)])
	}
	return dc
}
