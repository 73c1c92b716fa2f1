package potential_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// labelled returns networks of every kind with three classes.
func labelled() []potential.Config {
	list := []potential.Config{mlp("linear"), mlp("vapo"), attentive(), wrn(true), wrn(false)}
	for i := range list {
		list[i].Classes = 3
	}
	return list
}

// The label table has the same position as in guided diffusion's state dict. A network without classes has no table.
func TestLabelParameters(t *testing.T) {
	want := map[string]string{"mlp": "[3 20] before layers.0.weight", "unet": "[3 32] before input_blocks.0.0.weight",
		"wrn": "[3 32] before conv_in.weight"}
	for _, c := range labelled() {
		params, err := c.Parameters()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, p := range params {
			if p.Name == "label_emb.weight" {
				got = fmt.Sprintf("%v before %s", p.Shape, params[i+1].Name)
			}
		}
		if got != want[c.Kind] {
			t.Errorf("%s: the table is %s, want %s", c.Kind, got, want[c.Kind])
		}
		c.Classes = 0
		if without, err := c.Parameters(); err != nil || (c.Kind != "wrn" || c.WRN.Time) && len(without) != len(params)-1 {
			t.Errorf("%s: %d parameters without classes, %d with classes (%v), want one fewer",
				c.Kind, len(without), len(params), err)
		}
	}
}

// block evaluates the same point in every row, with a different label in each row.
func block(t *testing.T, be backend.Backend, c potential.Config, guidance float64, labels []int) (phi []float32,
	grad [][]float32) {
	t.Helper()
	f, err := potential.NewGuidedField(be, c, weights(t, c), len(labels), guidance)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetLabels(labels); err != nil {
		t.Fatal(err)
	}
	d := c.Dim()
	x, times := make([]float32, len(labels)*d), make([]float32, len(labels))
	for i := range labels {
		random.New(5, "x", 0).Normal(x[i*d : (i+1)*d])
		times[i] = 0.4
	}
	phi = make([]float32, len(labels))
	g := make([]float32, len(x))
	if err := f.Eval(x, times, phi, g); err != nil {
		t.Fatal(err)
	}
	return phi, slices.Collect(slices.Chunk(g, d))
}

// The guided potential and its gradient agree with the formula, applied to the potentials with and without the label.
// Without a label, guidance changes nothing. Every label gives a different potential.
func TestGuidance(t *testing.T) {
	for _, be := range engines(t) {
		for _, c := range labelled() {
			labels := []int{potential.NoLabel, 0, 1, 2}
			phi, grad := block(t, be, c, 1, labels)
			for i := range labels {
				for k := range i {
					if phi[i] == phi[k] || slices.Equal(grad[i], grad[k]) {
						t.Errorf("%s, %s: labels %d and %d give the same potential or gradient",
							be.Class(), c.Kind, labels[i], labels[k])
					}
				}
			}
			for _, g := range []float64{0, 0.5, 3} {
				gotPhi, gotGrad := block(t, be, c, g, labels)
				for i := range labels {
					got := append([]float32{gotPhi[i]}, gotGrad[i]...)
					conditional, unconditional := append([]float32{phi[i]}, grad[i]...), append([]float32{phi[0]}, grad[0]...)
					scale := 0.0
					for _, v := range conditional[1:] {
						scale = max(scale, math.Abs(float64(v)))
					}
					for k := range got {
						want := float64(unconditional[k]) + g*(float64(conditional[k])-float64(unconditional[k]))
						if !(math.Abs(float64(got[k])-want) <= 2e-5*(scale+math.Abs(want))) {
							t.Fatalf("%s, %s with guidance %v, label %d: value %d is %v, want %v",
								be.Class(), c.Kind, g, labels[i], k, got[k], want)
						}
					}
				}
			}
		}
	}
}

// The bits of a row do not depend on the labels and points of the other rows, with guidance or without.
func TestLabelledRows(t *testing.T) {
	for _, be := range engines(t) {
		for _, c := range labelled() {
			for _, guidance := range []float64{1, 2} {
				const batch = 5
				d := c.Dim()
				flow := velocity(t, be, c, guidance, batch)
				eval := func(seed uint64, keep int) []float32 {
					x, s, labels := make([]float32, batch*d), make([]float32, batch), make([]int, batch)
					random.New(seed, "x", 0).Normal(x)
					src := random.New(seed, "labels", 0)
					for i := range labels {
						labels[i], s[i] = src.IntN(4)-1, -float32(src.Uniform64())
					}
					random.New(1, "x", 0).Normal(x[keep*d : (keep+1)*d])
					labels[keep], s[keep] = 1, -0.4
					return flow(x, s, labels)[keep*d : (keep+1)*d]
				}
				for keep := range batch {
					want := eval(1, keep)
					for seed := range uint64(4) {
						if !slices.Equal(eval(seed, keep), want) {
							t.Fatalf("%s, %s %s: row %d depends on the other rows", be.Class(), c.Kind, c.Schedule, keep)
						}
					}
				}
			}
		}
	}
}

func TestLabelsRefuse(t *testing.T) {
	be := engines(t)[0]
	c := labelled()[0]
	plain := mlp("linear")
	with := func(classes int) error {
		c := mlp("linear")
		c.Classes = classes
		return c.Check()
	}
	f, err := potential.NewField(be, c, weights(t, c), 2)
	if err != nil {
		t.Fatal(err)
	}
	without, err := potential.NewField(be, plain, weights(t, plain), 2)
	if err != nil {
		t.Fatal(err)
	}
	guided := func(c potential.Config, g float64) error {
		_, err := potential.NewGuidedField(be, c, weights(t, c), 2, g)
		return err
	}
	for message, err := range map[string]error{
		"-1 classes":         with(-1),
		"1 classes":          with(1),
		"10001 classes":      with(10001),
		"block of 2":         f.SetLabels([]int{0}),
		"class 3":            f.SetLabels([]int{0, 3}),
		"class -2":           f.SetLabels([]int{-2, 0}),
		"class 0":            without.SetLabels([]int{-1, 0}),
		"has none":           guided(plain, 2),
		"finite":             guided(c, math.NaN()),
		"guidance is 1e+300": guided(c, 1e300),
		"guidance -1 needs":  guided(plain, -1),
	} {
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("error %v, want one with %q", err, message)
		}
	}
	if err := without.SetLabels([]int{-1, -1}); err != nil {
		t.Error(err)
	}
	raw, err := json.Marshal(c)
	if err != nil || !strings.Contains(string(raw), `"classes":3`) {
		t.Errorf("JSON %s (%v), want 3 classes in it", raw, err)
	}
	if back, err := potential.ParseConfig(raw); err != nil || back.Classes != 3 {
		t.Errorf("JSON came back as %+v (%v), want 3 classes", back, err)
	}
}
