package tape

import (
	"fmt"
	"math"
	"unsafe"

	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// program is a compiled graph with its state and memory.
type program[T kernel.Float] struct {
	steps   []call[T]
	data    [][]T // the memory of each value, by index in compiler.values
	inputs  []slot
	states  map[string]slot
	swaps   [][2]int // pairs of a state and its next value, whose memory is swapped after a run
	outputs []slot
	bytes   int64
}

// slot is an input, state or output as callers see it.
type slot struct {
	name  string
	value int
	size  int
}

// call is a kernel with the values it reads and writes.
type call[T kernel.Float] struct {
	args, outs []int
	src        [][]T
	slots      [][]T
	kernel     function[T]
	fused      func(slots [][]T)
}

// link allocates the memory of a program and binds the kernels.
func link[T kernel.Float](c *compiler) (*program[T], error) {
	p := &program[T]{data: make([][]T, len(c.values)), states: map[string]slot{}}
	length := plan(c.values)
	need := float64(length)
	for _, v := range c.values {
		if v.kind != temporary && v.kind != input {
			need += float64(v.size)
		}
	}
	need *= float64(unsafe.Sizeof(*new(T)))
	if have := physicalMemory(); have > 0 && need > float64(have) {
		return nil, &backend.MemoryError{Need: int64(min(need, math.MaxInt64/2)), Have: have}
	}
	arena := make([]T, length)
	p.bytes = int64(len(arena))
	for i, v := range c.values {
		switch v.kind {
		case temporary:
			if v.first >= 0 {
				p.data[i] = arena[v.offset : v.offset+v.size : v.offset+v.size]
			}
		case state, stateOut:
			p.data[i] = make([]T, v.size)
			p.bytes += int64(v.size)
		case constant:
			p.data[i] = make([]T, v.size)
			f, err := functionOf[T](graphop.Of(v.node))
			if err != nil {
				return nil, err
			}
			f(p.data[i], nil)
			p.bytes += int64(v.size)
		}
	}
	var scratch int64
	for i := range c.steps {
		s := &c.steps[i]
		if s.group != nil && len(s.outs) == 0 {
			continue // no other step reads the group
		}
		k := call[T]{args: s.args, outs: s.outs}
		switch {
		case s.group != nil:
			f := kernel.NewFused[T](s.group.program())
			k.fused = f.Run
			scratch += f.ScratchBytes()
			k.slots = make([][]T, len(s.args)+len(s.outs))
		case s.node != nil:
			f, err := functionOf[T](graphop.Of(s.node))
			if err != nil {
				return nil, err
			}
			k.kernel = f
		default:
			k.kernel = func(dst []T, src [][]T) { copy(dst, src[0]) }
		}
		k.src = make([][]T, len(s.args))
		p.steps = append(p.steps, k)
	}
	p.bytes = p.bytes*int64(unsafe.Sizeof(*new(T))) + scratch
	for _, n := range c.graph.Inputs {
		p.inputs = append(p.inputs, slot{n.Name(), c.of[n], n.Shape().TotalSize()})
	}
	next := 0
	for _, s := range c.graph.State {
		p.states[s.In.Name()] = slot{s.In.Name(), c.of[s.In], s.In.Shape().TotalSize()}
		if s.Out != nil {
			p.swaps = append(p.swaps, [2]int{c.of[s.In], c.outputs[next]})
			next++
		}
	}
	for i, n := range c.graph.Outputs {
		p.outputs = append(p.outputs, slot{n.Name(), c.outputs[next+i], n.Shape().TotalSize()})
	}
	return p, nil
}

// elements returns the slice of b with element type T, or an error if its length is not that of s.
func elements[T kernel.Float](what string, s slot, b backend.Buffer) ([]T, error) {
	v, ok := any(b.F32).([]T)
	if !ok {
		v = any(b.F64).([]T)
	}
	if len(v) != s.size {
		return nil, fmt.Errorf("%s %s: got %d elements of type %T, expected %d", what, s.name, len(v), T(0), s.size)
	}
	return v, nil
}

// Run implements backend.Executable.
func (p *program[T]) Run(in, out []backend.Buffer) error {
	if len(in) != len(p.inputs) || len(out) != len(p.outputs) {
		return fmt.Errorf("run: got %d inputs and %d outputs, expected %d and %d",
			len(in), len(out), len(p.inputs), len(p.outputs))
	}
	for i, s := range p.inputs {
		v, err := elements[T]("input", s, in[i])
		if err != nil {
			return err
		}
		p.data[s.value] = v
	}
	for i, s := range p.outputs {
		if _, err := elements[T]("output", s, out[i]); err != nil {
			return err
		}
	}
	for i := range p.steps {
		p.call(&p.steps[i])
	}
	for i, s := range p.outputs {
		v, _ := elements[T]("output", s, out[i]) // checked above
		copy(v, p.data[s.value])
	}
	for _, s := range p.swaps {
		p.data[s[0]], p.data[s[1]] = p.data[s[1]], p.data[s[0]]
	}
	for _, s := range p.inputs {
		p.data[s.value] = nil
	}
	return nil
}

// Upload implements backend.Executable. It returns v itself, because runs read inputs from host memory.
func (p *program[T]) Upload(i int, v backend.Buffer) (backend.Buffer, error) {
	_, err := elements[T]("input", p.inputs[i], v)
	return v, err
}

func (p *program[T]) call(k *call[T]) {
	if k.fused != nil {
		for i, v := range k.args {
			k.slots[i] = p.data[v]
		}
		for i, v := range k.outs {
			k.slots[len(k.args)+i] = p.data[v]
		}
		k.fused(k.slots)
		return
	}
	for i, v := range k.args {
		k.src[i] = p.data[v]
	}
	k.kernel(p.data[k.outs[0]], k.src)
}

// state returns the memory of a state and the caller's slice in b, which has the same length. After an error callers is
// nil, so copying does nothing.
func (p *program[T]) state(verb, name string, b backend.Buffer) (mine, callers []T, err error) {
	s, ok := p.states[name]
	if !ok {
		return nil, nil, fmt.Errorf("%s state %s: the graph has no such state", verb, name)
	}
	callers, err = elements[T]("state", s, b)
	return p.data[s.value], callers, err
}

// Load implements backend.Executable.
func (p *program[T]) Load(name string, b backend.Buffer) error {
	mine, callers, err := p.state("load", name, b)
	copy(mine, callers)
	return err
}

// Store implements backend.Executable.
func (p *program[T]) Store(name string, b backend.Buffer) error {
	mine, callers, err := p.state("store", name, b)
	copy(callers, mine)
	return err
}

// MemoryBytes implements backend.Executable.
func (p *program[T]) MemoryBytes() int64 { return p.bytes }
