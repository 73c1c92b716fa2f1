package feature

import (
	"errors"
	"fmt"
	"sync/atomic"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
	"vapo/lib/layer"
)

// compiled is a network compiled for one form of images.
type compiled struct {
	exe  backend.Executable
	x    []float32 // the input of a block
	rows int
	// write checks an image and writes it to a row of x. It must be safe for concurrent use.
	write func(row []float32, im Image) error
}

// newCompiled compiles a graph and loads the weights of b's parameters by name. The input is x [rows, …]; the outputs
// are features [rows, D] and logits [rows, K], which may be nil.
func newCompiled(be backend.Backend, b *layer.Builder, x, features, logits *graphop.Node, weights map[string][]float32,
	write func(row []float32, im Image) error) (*compiled, error) {
	p := &compiled{x: make([]float32, x.Shape().TotalSize()), rows: x.Shape()[0], write: write}
	g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{features}}
	if logits != nil {
		g.Outputs = append(g.Outputs, logits)
	}
	for _, q := range b.Params {
		g.State = append(g.State, backend.State{In: q.Node})
	}
	var err error
	if p.exe, err = be.Compile(g); err != nil {
		return nil, backend.FixedBatch(err)
	}
	for _, q := range b.Params {
		if err := p.exe.Load(checkpoint.Param+q.Name, backend.F32(weights[q.Name])); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// fill writes images [lo, hi) to the rows of x, where image base belongs to row 0, and zeros to the other rows.
func (p *compiled) fill(images Images, base, lo, hi int) error {
	clear(p.x)
	size := len(p.x) / p.rows
	failed := make([]error, hi-lo)
	var other atomic.Bool // an image of another size was found, so the remaining images need not be read
	kernel.Parallel(hi-lo, func(_, piece int) {
		if other.Load() {
			return
		}
		i := lo + piece
		im, err := images.Image(i)
		if err == nil {
			if err = p.write(p.x[(i-base)*size:][:size], im); err == errOtherSize {
				other.Store(true)
			} else if err != nil {
				err = fmt.Errorf("image %d: %w", i, err)
			}
		}
		failed[piece] = err
	})
	if other.Load() {
		return errOtherSize
	}
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// errOtherSize is the error of a program for images of one size when it gets an image of another size.
var errOtherSize = errors.New("an image of another size")

// programs are the programs of a network. whole takes images of every size that the network accepts. small takes images
// of one size and gets their pixels as they are, which are fewer bytes to copy to a device than resized images. nil
// stands for a program that has not been needed yet.
type programs struct {
	whole, small *compiled
	// compileWhole and compileSmall compile a program at its first use. compileSmall is nil if the engine computes in the
	// memory of the host. It returns nil if images of this size are too large.
	compileWhole func() (*compiled, error)
	compileSmall func(im Image) (*compiled, error)
}

// fill writes images [lo, hi) to the input of the program that it returns; see compiled.fill.
func (p *programs) fill(images Images, base, lo, hi int) (*compiled, error) {
	if p.small == nil && p.compileSmall != nil {
		first, err := images.Image(lo)
		if err != nil {
			return nil, err
		}
		if p.small, err = p.compileSmall(first); err != nil {
			return nil, err
		}
	}
	if p.small != nil {
		if err := p.small.fill(images, base, lo, hi); err != errOtherSize {
			return p.small, err
		}
	}
	if p.whole == nil {
		var err error
		if p.whole, err = p.compileWhole(); err != nil {
			return nil, err
		}
	}
	return p.whole, p.whole.fill(images, base, lo, hi)
}
