//go:build cgo && linux

package device

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
	"vapo/lib/backend"
	"vapo/lib/enginename"
	"vapo/lib/failure"
)

const haveXLA = true

// memoryFraction is the share of a card's memory that XLA may use. XLA allocates on demand, so that the steps of a
// pipeline can share a card.
const memoryFraction = 0.9

// xla is an engine over the first device of a plugin.
type xla struct {
	name        enginename.Name
	client      *pjrt.Client
	tuner       *Tuner // nil if XLA chooses kernels and its choices are not kept
	description string
}

var clients struct {
	sync.Mutex
	byPath map[string]*pjrt.Client
	tuner  *Tuner // for all clients
}

// OpenXLA opens the plugin that an XLA name selects. A process loads each plugin once. tuner may be nil.
func OpenXLA(name enginename.Name, tuner *Tuner) (backend.Backend, error) {
	unavailable := func(err error, hint string) error {
		return &backend.UnavailableError{Class: name.Class(), Err: err, Hint: hint}
	}
	path := name.Path
	if path == "" {
		if path = enginename.FindPlugin(name.Plugin); path == "" {
			return nil, missing(name)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, unavailable(err, "")
	}
	client, err := openClient(path, tuner)
	if errors.Is(err, errLoaded) {
		return nil, failure.New(failure.Usage, "name the engine instead of auto, as in --backend xla:cuda",
			"plugin %s: %w", path, err)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("plugin %s: %w", path, err), hintFor(path, err))
	}
	platform := client.Platform()
	if name.Precision == enginename.TF32 && platform != "cuda" {
		reason := "only CUDA cards support that precision, but the plugin's platform is " + platform
		return nil, enginename.NoOption(name.Class(), string(name.Precision), reason)
	}
	if tuner != nil && platform != "cuda" {
		return nil, cannotTune(name)
	}
	major, minor := client.Plugin().Version()
	x := &xla{name: name, client: client, tuner: tuner}
	x.description = fmt.Sprintf("%s, %s %s, PJRT %d.%d, %s",
		name.Class(), platform, client.PlatformVersion(), major, minor, path)
	if d, err := client.AddressableDevices()[0].GetDescription(); err == nil {
		x.description += ", " + d.DebugString()
	}
	if _, driver := cards(); platform == "cuda" && driver != "" {
		x.description += ", driver " + driver
	}
	return x, nil
}

// missing returns the error for a plugin that FindPlugin did not find.
func missing(name enginename.Name) error {
	const variable = enginename.PluginPath
	hint := `pip install "jax[cuda13]", or point ` + variable + ` at the xla_cuda_plugin.so of such an installation`
	if name.Plugin == "cpu" {
		hint = "point " + variable + " at a pjrt_c_api_cpu_plugin.so " +
			"(github.com/gomlx/pjrt-cpu-binaries builds them), or use --backend tape"
	}
	err := fmt.Errorf("no %s plugin was found in %s or in the folders where go-xla and Python packages install plugins",
		name.Plugin, variable)
	return &backend.UnavailableError{Class: name.Class(), Err: err, Hint: hint}
}

// errLoaded reports that XLA read its options before all of them were known.
var errLoaded = errors.New("XLA has read its options, which it does only once, before this run's tuning was known")

// openClient returns the client of the plugin at path. In the first call for a path, it loads the plugin and starts it
// on its devices. It returns errLoaded if an earlier call had another tuner.
func openClient(path string, tuner *Tuner) (*pjrt.Client, error) {
	clients.Lock()
	defer clients.Unlock()
	if len(clients.byPath) > 0 && clients.tuner != tuner {
		return nil, errLoaded
	}
	if c := clients.byPath[path]; c != nil {
		return c, nil
	}
	prepare(path, tuner)
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
	if clients.byPath == nil {
		clients.byPath = map[string]*pjrt.Client{}
	}
	clients.tuner = tuner
	clients.byPath[path] = client
	return client, nil
}

func cuda(path string) bool { return strings.Contains(strings.ToLower(path), "cuda") }

