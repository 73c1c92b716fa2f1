package training

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"vapo/lib/blas"
	"vapo/lib/microkernel"
)

var (
	withTorch    = flag.Bool("torch", false, "time training steps beside python3-torch (see make bench)")
	torchCases   = flag.String("torch-cases", "", "only the cases with one of these comma-separated names")
	torchEngines = flag.String("torch-engines", "tape-openblas,tape-go", "engines to time")
	torchRounds  = flag.Int("torch-rounds", 5, "turns that everybody gets")
	torchSeconds = flag.Float64("torch-seconds", 2, "of one turn")
	torchThreads = flag.Int("torch-threads", 2, "threads of each side")
	torchCPU     = flag.Bool("torch-cpu", false, "compare processor time with one thread each, which a busy machine hardly changes")
	torchProfile = flag.String("torch-profile", "", "write CPU profiles to PREFIX-ENGINE-CASE and say where the time goes")
)

const python = "/usr/bin/python3" // where Debian's packages are

// timed is a process that times one case when told to, and waits otherwise.
type timed struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	first benchReport
	ms    []float64
	busy  float64 // the largest share of the machine that others took in a turn
}

func startTimed(cmd *exec.Cmd) (*timed, error) {
	cmd.Stderr = os.Stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	for _, name := range []string{"GOMAXPROCS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", name, *torchThreads))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &timed{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	p.first, err = p.read()
	return p, err
}

func (p *timed) read() (r benchReport, err error) {
	if !p.out.Scan() {
		return r, fmt.Errorf("%s ended without an answer: %v", p.cmd, p.cmd.Wait())
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("%s answered %q: %w", p.cmd, p.out.Text(), err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s", r.Error)
	}
	return r, nil
}

func (p *timed) ask(what any) (benchReport, error) {
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		return benchReport{}, err
	}
	return p.read()
}

// quiet is the share of the machine that others may take during a turn: threads that wait for each other at every
// operation lose far more than what is taken from one of them.
const quiet = 0.04

// turn times steps for some seconds. A turn during which others used the machine is repeated, a few times.
func (p *timed) turn(t *testing.T) float64 {
	for attempt := 0; ; attempt++ {
		start, before := time.Now(), machineSeconds()
		r, err := p.ask(*torchSeconds)
		if err != nil {
			t.Fatal(err)
		}
		wall := time.Since(start).Seconds()
		others := (machineSeconds() - before - r.CPU*float64(r.Steps)/1e3) / (wall * float64(runtime.NumCPU()))
		if others > quiet && attempt < 4 && !*torchCPU {
			continue
		}
		p.busy = max(p.busy, others)
		ms := r.Millis
		if *torchCPU {
			ms = r.CPU
		}
		p.ms = append(p.ms, ms)
		return ms
	}
}

// end closes the process and returns what memory it took.
func (p *timed) end(t *testing.T) benchReport {
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := p.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return r
}

func startOurs(name, class string) (*timed, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childCase+"="+name, childClass+"="+class)
	if *torchProfile != "" {
		cmd.Env = append(cmd.Env, childCPU+"="+profileOf(class, name))
	}
	return startTimed(cmd)
}

func profileOf(class, name string) string { return *torchProfile + "-" + class + "-" + name }

// torch tells whether python3-torch is here, and its version.
func torch() (version string, ok bool) {
	out, err := exec.Command(python, "-c", "import torch; print(torch.__version__)").Output()
	return strings.TrimSpace(string(out)), err == nil
}

func wanted(name string) bool {
	return *torchCases == "" || strings.Contains(","+*torchCases+",", ","+name+",")
}

// TestAgainstTorch prints a row a case and engine: the time of a step here and in PyTorch, the memory of the two
// processes, and the ratios, PyTorch's over ours. Turns alternate, so that what else the machine does meets all alike;
// a time is the median over the turns of each turn's median, a ratio the median of the ratios within a round.
// It asserts nothing about time: machines are noisy.
func TestAgainstTorch(t *testing.T) {
	if !*withTorch {
		return // a measurement, asked for by make bench
	}
	lib, err := blas.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	peak := peakRate(lib, time.Second)
	version, torchHere := torch()
	if torchHere {
		fmt.Printf("PyTorch %s; ", version)
	} else {
		fmt.Printf("without the comparison: python3-torch is not installed (Debian: apt-get install python3-torch); ")
	}
	fmt.Printf("products reach %.0f GFLOP/s a core (%s micro-kernel, %s)\n", peak/1e9, microkernel.Name(), lib.Version())
	if *torchCPU {
		*torchThreads = 1
		fmt.Println("processor time of one thread each")
	} else {
		fmt.Printf("%d threads each\n", *torchThreads)
	}
	fmt.Println("memory: peak of the process, in brackets without what it held before it knew the network")
	const form = "%-14s %-14s %10s %10s  %14s %14s %14s %8s %8s\n"
	fmt.Printf(form, "case", "engine", "ours ms", "torch ms", "ours MB", "torch MB", "memory ratio", "of peak", "ratio")
	for _, c := range benchCases {
		if wanted(c.name) {
			peak = max(peak, peakRate(lib, 200*time.Millisecond))
			c.row(t, form, peak, torchHere)
		}
	}
}

