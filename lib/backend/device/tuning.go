package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/enginename"
	"vapo/lib/failure"
)

// Tuning is the content of a tuning file: which kernels XLA's autotuner chose for some programs. XLA chooses by timing,
// so two processes may choose differently, and their results then differ in the last bits. A process that loads a
// tuning uses its kernels and does not time any.
type Tuning struct {
	Backend  string   `json:"backend"`  // the engine's class
	Using    string   `json:"using"`    // plugin, versions and card, for messages
	Programs []string `json:"programs"` // the SHA-256 of each program's StableHLO, sorted
	Digest   string   `json:"digest"`   // the SHA-256 of Results
	Results  string   `json:"results"`  // XLA's AutotuneResults in protobuf's text format
}

// makeTuning is the hint of errors about a tuning that cannot be used.
const makeTuning = "make one with the stage's tune command, on this machine and with the parameters of this run"

// readTuning reads a tuning file. Its errors have the class failure.Input.
func readTuning(path string) (*Tuning, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, failure.New(failure.Input, "", "tuning: %w", err)
	}
	t, err := parseTuning(data)
	if err != nil {
		return nil, failure.New(failure.Input, makeTuning, "tuning %s: %w", path, err)
	}
	return t, nil
}

func parseTuning(data []byte) (*Tuning, error) {
	var t Tuning
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("it is not a tuning: %w", err)
	}
	switch {
	case dec.More():
		return nil, errors.New("data after the end of the tuning")
	case t.Backend == "" || len(t.Programs) == 0 || t.Results == "":
		return nil, errors.New("it is not a tuning: expected the fields backend, programs and results")
	case hexDigest([]byte(t.Results)) != t.Digest:
		return nil, errors.New("it is damaged: its results do not match the digest that it records")
	}
	return &t, nil
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Tuner makes XLA use the kernels of a tuning, or collects the kernels that XLA chooses. XLA reads its options once, so
// a process has at most one tuner.
type Tuner struct {
	path     string          // the file that XLA reads or writes
	source   string          // the tuning file, for messages
	loaded   *Tuning         // nil while collecting
	programs map[string]bool // the programs seen while collecting
}

// NewTuner returns a tuner that collects choices. XLA writes them to a file in dir.
func NewTuner(dir string) (*Tuner, error) {
	return newTuner(dir, &Tuner{programs: map[string]bool{}})
}

// LoadTuner returns a tuner that loads a tuning file for an engine of the given class. XLA reads a copy of the file's
// results in dir.
func LoadTuner(file, class, dir string) (*Tuner, error) {
	loaded, err := readTuning(file)
	if err != nil {
		return nil, err
	}
	if loaded.Backend != class {
		return nil, failure.New(failure.Input, makeTuning,
			"tuning %s is for the backend %s, but this run uses %s", file, loaded.Backend, class)
	}
	t, err := newTuner(dir, &Tuner{source: file, loaded: loaded})
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(t.path, []byte(loaded.Results), 0o600)
}

func newTuner(dir string, t *Tuner) (*Tuner, error) {
	if strings.ContainsAny(dir, " \t\n'\"\\") { // separators and quotes in XLA_FLAGS
		return nil, failure.New(failure.Resources, "set TMPDIR to a folder whose path contains none of these characters",
			"temporary folder %q: XLA cannot read a path with spaces, quotes or backslashes", dir)
	}
	t.path = filepath.Join(dir, "autotune.textproto") // the extension selects the text format
	return t, nil
}

// flags returns XLA's options for collecting or for loading choices. In both cases, they exclude kernels that sum in a
// varying order.
//
// Note: xla_gpu_deterministic_ops is not used, because it turns the autotuner off and slows programs down. The cache
// folder xla_gpu_per_fusion_autotune_cache_dir is not used either: XLA would silently tune any kernel that the folder
// lacks.
func (t *Tuner) flags() []string {
	common := "--xla_gpu_exclude_nondeterministic_ops=true"
	if t.loaded == nil {
		return []string{common, "--xla_gpu_dump_autotune_results_to=" + t.path}
	}
	return []string{common, "--xla_gpu_load_autotune_results_from=" + t.path,
		"--xla_gpu_require_complete_aot_autotune_results=true"}
}

// repeats reports whether another process that loads the same tuning runs the same kernels.
func (t *Tuner) repeats() bool { return t != nil && t.loaded != nil }

// admit records a program, or returns an error if the loaded tuning is not for it.
func (t *Tuner) admit(text []byte) error {
	digest := hexDigest(text)
	if t.loaded == nil {
		t.programs[digest] = true
		return nil
	}
	if !slices.Contains(t.loaded.Programs, digest) {
		return failure.New(failure.Input, makeTuning,
			"tuning %s is for programs of another run: the parameters, the data's shape or the stage differ", t.source)
	}
	return nil
}

// explain names the tuning in a compilation error if XLA did not find a kernel in it.
func (t *Tuner) explain(err error) error {
	if t.loaded == nil || !strings.Contains(strings.ToLower(err.Error()), "autotun") {
		return err
	}
	return failure.New(failure.Input, makeTuning,
		"tuning %s does not fit this card or this version of XLA (it was made with %s): %w", t.source, t.loaded.Using, err)
}

// Write writes the collected choices of an engine as a tuning file.
func (t *Tuner) Write(w io.Writer, class, using string) error {
	results, err := os.ReadFile(t.path)
	if err == nil && len(results) == 0 {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return fmt.Errorf("backend %s compiled %d programs but recorded no kernel choices: %w", class, len(t.programs), err)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(Tuning{
		Backend: class, Using: using, Programs: slices.Sorted(maps.Keys(t.programs)),
		Digest: hexDigest(results), Results: string(results),
	})
}

// CanTune returns a usage error unless the named engine may run on a CUDA card, the only kind of device that XLA tunes.
func CanTune(name enginename.Name) error {
	if name.Engine == enginename.XLA && (name.Plugin == "cuda" || name.Path != "") {
		return nil
	}
	return cannotTune(name)
}

func cannotTune(name enginename.Name) error {
	reason := "XLA does not tune it"
	if name.Engine == enginename.Tape || name.Engine == enginename.Go {
		reason = "its results repeat to the bit without one"
	}
	return failure.New(failure.Usage, "tunings are for NVIDIA cards only: use --backend xla:cuda",
		"the backend %s cannot use a tuning: %s", name.Class(), reason)
}
