package training

import (
	"bytes"
	"slices"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
)

// Rematerialisation changes no bit of a training run on the CPU. It lowers the memory of networks that have blocks.
func TestRemat(t *testing.T) {
	image := []int{2, 16, 16}
	unet := potential.Config{Kind: "unet", Shape: image, UNet: &potential.UNet{
		Channels: 4, Mult: []int{1, 2}, ResBlocks: 2, Groups: 2, Attention: []int{2}, Dropout: 0.3}}
	labelled := unet
	labelled.Classes = 3
	wrn := potential.Config{Kind: "wrn", Shape: image, WRN: &potential.WRN{Depth: 10, Width: 1, Time: true}}
	velocity := unet
	velocity.Output = homotopy.Velocity
	mlp := potential.Config{Kind: "mlp", Shape: []int{2}, MLP: &potential.MLP{Width: 8, Depth: 2}}
	for _, c := range []struct {
		name, objective string
		config          potential.Config
		share           float64 // of the memory without rematerialisation
	}{
		{"unet", "matching", unet, 0.6}, {"unet", "energy", unet, 0.6}, {"labelled unet", "hybrid", labelled, 0.6},
		{"unet", "velocity", velocity, 0.8}, {"wrn", "matching", wrn, 0.9}, {"mlp", "matching", mlp, 1},
	} {
		t.Run(c.name+" "+c.objective, func(t *testing.T) {
			c.config.Schedule, c.config.PriorStd = "linear", 1
			plain, bytesPlain, memoryPlain := trainRemat(t, c.config, c.objective, false)
			remat, bytesRemat, memoryRemat := trainRemat(t, c.config, c.objective, true)
			if !slices.Equal(plain, remat) || !bytes.Equal(bytesPlain, bytesRemat) {
				t.Errorf("losses are %v with rematerialisation and %v without, want the same, and equal checkpoints",
					remat, plain)
			}
			if share := float64(memoryRemat) / float64(memoryPlain); share > c.share {
				t.Errorf("rematerialisation leaves %.2f of %d bytes of memory, want at most %.2f", share, memoryPlain, c.share)
			}
		})
	}
}

// trainRemat takes a few steps and returns their losses, the checkpoint and the memory.
func trainRemat(
	t *testing.T, c potential.Config, objective string, remat bool,
) (losses []float64, state []byte, memory int64) {
	t.Helper()
	s, err := Potential(tape.Tape{}, c, objective, adam(12), remat)
	if err != nil {
		t.Fatal(err)
	}
	s.Seed = 5
	if err := s.Initialise(1); err != nil {
		t.Fatal(err)
	}
	for step := range int64(3) {
		b := s.NewBatch()
		fill(b, c, uint64(step))
		for row := 0; row < b.N() && c.Classes > 0; row += 2 {
			b.SetLabel(row, row%c.Classes)
		}
		m, err := s.Step(step, b)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, m.Loss, m.GradNorm, m.FieldRMS)
	}
	k, err := s.Checkpoint(3)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := checkpoint.Write(&out, k); err != nil {
		t.Fatal(err)
	}
	return losses, out.Bytes(), s.MemoryBytes()
}

// With rematerialisation, the measurement of the gradient variance also gives the same results in less memory.
func TestRematVariance(t *testing.T) {
	c := potential.Config{Kind: "unet", Shape: []int{1, 16, 16}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2}}
	var results [2][]BinVariance
	var memory [2]int64
	for i, remat := range []bool{false, true} {
		v, err := NewGradientVariance(tape.Tape{}, c, "matching", 6, remat)
		if err != nil {
			t.Fatal(err)
		}
		weights := map[string][]float32{}
		for _, p := range v.params {
			weights[p.Name] = p.Draw(1)
		}
		results[i], err = v.Measure(weights, 2, 2, func(bin, k int, b *Batch) error {
			fill(b, c, uint64(2*bin+k))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		memory[i] = v.exe.MemoryBytes()
	}
	if !slices.Equal(results[0], results[1]) || memory[1] >= memory[0] {
		t.Errorf("with rematerialisation %v in %d bytes, want %v in fewer than %d",
			results[1], memory[1], results[0], memory[0])
	}
}
