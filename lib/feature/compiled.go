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

// compiled is a network with one form of input: either resized images, or the pixels of images of one size. Its graph
// is compiled before its first run.
type compiled struct {
	rows, size int // the input is [rows, size]
	// write checks an image and writes it to a row of x. It must be safe for concurrent use.
	write   func(row []float32, im Image) error
	compile func() (backend.Executable, error)
	exe     backend.Executable // nil until it is compiled
	x       []float32          // the input; nil until it is filled
}

// ready compiles the graph if necessary.
func (p *compiled) ready() (err error) {
	if p.exe == nil {
		p.exe, err = p.compile()
	}
	return err
}

// compileGraph compiles a graph and loads the weights of b's parameters by name. The input is x [rows, …]; the outputs
// are features [rows, D] and logits [rows, K], which may be nil.
func compileGraph(be backend.Backend, b *layer.Builder, x, features, logits *graphop.Node,
	weights map[string][]float32) (backend.Executable, error) {
	g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{features}}
	if logits != nil {
		g.Outputs = append(g.Outputs, logits)
	}
	for _, q := range b.Params {
		g.State = append(g.State, backend.State{In: q.Node})
	}
	exe, err := be.Compile(g)
	if err != nil {
		return nil, backend.FixedBatch(err)
	}
	for _, q := range b.Params {
		if err := exe.Load(checkpoint.Param+q.Name, backend.F32(weights[q.Name])); err != nil {
			return nil, err
		}
	}
	return exe, nil
}

// fill writes images [lo, hi) to the rows of x and fills the other rows with zeros. The image with index base belongs
// to row 0.
func (p *compiled) fill(images Images, base, lo, hi int) error {
	if p.x == nil {
		p.x = make([]float32, p.rows*p.size)
	}
	clear(p.x)
	failed := make([]error, hi-lo)
	var other atomic.Bool // an image of another size was found, so the remaining images need not be read
	kernel.Parallel(hi-lo, func(_, piece int) {
		if other.Load() {
			return
		}
		i := lo + piece
		im, err := images.Image(i)
		if err == nil {
			if err = p.write(p.x[(i-base)*p.size:][:p.size], im); err == errOtherSize {
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

// errOtherSize means that a network compiled for images of one size got an image of another size.
var errOtherSize = errors.New("an image of another size")

// programs holds the compiled forms of a network. Only the sizes of a block's images decide which form computes the
// block. So a run that finds some features in the cache computes the missing ones exactly as a run that finds none.
type programs struct {
	// whole takes images of every size that the network accepts.
	whole *compiled
	// small takes images whose size is shape, which is smaller than the network's input. It gets the original pixels,
	// which are fewer bytes to copy to a device than resized images. It is nil until the first block of such images.
	small *compiled
	shape [3]int
	// forSize returns the value of small for images of the size of im, or nil if they are not smaller than the network's
	// input. forSize itself is nil if the engine computes on a CPU.
	forSize func(im Image) *compiled
}

// fill chooses and compiles the form for images [lo, hi), writes them to its input and returns it; see compiled.fill.
func (p *programs) fill(images Images, base, lo, hi int) (*compiled, error) {
	if p.forSize != nil {
		first, err := images.Image(lo)
		if err != nil {
			return nil, err
		}
		small, shape := p.small, [3]int{first.C, first.H, first.W}
		if shape != p.shape {
			small = p.forSize(first)
		}
		if small != nil {
			err := small.fill(images, base, lo, hi)
			if err == nil {
				p.small, p.shape = small, shape
				return small, small.ready()
			}
			if err != errOtherSize {
				return nil, err
			}
		}
	}
	if err := p.whole.fill(images, base, lo, hi); err != nil {
		return nil, err
	}
	return p.whole, p.whole.ready()
}