func (c benchCase) row(t *testing.T, form string, peak float64, torchHere bool) {
	var theirs *timed
	var err error
	if torchHere {
		if theirs, err = startTimed(exec.Command(python, "testdata/torch_speed.py", c.name, "-")); err != nil {
			t.Fatal(err)
		}
	}
	var ours []*timed
	var classes []string
	for _, class := range strings.Split(*torchEngines, ",") {
		p, err := startOurs(c.name, class)
		if err != nil {
			fmt.Printf("%-14s %-14s %v\n", c.name, class, err)
			continue
		}
		if theirs != nil && p.first.Parameters != theirs.first.Parameters {
			t.Errorf("%s: %d parameters here, %d in PyTorch", c.name, p.first.Parameters, theirs.first.Parameters)
		}
		ours, classes = append(ours, p), append(classes, class)
	}
	ratios := make([][]float64, len(ours))
	for range *torchRounds {
		if len(ours) == 0 {
			break
		}
		their := math.NaN()
		if theirs != nil {
			their = theirs.turn(t)
		}
		for i, p := range ours {
			ratios[i] = append(ratios[i], their/p.turn(t))
		}
	}
	var them benchReport
	theirBusy := 0.0
	if theirs != nil {
		them, theirBusy = theirs.end(t), theirs.busy
	}
	for i, p := range ours {
		us := p.end(t)
		ms, mark := median(p.ms), ""
		if busy := max(p.busy, theirBusy); busy > quiet && !*torchCPU {
			mark = fmt.Sprintf("  not trustworthy: others took %.0f%% of the machine", 100*busy)
		}
		memory := func(r benchReport) string { return fmt.Sprintf("%.0f (%.0f)", r.PeakMB, r.PeakMB-r.BaseMB) }
		theirMs, theirMB, memoryRatio, ratio := "-", "-", "-", "-"
		if theirs != nil {
			theirMs, theirMB = fmt.Sprintf("%.2f", median(theirs.ms)), memory(them)
			memoryRatio = fmt.Sprintf("%.1fx (%.1fx)", them.PeakMB/us.PeakMB, (them.PeakMB-them.BaseMB)/(us.PeakMB-us.BaseMB))
			ratio = fmt.Sprintf("%.2fx", median(ratios[i]))
		}
		fmt.Printf(form, c.name, classes[i], fmt.Sprintf("%.2f", ms), theirMs, memory(us), theirMB, memoryRatio,
			fmt.Sprintf("%.0f%%", 100*p.first.FLOPs/(ms/1e3)/(peak*float64(*torchThreads))), ratio+mark)
		if *torchProfile != "" {
			printProfile(t, profileOf(classes[i], c.name))
		}
	}
}

// The two sides compute the same: on the same weights and batch, losses and gradient norms agree to what float32
// leaves of sums of this size.
func TestSameAsTorch(t *testing.T) {
	if !*withTorch {
		return // takes half a minute; asked for by make bench
	}
	if _, ok := torch(); !ok {
		t.Skip("python3-torch is not installed")
	}
	for _, c := range benchCases {
		if !wanted(c.name) {
			continue
		}
		p, err := startOurs(c.name, "auto")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		us, err := p.ask("check")
		if err != nil {
			t.Fatal(err)
		}
		p.end(t)
		out, err := exec.Command(python, "testdata/torch_speed.py", c.name, "check").Output()
		if err != nil {
			t.Fatalf("%s: python3-torch: %v", c.name, err)
		}
		var them benchReport
		if err := json.Unmarshal(out, &them); err != nil {
			t.Fatal(err)
		}
		if p.first.Parameters != them.Parameters || !near(us.Value, them.Value, math.Abs(them.Value), 1e-3) || !near(us.Norm, them.Norm, them.Norm, 1e-3) {
			t.Errorf("%s: %d parameters, value %v, gradient norm %v; PyTorch has %d, %v and %v", c.name, p.first.Parameters, us.Value, us.Norm, them.Parameters, them.Value, them.Norm)
		}
	}
}
