package device

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/enginename"
	"vapo/lib/potential"
	"vapo/lib/training"
)

var barrierForm = regexp.MustCompile(
	`"stablehlo\.optimization_barrier"\(%\w+, (%\w+)\) : \(tensor<(\S+)>, tensor<(\S+)>\) -> ` +
		`\(tensor<(\S+)>, tensor<(\S+)>\)`)

// A program that computes blocks again reads their inputs through barriers, which keep XLA from merging the two
// computations and from starting the second one early. The operands that a barrier only waits for are not converted.
func TestBarriers(t *testing.T) {
	for _, p := range []enginename.Precision{enginename.Float32, enginename.BFloat16} {
		text := write(t, rematStep(t, true), p)
		barriers := barrierForm.FindAllStringSubmatch(text, -1)
		if n := strings.Count(text, "optimization_barrier"); n == 0 || n != len(barriers) {
			t.Fatalf("%s: %d of %d barriers have two operands and two results, want all, and at least one",
				p, len(barriers), n)
		}
		all := statements(text)
		for _, b := range barriers {
			if b[2] != b[4] || b[3] != b[5] || all[b[1]].op == "convert" {
				t.Errorf("%s: the barrier %s changes a type, or its second operand comes from a conversion", p, b[0])
			}
		}
		if strings.Contains(write(t, rematStep(t, false), p), "optimization_barrier") {
			t.Errorf("%s: a program without rematerialisation has barriers", p)
		}
	}
}

// A step always produces the same program text, because a tuning recognises a program by its text.
func TestProgramsRepeat(t *testing.T) {
	for _, remat := range []bool{false, true} {
		one, two := write(t, rematStep(t, remat), enginename.BFloat16), write(t, rematStep(t, remat), enginename.BFloat16)
		if one != two {
			t.Errorf("remat %v: two programs of the same step differ", remat)
		}
	}
}

// The memory estimate, which is used if the compiler gives no figure, takes rematerialisation into account: it is at
// most half as large.
func TestRematEstimate(t *testing.T) {
	for _, half := range []bool{false, true} {
		plain, remat := estimate(rematStep(t, false), half), estimate(rematStep(t, true), half)
		if remat.state != plain.state || remat.batch > plain.batch/2 {
			t.Errorf("estimate %+v, want the state and at most half the batch memory of %+v", remat, plain)
		}
	}
}

// rematStep returns the training step of a U-Net with all kinds of blocks on batches of 8.
func rematStep(t *testing.T, remat bool) (g backend.Graph) {
	t.Helper()
	c := potential.Config{Kind: "unet", Shape: []int{3, 16, 16}, Schedule: "linear", PriorStd: 1, UNet: &potential.UNet{
		Channels: 8, Mult: []int{1, 2}, ResBlocks: 2, Groups: 4, Attention: []int{2}, Dropout: 0.3}}
	if _, err := training.Potential(captured{&g}, c, "matching", adam(8), remat); !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	return g
}
