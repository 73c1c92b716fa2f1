package training

import (
	"encoding/json"
	"math"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/feature"
	"vapo/lib/feature/featuretest"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// benchCase is one row of the comparison with PyTorch. testdata/torch_speed.py has a case of the same name.
type benchCase struct {
	name      string
	config    string // JSON of a potential.Config
	objective string // of a training step; "field": Phi and grad Phi; "features": Inception's features
	batch     int
}

const (
	benchMLP = `{"kind":"mlp","shape":[2],"schedule":"linear","prior_std":1,
		"mlp":{"width":128,"depth":3,"fourier":4}}`
	benchDemo = `{"kind":"unet","shape":[1,28,28],"schedule":"linear","prior_std":1,
		"unet":{"channels":16,"mult":[1,2,2],"res_blocks":1,"groups":8}}`
	benchWRN = `{"kind":"wrn","shape":[3,32,32],"schedule":"linear","prior_std":1,
		"wrn":{"depth":10,"width":4,"time":true}}`
	benchUNet = `{"kind":"unet","shape":[3,32,32],"schedule":"linear","prior_std":1,
		"unet":{"channels":32,"mult":[2,2,2],"res_blocks":4,"groups":32,"attention":[2]}}`
)

var benchCases = []benchCase{
	{"mlp-matching", benchMLP, "matching", 512},
	{"mlp-energy", benchMLP, "energy", 512},
	{"demo", benchDemo, "matching", 64},
	{"wrn-10-4", benchWRN, "matching", 16},
	{"unet-32", benchUNet, "matching", 8},
	{"field-demo", benchDemo, "field", 64},
	{"field-unet-32", benchUNet, "field", 64},
	{"inception", "", "features", 16},
}

// benchRun is an opened case.
type benchRun struct {
	c          benchCase
	config     potential.Config
	params     []layer.Param
	step       *Trainer // one of step, field and inception is set
	batch      *Batch
	field      *potential.Field
	inception  *feature.Network
	images     *dataset.Images
	features   []float32
	x, t, grad []float32
	phi        []float32
	count      int64
}

// parameters returns the number of parameters of the network that counter has compiled. For Inception, only the weights
// of the convolutions can be compared, because batch normalisation is folded into them.
func (r *benchRun) parameters(counter *flopCounter) int {
	if r.inception != nil {
		return counter.weights
	}
	return layer.Count(r.params)
}

func (c benchCase) open(be backend.Backend) (*benchRun, error) {
	if c.objective == "features" {
		weights, err := featuretest.ReadWeights("../feature/testdata/inception_shapes.json")
		if err != nil {
			return nil, err
		}
		r := &benchRun{c: c, features: make([]float32, c.batch*2048)}
		r.images = &dataset.Images{N: c.batch, C: 3, H: 32, W: 32, Pixels: make([]uint8, c.batch*3*32*32)}
		for i := range r.images.Pixels {
			r.images.Pixels[i] = uint8((i*37 + i/11*5 + i/300) % 256)
		}
		r.inception, err = feature.NewInception(be, weights, feature.Options{Tap: 2048, Resize: feature.PyTorchFID})
		return r, err
	}
	config, err := potential.ParseConfig(json.RawMessage(c.config))
	if err != nil {
		return nil, err
	}
	r := &benchRun{c: c, config: config}
	if c.objective != "field" {
		if r.step, err = Potential(be, config, c.objective, adam(c.batch), false); err != nil {
			return nil, err
		}
		r.params = r.step.Params
		return r, nil
	}
	if r.params, err = config.Parameters(); err != nil {
		return nil, err
	}
	initial := map[string][]float32{}
	for _, p := range r.params {
		initial[p.Name] = p.Draw(1)
	}
	if r.field, err = potential.NewField(be, config, initial, c.batch); err != nil {
		return nil, err
	}
	d := config.Dim()
	r.x, r.grad = make([]float32, c.batch*d), make([]float32, c.batch*d)
	r.t, r.phi = make([]float32, c.batch), make([]float32, c.batch)
	return r, nil
}

// initialise draws weights and a batch.
func (r *benchRun) initialise() error {
	if r.inception != nil {
		return nil
	}
	if r.step != nil {
		r.batch = r.step.NewBatch()
		fill(r.batch, r.config, 0)
		return r.step.Initialise(1)
	}
	random.New(1, "bench", 0).Normal(r.x)
	for i := range r.t {
		r.t[i] = 0.5
	}
	return nil
}

// once takes one training step, or evaluates the field or the features once.
func (r *benchRun) once() (Metrics, error) {
	if r.inception != nil {
		return Metrics{}, r.inception.Features(feature.Of(r.images), 0, r.images.N, r.features)
	}
	if r.field != nil {
		return Metrics{}, r.field.Eval(r.x, r.t, r.phi, r.grad)
	}
	m, err := r.step.Step(r.count, r.batch)
	r.count++
	return m, err
}

// check evaluates the case on the weights and the batch of "torch_speed.py check". It returns the loss and the gradient
// norm, or the mean of Phi and the norm of grad Phi, or the mean and the norm of the features. For a training step it
// also takes the step, which changes the weights.
func (r *benchRun) check() (value, norm float64, err error) {
	if r.inception != nil {
		if _, err := r.once(); err != nil {
			return 0, 0, err
		}
		for _, v := range r.features {
			value += float64(v) / float64(len(r.features))
			norm += float64(v) * float64(v)
		}
		return value, math.Sqrt(norm), nil
	}
	w, d := weights(r.params), r.config.Dim()
	times := make([]float64, r.c.batch)
	for i := range times {
		times[i] = float64(0.5 + 0.4*wave(70, i))
	}
	if r.field != nil {
		if err := r.field.Load(w); err != nil {
			return 0, 0, err
		}
		for i := range r.x {
			r.x[i] = wave(50, i)
		}
		for i := range r.t {
			r.t[i] = float32(times[i])
		}
		if _, err := r.once(); err != nil {
			return 0, 0, err
		}
		for _, v := range r.phi {
			value += float64(v) / float64(len(r.phi))
		}
		for _, v := range r.grad {
			norm += float64(v) * float64(v)
		}
		return value, math.Sqrt(norm), nil
	}
	for _, p := range r.params {
		if err := r.step.exe.Load(checkpoint.Param+p.Name, backend.F32(w[p.Name])); err != nil {
			return 0, 0, err
		}
	}
	path, err := r.config.Path()
	if err != nil {
		return 0, 0, err
	}
	path = homotopy.ForObjective(path, r.c.objective)
	for i, t := range times {
		r.batch.SetTime(i, path, t)
	}
	for i := range r.c.batch * d {
		r.batch.X[i], r.batch.Noise[i] = wave(50, i), 1.5*wave(60, i)
	}
	m, err := r.once()
	return m.Loss, m.GradNorm, err
}
