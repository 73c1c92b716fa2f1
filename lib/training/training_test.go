package training

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// trainee is a small network to train. make compiles its trainer, and fill draws its batches.
type trainee struct {
	name string
	make func(be backend.Backend) (*Trainer, error)
	fill func(b *Batch, step int64)
}

// take takes one step. If edit is not nil, it changes the batch before the step.
func (tr trainee) take(t *testing.T, s *Trainer, step int64, edit func(b *Batch)) Metrics {
	t.Helper()
	b := s.NewBatch()
	tr.fill(b, step)
	if edit != nil {
		edit(b)
	}
	m, err := s.Step(step, b)
	if err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	return m
}

func trainees() []trainee {
	const batch = 6
	points := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 9, Depth: 2, Fourier: 2}}
	pictures := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "vapo", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2}}
	dropping := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2, Attention: []int{2}, Dropout: 0.3}}
	wide := potential.Config{Kind: "wrn", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		WRN: &potential.WRN{Depth: 10, Width: 1}}
	classes := feature.Classifier{Shape: []int{1, 4, 4}, Classes: 3, Channels: 2, Features: 4}
	shallow := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1}, ResBlocks: 1, Groups: 2, Dropout: 0.3}}
	everything := adam(3 * batch)
	everything.WeightDecay, everything.ClipStd, everything.Accumulate = 0.1, 0.3, 3
	everything.EMAHalfLifeImages = append(everything.EMAHalfLifeImages, 20, 0)
	fillPotential := func(c potential.Config) func(b *Batch, step int64) {
		return func(b *Batch, step int64) { fill(b, c, uint64(step)) }
	}
	return []trainee{
		{"mlp", func(be backend.Backend) (*Trainer, error) { return Potential(be, points, "energy", adam(batch), false) },
			fillPotential(points)},
		{"hybrid", func(be backend.Backend) (*Trainer, error) { return Potential(be, points, "hybrid", adam(batch), false) },
			fillPotential(points)},
		{"unet", func(be backend.Backend) (*Trainer, error) {
			return Potential(be, pictures, "matching", adam(batch), false)
		}, fillPotential(pictures)},
		{"unet dropping", func(be backend.Backend) (*Trainer, error) {
			s, err := Potential(be, dropping, "matching", adam(batch), false)
			if s != nil {
				s.Seed = 3
			}
			return s, err
		}, fillPotential(dropping)},
		{"unet accumulating", func(be backend.Backend) (*Trainer, error) {
			s, err := Potential(be, shallow, "matching", everything, false)
			if s != nil {
				s.Seed = 3
			}
			return s, err
		}, fillPotential(shallow)},
		{"wrn", func(be backend.Backend) (*Trainer, error) { return Potential(be, wide, "matching", adam(batch), false) },
			fillPotential(wide)},
		{"classifier", func(be backend.Backend) (*Trainer, error) { return Classifier(be, classes, adam(batch)) },
			func(b *Batch, step int64) {
				random.New(1, "images", uint64(step)).Normal(b.X)
				for i := range batch {
					b.SetLabel(i, (int(step)+i)%3)
				}
			}},
	}
}

func (tr trainee) new(t *testing.T, be backend.Backend) *Trainer {
	t.Helper()
	s, err := tr.make(be)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Initialise(5); err != nil {
		t.Fatal(err)
	}
	return s
}

func (tr trainee) run(t *testing.T, s *Trainer, from, to int64) (last Metrics) {
	t.Helper()
	for step := from; step < to; step++ {
		if last = tr.take(t, s, step, nil); !last.Applied || last.Spike || last.NonFinite {
			t.Fatalf("step %d was skipped: %+v", step, last)
		}
	}
	return last
}

