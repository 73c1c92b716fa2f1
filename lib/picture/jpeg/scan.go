package jpeg

import "errors"

// entropy decodes the coefficients of a scan.
type entropy interface {
	// start is called before the first unit and after every restart marker.
	start()
	// decode adds the scan's data for the next block, which belongs to component i of the scan.
	decode(i int, c *component, b *[64]int16) error
	// check returns an error if the data has ended early.
	check() error
}

// readUnits reads the units of a scan. For each block, it gets the memory for the coefficients from the function at,
// reads the coefficients and calls done. x and y count the blocks of the component. readUnits calls rowDone after each
// row of units.
func (d *decoder) readUnits(
	at func(c *component, x, y int) *[64]int16, done func(c *component, x, y int, b *[64]int16), rowDone func(y int),
) error {
	e, err := d.newEntropy()
	if err != nil {
		return err
	}
	e.start()
	unitsX, unitsY := d.unitsX, d.unitsY
	single := len(d.scan.comps) == 1 // each unit is one block, and there are no padding blocks
	if single {
		unitsX, unitsY = d.scan.comps[0].blocksX, d.scan.comps[0].blocksY
	}
	left, next := d.interval, 0
	for y := range unitsY {
		for x := range unitsX {
			if d.interval > 0 && left == 0 {
				if err := d.restart(next); err != nil {
					return err
				}
				e.start()
				left, next = d.interval, (next+1)%8
			}
			left--
			for i, c := range d.scan.comps {
				h, v := c.h, c.v
				if single {
					h, v = 1, 1
				}
				for p := range h * v {
					bx, by := x*h+p%h, y*v+p/h
					b := at(c, bx, by)
					if err := e.decode(i, c, b); err != nil {
						return err
					}
					done(c, bx, by, b)
				}
			}
			if err := e.check(); err != nil {
				return err
			}
		}
		rowDone(y)
	}
	return nil
}

func (d *decoder) newEntropy() (entropy, error) {
	if d.arithmetic {
		return newArithmetic(d), nil
	}
	return newHuffmanDecoder(d)
}

// restart reads restart marker number n, from 0 to 7.
func (d *decoder) restart(n int) error {
	marker, err := d.nextMarker()
	if err == nil && int(marker) != markerRST0+n {
		err = errors.New("a restart marker is missing")
	}
	return err
}

// decodeDirectly decodes the only scan of an image, row by row.
func (d *decoder) decodeDirectly() error {
	var block [64]int16
	err := d.readUnits(
		func(*component, int, int) *[64]int16 {
			clear(block[:])
			return &block
		},
		func(c *component, x, y int, b *[64]int16) { c.transform(x, y, b) },
		func(y int) {
			if y > 0 {
				d.emit(y - 1)
			}
		})
	if err != nil {
		return err
	}
	d.emit(d.unitsY - 1)
	return nil
}

func (d *decoder) decodeScan() error {
	return d.readUnits(
		func(c *component, x, y int) *[64]int16 { return c.block(x, y) },
		func(*component, int, int, *[64]int16) {}, func(int) {})
}

// block returns the coefficients of a block of a buffered image.
func (c *component) block(x, y int) *[64]int16 {
	return (*[64]int16)(c.coefs[64*(y*c.strideX+x):])
}

// reconstruct computes the pixels of a buffered image.
func (d *decoder) reconstruct() {
	smooths := d.progressive && d.smooths()
	for unit := range d.unitsY {
		for i := range d.comps {
			c := &d.comps[i]
			for y := unit * c.v; y < (unit+1)*c.v; y++ {
				for x := range c.strideX {
					b := c.block(x, y)
					if smooths && y < c.blocksY {
						b = d.smooth(c, x, y, unit)
					}
					c.transform(x, y, b)
				}
			}
		}
		if unit > 0 {
			d.emit(unit - 1)
		}
	}
	d.emit(d.unitsY - 1)
}

func (c *component) transform(x, y int, b *[64]int16) {
	stride := 8 * c.strideX
	inverseDCT(b, c.quant, c.strips[y/c.v%3][8*(y%c.v)*stride+8*x:], stride)
}

// row returns row y of the samples, or the nearest one if the component has no such row.
func (c *component) row(y int) []uint8 {
	y = min(max(y, 0), c.height-1)
	stride := 8 * c.strideX
	return c.strips[y/(8*c.v)%3][y%(8*c.v)*stride:][:c.width]
}