// prepare sets the environment variables that a plugin reads when it is loaded, unless the user has set them. The flags
// of a tuner are added to those of the user.
//
// Note: go-xla can also pass options with every compilation, from the variable XLA_DEBUG_OPTIONS. They would replace
// all of XLA's options, so every option that they do not set would lose its default. go-xla cannot pass single options.
func prepare(path string, tuner *Tuner) {
	// Discard go-xla's log: go-xla also returns the errors that it logs, and standard error belongs to the program.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	setDefault := func(name, v string) {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, v) // fails on malformed names only
		}
	}
	setDefault("TF_CPP_MIN_LOG_LEVEL", "3")
	setDefault("GOPJRT_CUDA_CHECKS", "0") // the checks do not look for CUDA's libraries in JAX's wheels
	if root := cudaRoot(path); root != "" && cuda(path) {
		setDefault("XLA_FLAGS", "--xla_gpu_cuda_data_dir="+root)
	}
	if tuner != nil {
		flags := append(strings.Fields(os.Getenv("XLA_FLAGS")), tuner.flags()...)
		_ = os.Setenv("XLA_FLAGS", strings.Join(flags, " "))
	}
}

// hintFor returns what to do about an error of the plugin at path.
func hintFor(path string, err error) string {
	var old *versionError
	mentions := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) })
	}
	switch {
	case errors.As(err, &old), mentions("Unexpected PJRT_"):
		return fmt.Sprintf("use a plugin of about PJRT %d.%d, the version that this program supports", pjrtMajor, pjrtMinor)
	case mentions(path + ": cannot open shared object file"):
		return "check the path of the plugin"
	case mentions("not an XLA plugin", "no table of functions", "invalid ELF header", "file too short"):
		return "name a file that is a PJRT plugin, such as xla_cuda_plugin.so"
	case mentions("cannot open shared object file", "library was not found", "Unable to load"):
		return "the plugin's CUDA libraries are in nvidia/*/lib of the same Python environment: " +
			"add those folders to LD_LIBRARY_PATH"
	case mentions("RESOURCE_EXHAUSTED", "code=8"):
		return "another program occupies the card's memory: end it or wait for its end (nvidia-smi lists the programs)"
	}
	return "check that the device and its driver work (nvidia-smi for CUDA)"
}

// Class implements backend.Backend.
func (x *xla) Class() string { return x.name.Class() }

// Describe implements backend.Backend.
func (x *xla) Describe() string { return x.description }

// Promises implements backend.Backend. XLA chooses kernels by timing them, so another process may use other kernels
// unless both load the same tuning.
func (x *xla) Promises() backend.Promises {
	return backend.Promises{Repeats: x.tuner.repeats(), FactorBits: factorBits[x.name.Precision]}
}

// Memory implements backend.Backend. The plugin chooses the card, so the smallest one counts.
func (x *xla) Memory() int64 {
	if x.client.Platform() != "cuda" {
		return 0
	}
	return int64(float64(smallestCard()) * memoryFraction)
}

// Compile implements backend.Backend.
func (x *xla) Compile(g backend.Graph) (backend.Executable, error) {
	return compile(x, g, x.name.Precision == enginename.BFloat16)
}

func (x *xla) build(params []shapes.Shape) (builder, error) {
	return newHLO(params, x.name.Precision, x.load)
}

func (x *xla) load(text []byte) (program, error) {
	if x.tuner != nil {
		if err := x.tuner.admit(text); err != nil {
			return nil, err
		}
	}
	exe, err := x.client.Compile().WithStableHLO(text).Done()
	if err != nil && x.tuner != nil {
		err = x.tuner.explain(err)
	}
	if err != nil {
		return nil, err
	}
	m := exe.OnDeviceMemoryUsageStats
	return &xlaProgram{exe: exe, memory: m.Inputs + m.Outputs - m.Aliases + m.Temporary + m.GeneratedCode}, nil
}

func (x *xla) upload(flat any, shape shapes.Shape) (buffer, error) {
	bytes := dtypes.UnsafeByteSliceFromAny(flat)
	b, err := x.client.BufferFromHost().FromRawData(bytes, shape.DType, shape.Dimensions).Done()
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
		e := &backend.MemoryError{Need: total, Device: "the device of " + x.name.Class(), Err: err}
		if e.Have = x.Memory(); e.Have > 0 {
			e.Batch = by.fits(max(total, e.Have+1), e.Have)
		}
		return e
	case strings.Contains(text, "Unexpected PJRT_"):
		return &backend.UnavailableError{Class: x.name.Class(), Err: err, Hint: hintFor("", err)}
	}
	return fmt.Errorf("backend %s: %w", x.name.Class(), err)
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
