package potential_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"vapo/lib/layer"
	"vapo/lib/potential"
)

// file is a file of another framework that keeps the order of its tensors.
type file []layer.Param

func (f file) Names() []string {
	names := f.Order()
	slices.Sort(names)
	return names
}

func (f file) Order() []string {
	var names []string
	for _, p := range f {
		names = append(names, p.Name)
	}
	return names
}

func (f file) Tensor(name string) ([]float32, []int, bool, error) {
	for _, p := range f {
		if p.Name == name {
			return p.Draw(1), p.Shape, true, nil
		}
	}
	return nil, nil, false, nil
}

// unordered is a file without the method Order.
type unordered struct{ potential.Tensors }

// stateDict returns a state dict in which every parameter has a different constant value, counting up from first.
func stateDict(t *testing.T, c potential.Config, prefix string, first float64) file {
	t.Helper()
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	var f file
	for i, p := range params {
		f = append(f, layer.Param{Name: prefix + p.Name, Shape: p.Shape, Init: layer.Init{Value: first + float64(i)}})
	}
	return f
}

// list returns a list of averages, without parameter names, in the order of the state dict f. Each average is the value
// in f plus 1000.
func (f file) list(prefix string) file {
	var out file
	for i, p := range f {
		p.Name, p.Init.Value = fmt.Sprintf("%sshadow_params.%d", prefix, i), p.Init.Value+1000
		out = append(out, p)
	}
	return out
}

// A list of averages has the order of the parameters in the file, which may differ from the network's order.
func TestImportOrder(t *testing.T) {
	c := mlp("linear")
	straight := stateDict(t, c, "m.", 1)
	turned := slices.Clone(straight)
	slices.Reverse(turned)
	for name, f := range map[string]file{"in order": straight, "turned": turned} {
		all := slices.Concat(f, f.list("ema."))
		w, err := potential.Import(all, c, potential.Either)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(w.Trained) != len(straight) || len(w.Average) != len(straight) || w.Unknown != nil {
			t.Errorf("%s: %d weights and %d averages, want %d; unknown %v, want none",
				name, len(w.Trained), len(w.Average), len(straight), w.Unknown)
		}
		for p, v := range w.Trained {
			if a := w.Average[p]; len(a) != len(v) || a[0] != v[0]+1000 {
				t.Errorf("%s: %s begins with %v and its average with %v, want 1000 more and equal lengths", name, p, v[0], a[0])
			}
		}
	}
	// If the file has no state dict, or no order, the list has the network's order.
	for name, src := range map[string]potential.Tensors{"alone": straight.list(""),
		"without an order": unordered{slices.Concat(straight, straight.list("ema."))}} {
		w, err := potential.Import(src, c, potential.Average)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if w.Trained != nil {
			t.Errorf("%s: weights were returned that were not requested", name)
		}
		for _, p := range straight {
			if v := w.Average[strings.TrimPrefix(p.Name, "m.")]; v[0] != float32(p.Init.Value+1000) {
				t.Errorf("%s: the average of %s is %v, want %v", name, p.Name, v[0], p.Init.Value+1000)
			}
		}
	}
}

func TestImportRefuses(t *testing.T) {
	c := mlp("linear")
	f := stateDict(t, c, "m.", 1)
	list := f.list("ema.")
	shaped := slices.Clone(list)
	shaped[2].Shape = []int{7}
	many := slices.Clone(f)
	for i := range many {
		many[i].Name += strings.Repeat("x", 1000)
	}
	for _, c2 := range []struct {
		name, which, want string
		src               file
	}{
		{"a short list", "", "has 5 tensors, expected the 6 parameters of the mlp", slices.Concat(f, list[:5])},
		{"a list with a gap", "", "has no entry 2, expected 0 to 5",
			slices.Concat(f, list[:2], list[3:], file{{Name: "ema.shadow_params.6", Shape: []int{1}}})},
		{"a list with other shapes", "", "ema.shadow_params.2 for layers.1.weight is [7], expected [20 20]",
			slices.Concat(f, shaped)},
		{"two lists", "", "several lists of moving averages", slices.Concat(f, list, f.list("ema2."))},
		{"only averages", "model", "no weights of a mlp, such as layers.0.weight", list},
		{"only some of the parameters", "", "4 of the 6 parameters of the mlp do not fit its weights; 4 missing",
			slices.Concat(f[:2], file{{Name: "other", Shape: []int{1}}})},
		{"long names", "", "no weights", many},
		{"an empty file", "", "no weights of a mlp, such as layers.0.weight; it has no tensors", nil},
	} {
		_, err := potential.Import(c2.src, c, c2.which)
		if err == nil || !strings.Contains(err.Error(), c2.want) || len(err.Error()) > 2000 {
			t.Errorf("%s: error %v, want one with %q and at most 2000 bytes", c2.name, err, c2.want)
		}
	}
	// Errors in a set that was not requested do not matter.
	if _, err := potential.Import(slices.Concat(f, shaped), c, potential.Trained); err != nil {
		t.Error(err)
	}
	w, err := potential.Import(slices.Concat(f, file{{Name: "optimizer.state.m.out.bias", Shape: []int{1}},
		{Name: "ema.decay"}, {Name: "m.sigmas", Shape: []int{3}}}), c, "")
	if err != nil || !slices.Equal(w.Unknown, []string{"m.sigmas"}) {
		t.Errorf("unknown are %v (%v), want m.sigmas", w.Unknown, err)
	}
}
