package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSpace draws an iteration space. Some spaces have a single element, prime sizes, short rows, the longest rows
// that can be summed, or rows that are too long to be summed.
func randomSpace(rng *rand.Rand) []int {
	sizes := [][]int{{1}, {2, 3, 5, 7, 13}, {4, 8, 16, 36}, {1, 2, 49}, {31, 64, 127, 128}}
	dims := make([]int, 1+rng.IntN(4))
	for d := range dims {
		family := sizes[rng.IntN(len(sizes))]
		dims[d] = family[rng.IntN(len(family))]
	}
	switch rng.IntN(12) {
	case 0:
		dims = []int{[]int{997, 1024, 2048, 10007, 20011}[rng.IntN(5)]}
	case 1:
		dims = []int{1 + rng.IntN(3), []int{1536, 4099, 8192, 9001, 17000}[rng.IntN(5)]}
	case 2:
		dims = []int{1 + rng.IntN(6), 8, 1 + rng.IntN(4), 300}
	case 3:
		dims = []int{512, 1 + rng.IntN(40)}
	}
	for product(dims) > 25000 {
		dims = dims[1:]
	}
	return dims
}

// rowMajor returns the row-major strides of a register that varies along dimension d only if has(d) is true.
func rowMajor(dims []int, has func(d int) bool) []int {
	strides, stride := make([]int, len(dims)), 1
	for d := len(dims) - 1; d >= 0; d-- {
		if has(d) && dims[d] > 1 {
			strides[d] = stride
			stride *= dims[d]
		}
	}
	return strides
}

// elements returns the number of elements of a register with the given strides.
func elements(dims, strides []int) int {
	n := 1
	for d, s := range strides {
		if s != 0 {
			n *= dims[d]
		}
	}
	return n
}

// randomProgram draws a well-formed program. Slots 0 to inputs-1 hold its inputs, and the other slots hold its outputs.
func randomProgram(rng *rand.Rand) (p Program, inputs int) {
	p.Dims = randomSpace(rng)
	rank := len(p.Dims)
	leading := []int{} // for each register, the number of leading dimensions that it depends on
	add := func(slot int, strides []int) int {
		p.Operands = append(p.Operands, Operand{Slot: slot, Strides: strides})
		n := rank
		for n > 0 && strides[n-1] == 0 {
			n--
		}
		leading = append(leading, n)
		return len(p.Operands) - 1
	}
	inputs = 2 + rng.IntN(5)
	for i := range inputs {
		mask := rng.IntN(1 << rank)
		if rng.IntN(3) == 0 {
			mask = 1<<rank - 1
		}
		add(i, rowMajor(p.Dims, func(d int) bool { return mask>>d&1 == 1 }))
	}
	kept := []int{rank} // the numbers of leading dimensions that results may have
	if rng.IntN(3) > 0 {
		for k := rank - 1; k >= 0 && product(p.Dims[k:]) <= MaxRow && rng.IntN(4) > 0; k-- {
			kept = append(kept, k)
		}
	}
	slot := inputs
	count := 1 + rng.IntN(12)
	if rng.IntN(6) == 0 {
		count = 60
	}
	for i := range count {
		k := kept[rng.IntN(len(kept))]
		if rng.IntN(2) == 0 {
			k = rank
		}
		in := Instr{Code: Code(rng.IntN(int(codeCount)))}
		// A sum can read a register that is row-major and has more dimensions than the result.
		var readable, summable []int
		for reg := range p.Operands {
			if leading[reg] <= k {
				readable = append(readable, reg)
			}
			s := p.Operands[reg].Strides
			if m := leading[reg]; m > k && slices.Equal(s, rowMajor(p.Dims, func(d int) bool { return d < m })) {
				summable = append(summable, reg)
			}
		}
		switch {
		case len(summable) > 0:
			in.Sum = true
			in.Args[0] = summable[rng.IntN(len(summable))]
		case len(readable) == 0:
			continue
		default:
			for a := range in.Args {
				in.Args[a] = readable[rng.IntN(len(readable))]
				if rng.IntN(2) == 0 {
					in.Args[a] = readable[len(readable)-1]
				}
			}
		}
		switch in.Code {
		case Affine:
			in.P, in.Q = rng.NormFloat64(), float64(rng.IntN(3))
		case SiLU:
			in.P = float64(rng.IntN(5))
		}
		to := -1
		if rng.IntN(4) == 0 || i == count-1 {
			to = slot
			slot++
		}
		in.Dst = add(to, rowMajor(p.Dims, func(d int) bool { return d < k }))
		p.Instrs = append(p.Instrs, in)
	}
	return p, inputs
}

