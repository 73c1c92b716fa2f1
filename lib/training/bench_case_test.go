package training

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/draw"
	"vapo/lib/feature"
	"vapo/lib/feature/featuretest"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// benchCase is a row of the comparison with PyTorch; testdata/torch_speed.py has the same by name.
type benchCase struct {
	name      string
	config    string // JSON of a potential.Config
	objective string // of a training step, "field" for Phi and grad Phi, or "features" for those of Inception
	batch     int
}

const (
	benchMLP   = `{"kind":"mlp","shape":[2],"schedule":"linear","prior_std":1,"mlp":{"width":128,"depth":3,"fourier":4}}`
	benchDemo  = `{"kind":"unet","shape":[1,28,28],"schedule":"linear","prior_std":1,"unet":{"channels":16,"mult":[1,2,2],"res_blocks":1,"groups":8}}`
	benchWRN   = `{"kind":"wrn","shape":[3,32,32],"schedule":"linear","prior_std":1,"wrn":{"depth":10,"width":4,"time":true}}`
	benchUNet  = `{"kind":"unet","shape":[3,32,32],"schedule":"linear","prior_std":1,"unet":{"channels":32,"mult":[2,2,2],"res_blocks":4,"groups":32,"attention":[2]}}`
	childCase  = "VAPO_BENCH_CASE"  // makes a test binary time this case instead of testing
	childClass = "VAPO_BENCH_CLASS" // on this engine
	childCPU   = "VAPO_BENCH_CPU"   // and write a profile to this file
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

// benchReport is what a timed process says, ours and PyTorch's alike; each line of its output holds some of it.
type benchReport struct {
	Error      string  `json:"error,omitempty"`
	Parameters int     `json:"parameters,omitempty"`
	FLOPs      float64 `json:"flops,omitempty"`  // of convolutions and matrix products in one step
	Millis     float64 `json:"ms,omitempty"`     // median of the steps of one turn
	CPU        float64 `json:"cpu_ms,omitempty"` // processor time of a step of that turn, all threads, on average
	Steps      int     `json:"steps,omitempty"`
	PeakMB     float64 `json:"peak_mb,omitempty"` // of the whole process, 2^20 bytes
	BaseMB     float64 `json:"base_mb,omitempty"` // of the process before it knew the network
	Value      float64 `json:"value,omitempty"`   // loss, or mean of Phi
	Norm       float64 `json:"norm,omitempty"`    // of the gradient
}

// TestMain lets the test binary be a timed process of its own.
func TestMain(m *testing.M) {
	name := os.Getenv(childCase)
	if name == "" {
		os.Exit(m.Run())
	}
	out := json.NewEncoder(os.Stdout)
	if err := benchChild(name, os.Getenv(childClass), out); err != nil {
		if err := out.Encode(benchReport{Error: err.Error()}); err != nil {
			panic(err)
		}
	}
}

// benchChild compiles a case and reads from standard input: a number of seconds to time steps for, or "check" for the
// values that torch_speed.py check prints.
func benchChild(name, class string, out *json.Encoder) error {
	base := peakMB()
	i := slices.IndexFunc(benchCases, func(c benchCase) bool { return c.name == name })
	if i < 0 {
		return fmt.Errorf("no case %q", name)
	}
	be, err := backend.Open(class)
	if err != nil {
		return err
	}
	counter := &flopCounter{Backend: be}
	r, err := benchCases[i].open(counter)
	if err != nil {
		return err
	}
	if err := out.Encode(benchReport{Parameters: r.parameters(), FLOPs: counter.total}); err != nil {
		return err
	}
	if err := r.initialise(); err != nil {
		return err
	}
	warm := false
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "check" {
			v, norm, err := r.check()
			if err != nil {
				return err
			}
			if err := out.Encode(benchReport{Value: v, Norm: norm}); err != nil {
				return err
			}
			continue
		}
		seconds, err := strconv.ParseFloat(in.Text(), 64)
		if err != nil {
			return err
		}
		if !warm {
			warm = true
			if _, err := r.time(0.5); err != nil {
				return err
			}
			if file := os.Getenv(childCPU); file != "" {
				f, err := os.Create(file)
				if err != nil {
					return err
				}
				if err := pprof.StartCPUProfile(f); err != nil {
					return err
				}
			}
		}
		rep, err := r.time(seconds)
		if err != nil {
			return err
		}
		if err := out.Encode(rep); err != nil {
			return err
		}
	}
	pprof.StopCPUProfile()
	return out.Encode(benchReport{PeakMB: peakMB(), BaseMB: base})
}

