package training

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vapo/lib/backend/tape"
	"vapo/lib/enginename"
)

// make bench BASE=… also runs the test binary of an older commit. Both binaries must agree on these environment
// variables and on benchReport, so their names and meanings must not change.
const (
	childCase  = "VAPO_BENCH_CASE"  // the case that the test binary times instead of testing
	childClass = "VAPO_BENCH_CLASS" // the engine that it uses
	childCPU   = "VAPO_BENCH_CPU"   // the file that it writes a CPU profile to
)

// peakCase is a pseudo-case that times the inner loop of matrix products.
const peakCase = "peak"

// benchReport is the report of a timed process, which runs this repository's code or PyTorch. Each line of the
// process's output is a JSON object with some of the fields.
type benchReport struct {
	Error      string  `json:"error,omitempty"`
	Parameters int     `json:"parameters,omitempty"`
	FLOPs      float64 `json:"flops,omitempty"`  // of products and convolutions in a step; for peakCase, per second
	Millis     float64 `json:"ms,omitempty"`     // median time of the steps of one turn
	CPU        float64 `json:"cpu_ms,omitempty"` // mean processor time of a step of the turn, over all threads
	Steps      int     `json:"steps,omitempty"`
	PeakMB     float64 `json:"peak_mb,omitempty"` // peak memory of the process, in 2^20 bytes
	BaseMB     float64 `json:"base_mb,omitempty"` // peak memory before the network was built
	Value      float64 `json:"value,omitempty"`   // the loss, or the mean of Phi or of the features
	Norm       float64 `json:"norm,omitempty"`    // norm of the gradient or of the features
}

// TestMain lets the test binary run as a separate process that times a case.
func TestMain(m *testing.M) {
	name := os.Getenv(childCase)
	if name == "" {
		os.Exit(m.Run())
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	run := func() error { return benchChild(name, os.Getenv(childClass), in, out) }
	if name == peakCase {
		run = func() error { return peakChild(in, out) }
	}
	if err := run(); err != nil {
		if err := out.Encode(benchReport{Error: err.Error()}); err != nil {
			panic(err)
		}
	}
}

// peakChild reads durations in seconds. After each it runs the inner loop of products for that time and reports the
// rate.
func peakChild(in *bufio.Scanner, out *json.Encoder) error {
	err := out.Encode(benchReport{})
	for err == nil && in.Scan() {
		var seconds float64
		if seconds, err = strconv.ParseFloat(in.Text(), 64); err == nil {
			err = out.Encode(benchReport{FLOPs: peakRate(time.Duration(seconds * float64(time.Second)))})
		}
	}
	if err != nil {
		return err
	}
	return out.Encode(benchReport{})
}

// benchChild compiles a case and answers the lines of in. For a number it times steps for that many seconds. For
// "check" it reports the values that "torch_speed.py check" prints.
func benchChild(name, class string, in *bufio.Scanner, out *json.Encoder) error {
	base := peakMB()
	i := slices.IndexFunc(benchCases, func(c benchCase) bool { return c.name == name })
	if i < 0 {
		return fmt.Errorf("no case %q", name)
	}
	if class != enginename.Tape {
		return fmt.Errorf("no engine %q", class)
	}
	counter := &flopCounter{Backend: tape.Tape{}}
	r, err := benchCases[i].open(counter)
	if err != nil {
		return err
	}
	if err := out.Encode(benchReport{Parameters: r.parameters(counter), FLOPs: counter.total}); err != nil {
		return err
	}
	if err := r.initialise(); err != nil {
		return err
	}
	warm := false
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

// time takes steps for the given number of seconds, but at least three steps, and reports the median time.
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

// peakMB returns the peak memory of this process so far, as counted by the kernel, or 0 if there is no /proc.
//
// Note: getrusage is not used, because the peak that it reports includes the parent's memory, even after exec.
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

// ticks is the number of the kernel's units of processor time per second, on every platform on which Go runs under
// Linux.
const ticks = 100

// cpuSeconds returns the processor time of this process so far, or 0 if there is no /proc.
func cpuSeconds() float64 {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the process name before ") " may contain any character
	return sumFields(strings.Fields(rest), 11, 13) / ticks
}

func sumFields(f []string, from, to int) (sum float64) {
	for _, v := range f[min(from, len(f)):min(to, len(f))] {
		x, _ := strconv.ParseFloat(v, 64)
		sum += x
	}
	return sum
}