func bytesOf(t *testing.T, s *Trainer, step int64) []byte {
	t.Helper()
	c, err := s.Checkpoint(step)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := checkpoint.Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A trainer that is restored from the bytes of a checkpoint reaches the same bits as the trainer that wrote the
// checkpoint.
func TestResumeIsExact(t *testing.T) {
	for _, be := range engines(t) {
		for _, tr := range trainees() {
			whole := tr.new(t, be)
			tr.run(t, whole, 0, 3)
			path := filepath.Join(t.TempDir(), "c.arrow")
			if err := os.WriteFile(path, bytesOf(t, whole, 3), 0o644); err != nil {
				t.Fatal(err)
			}
			want := tr.run(t, whole, 3, 8)

			c, err := checkpoint.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			resumed := tr.new(t, be)
			tr.run(t, resumed, 0, 1) // the state before Restore must not matter
			if err := resumed.Restore(c); err != nil {
				t.Fatal(err)
			}
			got := tr.run(t, resumed, c.Step, 8)
			if got != want {
				t.Errorf("%s, %s: the last step of the resumed run gives %+v, of the whole run %+v",
					be.Class(), tr.name, got, want)
			}
			if !bytes.Equal(bytesOf(t, resumed, 8), bytesOf(t, whole, 8)) {
				t.Errorf("%s, %s: the checkpoints after 8 steps differ", be.Class(), tr.name)
			}
		}
	}
}

func TestInitialise(t *testing.T) {
	be := engines(t)[0]
	for _, tr := range trainees() {
		s := tr.new(t, be)
		first := bytesOf(t, s, 0)
		tr.run(t, s, 0, 2)
		if err := s.Initialise(5); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, bytesOf(t, s, 0)) {
			t.Errorf("%s: a second initialisation with the same seed gives a different state", tr.name)
		}
		if err := s.Initialise(6); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(first, bytesOf(t, s, 0)) {
			t.Errorf("%s: seeds 5 and 6 give the same initial state", tr.name)
		}
		n := len(s.optim.EMAHalfLifeImages)
		for k := range n {
			averages, err := s.Averages(k)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range s.Params {
				if !slices.Equal(averages[p.Name], p.Draw(6)) {
					t.Errorf("%s: average %d of %s does not start at the initial weights", tr.name, k, p.Name)
				}
			}
		}
		for _, k := range []int{-1, n} {
			if _, err := s.Averages(k); err == nil {
				t.Errorf("%s: average %d was returned, although there are only %d, from 0", tr.name, k, n)
			}
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	be := engines(t)[0]
	all := trainees()
	s := all[0].new(t, be)
	before := bytesOf(t, s, 0)
	for name, edit := range map[string]func(c *checkpoint.Checkpoint){
		"another kind": func(c *checkpoint.Checkpoint) { c.Kind = checkpoint.Classifier },
		"another configuration": func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(c.Config), `"width":9`, `"width":8`, 1))
		},
		"a tensor missing": func(c *checkpoint.Checkpoint) { c.Tensors = c.Tensors[:len(c.Tensors)-1] },
		"a tensor too many": func(c *checkpoint.Checkpoint) {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: "param/more", Shape: []int{1}, Data: []float32{1}})
		},
		"another average": func(c *checkpoint.Checkpoint) {
			for _, p := range s.Params {
				c.Tensors = append(c.Tensors, checkpoint.Named{Name: checkpoint.Average(1) + p.Name, Shape: p.Shape,
					Data: p.Draw(1)})
			}
		},
		"other weights and a tensor missing": func(c *checkpoint.Checkpoint) {
			for i := range c.Tensors {
				c.Tensors[i].Data[0]++
			}
			c.Tensors = c.Tensors[:len(c.Tensors)-1]
		},
		"a tensor of a different shape": func(c *checkpoint.Checkpoint) {
			c.Tensors[0].Shape = slices.Concat([]int{1},
				c.Tensors[0].Shape)
		},
	} {
		c, err := s.Checkpoint(0)
		if err != nil {
			t.Fatal(err)
		}
		edit(c)
		if err := s.Restore(c); err == nil {
			t.Errorf("a checkpoint with %s was restored", name)
		}
	}
	if !bytes.Equal(before, bytesOf(t, s, 0)) {
		t.Error("a refused checkpoint changed the state")
	}
}