// benchRun is an opened case.
type benchRun struct {
	c          benchCase
	config     potential.Config
	params     []layer.Param
	step       *Step // one of these three
	field      *potential.Field
	inception  *feature.InceptionNetwork
	images     *dataset.Images
	features   []float32
	x, t, grad []float32
	phi        []float32
	count      int64
}

func (r *benchRun) parameters() int {
	if r.inception != nil {
		return r.inception.Weights
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
		if r.step, err = Potential(be, config, c.objective, adam(c.batch), c.batch); err != nil {
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
		fill(r.step, r.config, r.c.batch, 0)
		return r.step.Initialise(1)
	}
	draw.New(1, "bench", 0).Normal(r.x)
	for i := range r.t {
		r.t[i] = 0.5
	}
	return nil
}

// once takes a step, or evaluates the field.
func (r *benchRun) once() (Metrics, error) {
	if r.inception != nil {
		return Metrics{}, r.inception.Features(feature.Of(r.images), 0, r.images.N, r.features)
	}
	if r.field != nil {
		return Metrics{}, r.field.Eval(r.x, r.t, r.phi, r.grad)
	}
	m, err := r.step.Run(r.count)
	r.count++
	return m, err
}

// time takes steps for so many seconds, three at least, and reports the median.
func (r *benchRun) time(seconds float64) (benchReport, error) {
	var took []float64
	cpu := cpuSeconds()
	for begin := time.Now(); len(took) < 3 || time.Since(begin).Seconds() < seconds; {
		start := time.Now()
		if _, err := r.once(); err != nil {
			return benchReport{}, err
		}
		took = append(took, 1e3*time.Since(start).Seconds())
	}
	n := len(took)
	return benchReport{Millis: median(took), CPU: 1e3 * (cpuSeconds() - cpu) / float64(n), Steps: n}, nil
}

// check evaluates the weights and the batch of torch_speed.py check: loss and gradient norm, or mean Phi and the norm
// of its gradient. The state of a training step is then those weights, stepped once.
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
		if err := r.step.exe.Load(optim.Param+p.Name, backend.F32(w[p.Name])); err != nil {
			return 0, 0, err
		}
	}
	path, err := r.config.Path()
	if err != nil {
		return 0, 0, err
	}
	var columns [homotopy.Columns][]float32
	copy(columns[:], r.step.Batch[BatchTimes:])
	path = homotopy.ForObjective(path, r.c.objective)
	for i, t := range times {
		homotopy.Fill(path, t, i, &columns)
	}
	for i := range r.c.batch * d {
		r.step.Batch[BatchX][i], r.step.Batch[BatchNoise][i] = wave(50, i), 1.5*wave(60, i)
	}
	m, err := r.once()
	return m.Loss, m.GradNorm, err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// peakMB is the largest memory of this process so far, as the kernel counts it; 0 where there is no /proc.
//
// Note: getrusage gives a child of a large process its parent's peak, which exec hands on.
func peakMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	v, err := strconv.ParseFloat(kb, 64)
	if err != nil {
		return 0
	}
	return v / 1024
}

// ticks is the kernel's unit of processor time, a hundredth of a second wherever Linux runs Go.
const ticks = 100

// cpuSeconds is the processor time of this process so far; 0 where there is no /proc.
func cpuSeconds() float64 {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	return sumFields(strings.Fields(rest), 11, 13) / ticks
}

// machineSeconds is the processor time that all processes have taken, and what other machines on the host took from
// this one.
func machineSeconds() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(line)
	return (sumFields(f, 1, 4) + sumFields(f, 6, 9)) / ticks // without idle and waiting
}

func sumFields(f []string, from, to int) (sum float64) {
	for _, v := range f[min(from, len(f)):min(to, len(f))] {
		x, _ := strconv.ParseFloat(v, 64)
		sum += x
	}
	return sum
}
