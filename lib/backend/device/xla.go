//go:build cgo && linux

package device

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
	"vapo/lib/backend"
)

const haveXLA = true

// memoryFraction is the share of a card's memory that XLA may take. It takes it as it needs it, so that steps of a
// pipeline can share a card.
const memoryFraction = 0.9

// xla is an engine over the first device of a plugin.
type xla struct {
	target
	client *pjrt.Client
	line   string // of Describe
}

var clients struct {
	sync.Mutex
	of map[string]*pjrt.Client // by path
}

// openXLA opens the plugin that t asks for, once a process.
func openXLA(t target) (backend.Backend, error) {
	unavailable := func(err error, hint string) error {
		return &backend.UnavailableError{Class: t.class(), Err: err, Hint: hint}
	}
	path := t.path
	if path == "" {
		if path = find(t.kind); path == "" {
			return nil, missing(t)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, unavailable(err, "")
	}
	client, err := openClient(path)
	if err != nil {
		return nil, unavailable(fmt.Errorf("plugin %s: %w", path, err), hintFor(err))
	}
	x := &xla{target: t, client: client}
	if t.precision == TF32 && client.Platform() != "cuda" {
		return nil, &backend.OptionError{Class: t.class(), Option: string(TF32), Reason: fmt.Sprintf("only CUDA cards have that precision, and the plugin's platform is %s", client.Platform())}
	}
	major, minor := client.Plugin().Version()
	x.line = fmt.Sprintf("%s, %s %s, PJRT %d.%d, %s", t.class(), client.Platform(), client.PlatformVersion(), major, minor, path)
	if d, err := client.AddressableDevices()[0].GetDescription(); err == nil {
		x.line += ", " + d.DebugString()
	}
	if _, driver := cards(); client.Platform() == "cuda" && driver != "" {
		x.line += ", driver " + driver
	}
	return x, nil
}

// missing says that no plugin of a kind was found.
func missing(t target) error {
	hint := `pip install "jax[cuda13]", or point ` + pluginPath + ` at the xla_cuda_plugin.so of such an installation`
	if t.kind == "cpu" {
		hint = "point " + pluginPath + " at a pjrt_c_api_cpu_plugin.so (github.com/gomlx/pjrt-cpu-binaries builds them), or use --backend tape"
	}
	err := fmt.Errorf("no %s plugin was found: not in %s, nor where go-xla's installer or Python's would put it", t.kind, pluginPath)
	return &backend.UnavailableError{Class: t.class(), Err: err, Hint: hint}
}

// openClient loads a plugin and starts it on its devices.
func openClient(path string) (*pjrt.Client, error) {
	clients.Lock()
	defer clients.Unlock()
	if c := clients.of[path]; c != nil {
		return c, nil
	}
	prepare(path)
	if err := compatible(path); err != nil {
		return nil, err
	}
	plugin, err := pjrt.GetPlugin(path)
	if err != nil {
		return nil, err
	}
	var options pjrt.NamedValuesMap
	if cuda(path) {
		options = pjrt.NamedValuesMap{"preallocate": false, "memory_fraction": float32(memoryFraction)}
	}
	client, err := plugin.NewClient(options)
	if err != nil {
		return nil, err
	}
	if client.NumDevices() == 0 {
		return nil, errors.New("it has no devices")
	}
	if clients.of == nil {
		clients.of = map[string]*pjrt.Client{}
	}
	clients.of[path] = client
	return client, nil
}

func cuda(path string) bool { return strings.Contains(strings.ToLower(path), "cuda") }

// prepare sets what a plugin reads from the environment when it is loaded, where the user has not.
func prepare(path string) {
	// What go-xla has to say comes back as errors too, and standard error belongs to the program.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	setDefault := func(name, v string) {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, v) // fails on malformed names only
		}
	}
	setDefault("TF_CPP_MIN_LOG_LEVEL", "3")
	setDefault("GOPJRT_CUDA_CHECKS", "0") // it looks for CUDA's libraries where JAX's wheels do not put them
	if root := cudaRoot(path); root != "" && cuda(path) {
		setDefault("XLA_FLAGS", "--xla_gpu_cuda_data_dir="+root)
	}
}