// interpret runs a program instruction by instruction and element by element.
func interpret[T Float](p Program, slots [][]T) {
	regs := make([][]T, len(p.Operands))
	for i, o := range p.Operands {
		n := elements(p.Dims, o.Strides)
		if regs[i] = make([]T, n); o.Slot >= 0 {
			regs[i] = slots[o.Slot][:n]
		}
	}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		poly := siluPolynomials(int(in.P))
		dst := p.Operands[in.Dst].Strides
		summed := make([][]T, len(regs[in.Dst]))
		done := make([]bool, len(summed))
		index := make([]int, len(p.Dims))
		for e := range product(p.Dims) {
			for d, rest := len(index)-1, e; d >= 0; d-- {
				index[d] = rest % p.Dims[d]
				rest /= p.Dims[d]
			}
			at := func(strides []int) (n int) {
				for d := range index {
					n += index[d] * strides[d]
				}
				return n
			}
			to := at(dst)
			var args [3][]T
			for a, reg := range in.Args {
				from := at(p.Operands[reg].Strides)
				args[a] = regs[reg][from:][:1]
			}
			if in.Sum {
				// Add each element once, although this loop meets it again along the dimensions that the operand lacks.
				first := true
				for d, s := range p.Operands[in.Args[0]].Strides {
					first = first && (s != 0 || index[d] == 0)
				}
				if first {
					summed[to] = append(summed[to], args[0][0])
				}
			} else if !done[to] {
				done[to] = true
				operate(in, &poly, regs[in.Dst][to:][:1], args[0], args[1], args[2])
			}
		}
		if in.Sum {
			for k, v := range summed {
				regs[in.Dst][k] = sumSlice(v)
			}
		}
	}
}

func bitsOf[T Float](v T) uint64 {
	if v != v {
		return 1 // the processor decides which of two NaNs an operation returns
	}
	return math.Float64bits(float64(v))
}

func testFused[T Float](t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 21))
	p, inputs := randomProgram(rng)
	if len(p.Instrs) == 0 {
		return
	}
	slots, want := make([][]T, inputs), make([][]T, inputs)
	const guard = 64
	for _, o := range p.Operands {
		n := elements(p.Dims, o.Strides)
		switch {
		case o.Slot >= inputs:
			slots, want = append(slots, make([]T, n+guard)), append(want, make([]T, n+guard))
		case o.Slot >= 0:
			slots[o.Slot] = make([]T, n)
		}
	}
	f := NewFused[T](p)
	// The second run shows that the first one left nothing behind. The third run takes the pieces in reverse order, on
	// random workers.
	for run := range 3 {
		for i := range slots {
			for k := range slots[i] {
				slots[i][k] = T(rng.NormFloat64())
				if rng.IntN(100) == 0 {
					slots[i][k] = T([]float64{0, math.Copysign(0, -1), math.Inf(1), math.NaN(), -1e-40, 1e30}[rng.IntN(6)])
				}
			}
			want[i] = slices.Clone(slots[i])
		}
		interpret(p, want)
		if run < 2 {
			f.Run(slots)
		} else {
			f.slots = slots
			for piece := f.pieces() - 1; piece >= 0; piece-- {
				f.piece(rng.IntN(Workers()), piece)
			}
		}
		for i := range slots {
			for k := range slots[i] {
				if bitsOf(slots[i][k]) != bitsOf(want[i][k]) {
					t.Fatalf("program %d, run %d, slot %d (%d inputs), element %d of %d: got %v, want %v\n%s",
						seed, run, i, inputs, k, len(slots[i]), slots[i][k], want[i][k], describe(p))
				}
			}
		}
	}
	if seed%10 == 0 {
		if n := testing.AllocsPerRun(5, func() { f.Run(slots) }); n > 0 {
			t.Errorf("program %d: %v allocations per run, want none\n%s", seed, n, describe(p))
		}
	}
}

func describe(p Program) string {
	s := fmt.Sprintln("dims", p.Dims)
	for _, in := range p.Instrs {
		name := fmt.Sprintf("code %d of", in.Code)
		if in.Sum {
			name = "sum"
		}
		s += fmt.Sprintf("r%d %v slot %d = %s", in.Dst, p.Operands[in.Dst].Strides, p.Operands[in.Dst].Slot, name)
		for _, a := range in.args() {
			s += fmt.Sprintf(" r%d %v", a, p.Operands[a].Strides)
		}
		s += "\n"
	}
	return s
}

// A fused program gives the same bits as interpret, which runs its instructions one by one, element by element.
func TestFusedPrograms(t *testing.T) {
	for seed := range uint64(250) {
		testFused[float32](t, seed)
		testFused[float64](t, seed)
	}
}

func TestFusedRefusesMalformedPrograms(t *testing.T) {
	for name, p := range map[string]Program{
		"an unknown code": {
			Dims: []int{4}, Operands: []Operand{{0, []int{1}}, {1, []int{1}}}, Instrs: []Instr{{Code: codeCount, Dst: 1}},
		},
		"a result that is not row-major": {
			Dims: []int{4, 5}, Operands: []Operand{{0, []int{5, 1}}, {1, []int{1, 4}}}, Instrs: []Instr{{Code: Copy, Dst: 1}},
		},
		"a sum of a broadcast operand": {
			Dims: []int{4, 5}, Operands: []Operand{{0, []int{0, 0}}, {1, []int{1, 0}}}, Instrs: []Instr{{Sum: true, Dst: 1}},
		},
		"a sum over a row that is too long": {
			Dims: []int{2, MaxRow + 1}, Operands: []Operand{{0, []int{MaxRow + 1, 1}}, {1, []int{1, 0}}},
			Instrs: []Instr{{Sum: true, Dst: 1}},
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a program with %s was accepted, want a panic", name)
				}
			}()
			NewFused[float32](p)
		}()
	}
}