// A step on a batch that contains NaN, or whose gradient norm is above the limit, is skipped and does not change the
// state.
func TestSkippedStepLeavesNoTrace(t *testing.T) {
	for _, be := range engines(t) {
		for _, tr := range trainees() {
			s := tr.new(t, be)
			tr.run(t, s, 0, 3)
			before := bytesOf(t, s, 3)
			m := tr.take(t, s, 3, func(b *Batch) { b.X[1] = float32(math.NaN()) })
			if m.Applied || !m.NonFinite || m.Spike {
				t.Errorf("%s, %s: a step on NaN gives %+v, want one skipped as NonFinite", be.Class(), tr.name, m)
			}
			if !bytes.Equal(before, bytesOf(t, s, 3)) {
				t.Errorf("%s, %s: a step on NaN changed the state", be.Class(), tr.name)
			}
			s.Limit = 1e-6
			if m = tr.take(t, s, 3, nil); m.Applied || m.NonFinite || !m.Spike || !(m.GradNorm > s.Limit) {
				t.Errorf("%s, %s: a step beyond the limit gives %+v, want one skipped as Spike, with a norm above the limit",
					be.Class(), tr.name, m)
			}
			if !bytes.Equal(before, bytesOf(t, s, 3)) {
				t.Errorf("%s, %s: a step beyond the limit changed the state", be.Class(), tr.name)
			}
			s.Limit = m.GradNorm
			whole := tr.new(t, be)
			tr.run(t, whole, 0, 3)
			if got, want := tr.take(t, s, 3, nil), tr.take(t, whole, 3, nil); got != want || !got.Applied {
				t.Errorf("%s, %s: the step after those skipped gives %+v, want %+v", be.Class(), tr.name, got, want)
			}
			if !bytes.Equal(bytesOf(t, s, 4), bytesOf(t, whole, 4)) {
				t.Errorf("%s, %s: skipped steps changed the state after the next step", be.Class(), tr.name)
			}
		}
	}
}

func TestTrainingLowersTheLoss(t *testing.T) {
	be := engines(t)[0]
	for _, tr := range trainees() {
		s := tr.new(t, be)
		frozen := tr
		frozen.fill = func(b *Batch, _ int64) { tr.fill(b, 0) } // the same batch at every step
		first := frozen.run(t, s, 0, 1)
		last := frozen.run(t, s, 1, 150)
		if !(last.Loss < first.Loss) {
			t.Errorf("%s: loss %v at first, %v after 150 steps on one batch, want it to fall", tr.name, first.Loss, last.Loss)
		}
		if last.Rate != adam(1).LearningRate || last.GradNorm <= 0 || (tr.name != "classifier") != (last.FieldRMS > 0) {
			t.Errorf("%s: %+v, want learning rate %v, a positive gradient norm, and a field unless it is the classifier",
				tr.name, last, adam(1).LearningRate)
		}
	}
}

// Dropout masks depend on seed and step.
func TestDropoutMasks(t *testing.T) {
	be := engines(t)[0]
	all := trainees()
	tr := all[slices.IndexFunc(all, func(tr trainee) bool { return tr.name == "unet dropping" })]
	loss := func(seed uint64, step int64) float64 {
		s := tr.new(t, be)
		w := map[string][]float32{}
		for _, p := range s.Params { // random weights, because dropout has no effect where the initial weights are 0
			p.Init = layer.Init{Bound: 0.4}
			w[p.Name] = p.Draw(3)
		}
		load(t, s, w)
		s.Seed = seed
		b := s.NewBatch()
		tr.fill(b, 0)
		m, err := s.Step(step, b)
		if err != nil {
			t.Fatal(err)
		}
		return m.Loss
	}
	first := loss(3, 0)
	if again := loss(3, 0); again != first {
		t.Errorf("one seed and step gave the losses %v and %v, want the same", first, again)
	}
	for _, c := range []struct {
		seed uint64
		step int64
	}{{4, 0}, {3, 1}, {3 + 1<<40, 0}, {3, 1 << 40}} {
		if loss(c.seed, c.step) == first {
			t.Errorf("seed %d, step %d drops the same elements as seed 3, step 0", c.seed, c.step)
		}
	}
}

func TestBuildersRefuse(t *testing.T) {
	be := engines(t)[0]
	points := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 9, Depth: 2}}
	if _, err := Potential(be, points, "hope", adam(4), false); err == nil {
		t.Error("an unknown objective was accepted")
	}
	curved := points
	curved.Schedule = "cosine"
	if _, err := Potential(be, curved, "hybrid", adam(4), false); failure.ClassOf(err) != failure.Usage {
		t.Errorf("the hybrid objective on the cosine schedule: %v, want a usage error", err)
	}
	bad := adam(4)
	bad.Beta1 = 2
	if _, err := Potential(be, points, "matching", bad, false); err == nil {
		t.Error("a bad optimiser was accepted")
	}
	if _, err := Classifier(be, feature.Classifier{}, adam(4)); err == nil {
		t.Error("an empty classifier was accepted")
	}
	points.MLP = nil
	if _, err := Potential(be, points, "matching", adam(4), false); err == nil {
		t.Error("an empty potential was accepted")
	}
}