// hintFor says what to do about a plugin that did not open.
func hintFor(err error) string {
	var old *versionError
	text := err.Error()
	switch {
	case errors.As(err, &old), strings.Contains(text, "Unexpected PJRT_"):
		return fmt.Sprintf("use a plugin of about PJRT %d.%d, the version this program was written for", pjrtMajor, pjrtMinor)
	case strings.Contains(text, "cannot open shared object file"), strings.Contains(text, "library was not found"), strings.Contains(text, "Unable to load"):
		return "its CUDA libraries lie under nvidia/*/lib of the same Python environment: add those folders to LD_LIBRARY_PATH"
	case strings.Contains(text, "RESOURCE_EXHAUSTED"), strings.Contains(text, "code=8"):
		return "another program holds the card's memory (see nvidia-smi)"
	}
	return "see whether the device and its driver work (nvidia-smi for CUDA)"
}

// Class implements backend.Backend.
func (x *xla) Class() string { return x.class() }

// Describe implements backend.Backend.
func (x *xla) Describe() string { return x.line }

// Promises implements backend.Backend: XLA picks its kernels by timing them, so the next process may get others.
func (x *xla) Promises() backend.Promises {
	return backend.Promises{FactorBits: map[Precision]int{TF32: 10, BFloat16: 7}[x.precision]}
}

// Compile implements backend.Backend.
func (x *xla) Compile(g backend.Graph) (backend.Executable, error) {
	return compile(x, g)
}

func (x *xla) build(params []shapes.Shape) (builder, error) {
	return newHLO(params, x.precision, x.load)
}

func (x *xla) load(text []byte) (program, error) {
	exe, err := x.client.Compile().WithStableHLO(text).Done()
	if err != nil {
		return nil, err
	}
	m := exe.OnDeviceMemoryUsageStats
	return &xlaProgram{exe: exe, memory: m.Inputs + m.Outputs - m.Aliases + m.Temporary + m.GeneratedCode}, nil
}

func (x *xla) upload(flat any, shape shapes.Shape) (buffer, error) {
	b, err := x.client.BufferFromHost().FromRawData(dtypes.UnsafeByteSliceFromAny(flat), shape.DType, shape.Dimensions).Done()
	if err != nil {
		return nil, err
	}
	return xlaBuffer{b}, nil
}

// explain implements platform. PJRT's code 8 is RESOURCE_EXHAUSTED.
func (x *xla) explain(err error, by need, total int64) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "PJRT error (code=8)"):
		total = max(total, by.peak())
		e := &backend.MemoryError{Need: total, Device: "the device of " + x.class(), Err: err}
		if smallest := smallestCard(); x.client.Platform() == "cuda" && smallest > 0 {
			e.Have = int64(float64(smallest) * memoryFraction)
			e.Batch = by.fits(max(total, e.Have+1), e.Have)
		}
		return e
	case strings.Contains(text, "Unexpected PJRT_"):
		return &backend.UnavailableError{Class: x.class(), Err: err, Hint: hintFor(err)}
	}
	return fmt.Errorf("backend %s: %w", x.class(), err)
}

type xlaProgram struct {
	exe    *pjrt.LoadedExecutable
	memory int64
}

func (p *xlaProgram) execute(in []buffer, donate []bool) ([]buffer, error) {
	args := make([]*pjrt.Buffer, len(in))
	for i, b := range in {
		args[i] = b.(xlaBuffer).b
	}
	out, err := p.exe.Execute(args...).SetDonate(donate).Done()
	if err != nil {
		return nil, err
	}
	results := make([]buffer, len(out))
	for i, b := range out {
		results[i] = xlaBuffer{b}
	}
	return results, nil
}

func (p *xlaProgram) bytes() int64 { return p.memory }

type xlaBuffer struct{ b *pjrt.Buffer }

func (b xlaBuffer) ToFlatData(flat any) error { return b.b.ToHost(dtypes.UnsafeByteSliceFromAny(flat)) }
func (b xlaBuffer) Finalize() error           { return b.b.Destroy() }
