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

	"vapo/lib/backend"
)

// make bench BASE=… relies on these environment variables and on benchReport in an older commit's test binary, so their
// names and meanings stay.
const (
	childCase  = "VAPO_BENCH_CASE"  // makes a test binary time this case instead of testing
	childClass = "VAPO_BENCH_CLASS" // on this engine
	childCPU   = "VAPO_BENCH_CPU"   // and write a profile to this file
)

// peakCase stands for the inner loop of products instead of a case.
const peakCase = "peak"

// benchReport is the report of a timed process, ours or PyTorch's; each line of its output holds some of it.
type benchReport struct {
	Error      string  `json:"error,omitempty"`
	Parameters int     `json:"parameters,omitempty"`
	FLOPs      float64 `json:"flops,omitempty"`  // of convolutions and matrix products in one step; of peakCase, a second
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

// peakChild reads numbers of seconds and answers each with the rate that the inner loop of products reached meanwhile.
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

// benchChild compiles a case and reads from standard input: a number of seconds to time steps for, or "check" for the
// values that torch_speed.py check prints.
func benchChild(name, class string, in *bufio.Scanner, out *json.Encoder) error {
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

// peakMB is the largest memory of this process so far, as the kernel counts it; 0 where there is no /proc.
//
// Note: getrusage reports for a child of a large process its parent's peak, which exec passes on.
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

func sumFields(f []string, from, to int) (sum float64) {
	for _, v := range f[min(from, len(f)):min(to, len(f))] {
		x, _ := strconv.ParseFloat(v, 64)
		sum += x
	}
	return sum
}
