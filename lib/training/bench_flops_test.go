package training

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/microkernel"
)

// flopCounter counts the arithmetic of the graphs that an engine compiles, and the weights of their convolutions.
type flopCounter struct {
	backend.Backend
	total   float64
	weights int // in states of rank 4
}

func (f *flopCounter) Compile(g backend.Graph) (backend.Executable, error) {
	f.total += flops(g)
	for _, s := range g.State {
		if shape := s.In.Shape(); len(shape) == 4 {
			f.weights += shape.TotalSize()
		}
	}
	return f.Backend.Compile(g)
}

// flops returns twice the number of multiplications in the convolutions and matrix products of a graph. It counts the
// operations of the textbook algorithm, even if an engine needs fewer.
func flops(g backend.Graph) float64 {
	total := 0.0
	for _, n := range g.Order() {
		op := graphop.Of(n)
		if op == nil {
			continue
		}
		switch k := op.Kind.(type) {
		case *graphop.ConvOp: // the forward product and both gradients sum over the same indices
			s := k.Shape
			total += 2 * float64(s.N*s.Cout*s.OH()*s.OW()) * float64(s.Cin*s.KH*s.KW)
		case *graphop.MatMulOp:
			inner := op.In[0][len(op.In[0])-1]
			if k.TransA {
				inner = op.In[0][len(op.In[0])-2]
			}
			total += 2 * float64(op.Out.TotalSize()) * float64(inner)
		}
	}
	return total
}

// peakRate measures the rate, in FLOP/s for one core, that the inner loop of products reaches on data in the
// first-level cache while every core computes. It takes the best of many short runs, so that other load on the machine
// matters little.
func peakRate(limit time.Duration) float64 {
	const terms, calls = 96, 64 // a panel, the columns and the result take 27 KiB; a first-level cache has 32 or more
	best := make([]float64, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range best {
		wg.Go(func() {
			kernel := microkernel.Product{Off: microkernel.Strided(terms, microkernel.Columns),
				Rows: microkernel.Panel, Cols: microkernel.Columns, Stride: microkernel.Columns}
			a, b := make([]float32, terms*microkernel.Panel), make([]float32, terms*microkernel.Columns)
			c := make([]float32, microkernel.Panel*microkernel.Columns)
			for j := range b {
				b[j] = wave(1, j)
			}
			copy(a, b)
			for begin := time.Now(); time.Since(begin) < limit; {
				start := time.Now()
				for range calls {
					microkernel.Multiply(&kernel, a, b, c)
				}
				best[i] = max(best[i], calls*2*terms*microkernel.Panel*microkernel.Columns/time.Since(start).Seconds())
			}
		})
	}
	wg.Wait()
	sum := 0.0
	for _, v := range best {
		sum += v / float64(len(best))
	}
	return sum
}

// The operations of a perceptron's field are known: the forward products, and the same number again backwards.
func TestFLOPs(t *testing.T) {
	c := benchCase{"", benchMLP, "field", 10}
	counter := &flopCounter{Backend: engines(t)[0]}
	if _, err := c.open(counter); err != nil {
		t.Fatal(err)
	}
	in, width := 2+1+2*4, 128
	forward := 2.0 * 10 * float64(in*width+2*width*width+width)
	if want := 2 * forward; counter.total != want {
		t.Errorf("counted %v operations, want %v", counter.total, want)
	}
}
