package device

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"vapo/lib/backend"
	"vapo/lib/enginename"
)

// goEngine runs programs on gomlx/compute's Go backend. It runs everywhere without installation, but is far too slow
// for networks; its purpose is to test the lowering.
type goEngine struct {
	on   compute.Backend
	half bool // bfloat16 activations, which only tests ask for
}

// OpenGo opens the engine named "go".
func OpenGo() (backend.Backend, error) {
	// Sequential operations fix the order of additions and therefore every bit of the results.
	b, err := gobackend.New("ops_sequential")
	if err != nil {
		return nil, &backend.UnavailableError{Class: enginename.Go, Err: err}
	}
	return &goEngine{on: b}, nil
}

// Class implements backend.Backend.
func (*goEngine) Class() string { return enginename.Go }

// Describe implements backend.Backend.
func (e *goEngine) Describe() string { return enginename.Go + ", " + e.on.Description() }

// Promises implements backend.Backend.
func (e *goEngine) Promises() backend.Promises {
	p := backend.Promises{Rows: true, Repeats: true}
	if e.half {
		p.FactorBits = factorBits[enginename.BFloat16]
	}
	return p
}

// Memory implements backend.Backend.
func (*goEngine) Memory() int64 { return 0 }

// Compile implements backend.Backend.
func (e *goEngine) Compile(g backend.Graph) (backend.Executable, error) {
	return compile(e, g, e.half)
}

func (*goEngine) explain(err error, _ need, _ int64) error { return err }

func (e *goEngine) upload(flat any, shape shapes.Shape) (buffer, error) {
	return e.on.BufferFromFlatData(0, flat, shape)
}

func (e *goEngine) build(params []shapes.Shape) (builder, error) {
	b := e.on.Builder("graph")
	p := &goBuilder{Function: b.Main(), builder: b}
	for i, q := range params {
		v, err := p.Parameter(fmt.Sprintf("p%d", i), q, nil)
		if err != nil {
			return nil, err
		}
		p.params = append(p.params, v)
	}
	return p, nil
}

type goBuilder struct {
	compute.Function
	builder compute.Builder
	params  []compute.Value
}

func (b *goBuilder) parameters() []compute.Value { return b.params }

// OptimizationBarrier returns its operands. The Go backend lacks the operation and computes in the order of the program
// anyway.
func (*goBuilder) OptimizationBarrier(in ...compute.Value) ([]compute.Value, error) { return in, nil }

func (b *goBuilder) compile(outputs []compute.Value, _ []int) (program, error) {
	if err := b.Return(outputs, nil); err != nil {
		return nil, err
	}
	exe, err := b.builder.Compile()
	if err != nil {
		return nil, err
	}
	return goProgram{exe}, nil
}

type goProgram struct{ compute.Executable }

func (p goProgram) execute(in []buffer, donate []bool) ([]buffer, error) {
	args := make([]compute.Buffer, len(in))
	for i, b := range in {
		args[i] = b.(compute.Buffer)
	}
	out, err := p.Execute(args, donate, 0)
	if err != nil {
		return nil, err
	}
	results := make([]buffer, len(out))
	for i, b := range out {
		results[i] = b
	}
	return results, nil
}

func (goProgram) bytes() int64 { return 0 }
