// Package enginename defines all names of the compute engines: the values of --backend and the classes that results
// record. It links no engine, so the runner can use these names without the code of the engines.
package enginename

import (
	"fmt"
	"path"
	"strings"

	"vapo/lib/failure"
)

// The engines. Tape and Go are also the classes that results record.
const (
	Auto = "auto"       // this machine's best engine; replaced by that engine's class before a run is keyed or started
	Tape = "tape"       // the CPU
	Go   = "compute-go" // gomlx/compute's Go backend, "go" on the command line
	XLA  = "xla"        // a PJRT plugin of XLA
)

// Names describes the names that Parse accepts, for help texts and errors.
const Names = "auto (a CUDA card, else tape), tape (the CPU), go, " +
	"xla:cuda, xla:cuda,tf32, xla:cuda,bf16, xla:cpu or xla:/path/to/plugin.so"

// Precision is the precision to which float32 matrix products and convolutions round their factors. With BFloat16, the
// values of a batch are also kept in bfloat16 between operations. Sums are always float32. Float64 graphs keep full
// precision.
type Precision string

// The precisions, with the number of mantissa bits that factors keep.
const (
	Float32  Precision = "float32" // 23
	TF32     Precision = "tf32"    // 10, CUDA cards only
	BFloat16 Precision = "bf16"    // 7
)

// suffixes maps each precision other than Float32 to the suffix of its classes.
var suffixes = map[Precision]string{TF32: "-tf32", BFloat16: "-bfloat16"}

// Name is a parsed engine name. All fields but Engine apply to XLA only.
type Name struct {
	Engine    string // Auto, Tape, Go or XLA
	Plugin    string // cuda, cpu, or the base name of Path without its extension
	Path      string // the plugin's file, if the name gives one
	Precision Precision
}

// Parse parses "auto", "tape", "go", or "xla:" followed by cuda, cpu or the path of a plugin and, optionally, a comma
// and a precision. It also parses recorded classes, except the class of a plugin given by its path, because the class
// does not contain the path. Errors have the class failure.Usage.
func Parse(name string) (Name, error) {
	engine, option, hasOption := strings.Cut(name, ",")
	if engine == "go" {
		engine = Go
	}
	if engine == Auto || engine == Tape || engine == Go {
		if hasOption {
			return Name{}, NoOption(engine, option, "only the xla engines have options")
		}
		return Name{Engine: engine}, nil
	}
	n := Name{Engine: XLA, Precision: Float32}
	if rest, ok := strings.CutPrefix(name, "xla:"); ok {
		n.parsePlugin(rest)
	} else if n.Plugin, ok = strings.CutPrefix(name, "xla-"); ok {
		for p, suffix := range suffixes {
			if base, found := strings.CutSuffix(n.Plugin, suffix); found {
				n.Plugin, n.Precision = base, p
			}
		}
	}
	if n.Path == "" && n.Plugin != "cuda" && n.Plugin != "cpu" {
		return Name{}, unknown(name)
	}
	return n, n.check()
}

// parsePlugin parses what follows "xla:". A comma starts the precision only if no slash follows it: a folder's name may
// contain commas.
func (n *Name) parsePlugin(s string) {
	if i := strings.LastIndex(s, ","); i > strings.LastIndex(s, "/") {
		s, n.Precision = s[:i], Precision(s[i+1:])
	}
	n.Plugin = s
	if strings.Contains(s, "/") {
		n.Path = s
		base := path.Base(path.Clean(s))
		n.Plugin = strings.TrimSuffix(base, path.Ext(base))
	}
}

func (n Name) check() error {
	reason := ""
	switch {
	case n.Precision == TF32 && n.Plugin == "cpu":
		reason = "only CUDA cards support that precision"
	case n.Precision != Float32 && n.Precision != TF32 && n.Precision != BFloat16:
		reason = "expected float32, tf32 or bf16"
	default:
		return nil
	}
	return NoOption("xla-"+n.Plugin, string(n.Precision), reason)
}

// Class returns the name that results record. Names whose results may differ in any bit have different classes. The
// folder of a plugin does not change the results, so the class does not contain it: "xla:/opt/plugin.so,bf16" has the
// class "xla-plugin-bfloat16".
func (n Name) Class() string {
	if n.Engine != XLA {
		return n.Engine
	}
	return "xla-" + n.Plugin + suffixes[n.Precision]
}

// String returns the normal form of the name, which Parse accepts: the class, except that a plugin named by its path
// keeps the path.
func (n Name) String() string {
	switch {
	case n.Path == "":
		return n.Class()
	case n.Precision == Float32:
		return "xla:" + n.Path
	}
	return fmt.Sprintf("xla:%s,%s", n.Path, n.Precision)
}

// unknown returns the error for a name that no engine has.
func unknown(name string) error {
	return failure.New(failure.Usage, "", "backend %q is not known: expected %s", name, Names)
}

// NoOption returns the error for an option that an engine does not have.
func NoOption(class, option, reason string) error {
	return failure.New(failure.Usage, "", "backend %s has no option %q: %s", class, option, reason)
}
