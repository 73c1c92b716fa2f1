package training

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/microkernel"
)

const (
	ourClasses  = "tape"                       // this tree's CPU engine
	baseClasses = "tape-openblas,tape-go,tape" // engines that base commits may have
	python      = "/usr/bin/python3"           // the Python that finds Debian's packages
)

var (
	withTorch = flag.Bool("torch", false,
		"time training steps, and those of python3-torch and the base commit (see make bench)")
	torchCases        = flag.String("torch-cases", "", "only the cases with one of these comma-separated names")
	torchEngines      = flag.String("torch-engines", ourClasses, "this tree's engines to time, comma-separated")
	torchInstructions = flag.String("torch-instructions", "all,avx2",
		"a table for each, comma-separated: all (the machine's instructions) or avx2 (at most AVX2 in every process)")
	torchRounds  = flag.Int("torch-rounds", 5, "number of turns of each process")
	torchSeconds = flag.Float64("torch-seconds", 2, "seconds of one turn, or more if three steps take longer")
	torchThreads = flag.Int("torch-threads", 2, "number of threads of each process")
	torchCPU     = flag.Bool("torch-cpu", false,
		"compare processor time with one thread each, in units of 10 ms; a busy machine hardly changes it")
	torchProfile = flag.String("torch-profile", "",
		"write CPU profiles to PREFIX-ENGINE-CASE and print where the time goes")
	baseBinary  = flag.String("base-binary", "", "also time this test binary of lib/training in an older commit's tree")
	baseEngines = flag.String("base-engines", baseClasses,
		"the base commit's engines, comma-separated; a row shows the quickest one")
)

// instructionLimits maps each limit of the vector instructions to the environment variables that set it for all
// processes. Debian's PyTorch computes matrix products with OpenBLAS, so OpenBLAS needs a variable too.
var instructionLimits = map[string][]string{
	"all":  nil,
	"avx2": {"GODEBUG=cpu.avx512f=off", "ATEN_CPU_CAPABILITY=avx2", "DNNL_MAX_CPU_ISA=AVX2", "OPENBLAS_CORETYPE=Haswell"},
}

// torch returns the version of python3-torch; ok reports whether it is installed.
func torch() (version string, ok bool) {
	out, err := exec.Command(python, "-c", "import torch; print(torch.__version__)").Output()
	return strings.TrimSpace(string(out)), err == nil
}

func wanted(name string) bool {
	return *torchCases == "" || strings.Contains(","+*torchCases+",", ","+name+",")
}

// table is a comparison under one limit of the vector instructions.
type table struct {
	limits    []string
	base      []string // engines of the base commit; empty if there is no base commit
	torchHere bool
	peak      *timed
	rate      float64 // the peak rate, in FLOP/s for one core
}

// columns of a table with their widths. base marks the columns that are shown only with a base commit. A row has 119
// characters.
var columns = []struct {
	head  string
	width int
	base  bool
}{
	{"case", -13, false}, {"engine", -13, false}, {"this ms", 9, false}, {"base ms", 9, true}, {"base engine", -13, true},
	{"torch ms", 9, false}, {"base/this", 9, true}, {"torch/this", 10, false}, {"mem base", 8, true}, {"mem torch", 9,
		false},
	{"of peak", 7, false},
}

const legend = `this ms     a step in this tree: of training, of the field or of features; the median over the turns
base ms     the same at the base commit, by the quicker of its engines
torch ms    the same in PyTorch
base/this   the median over the rounds of the base commit's time over this tree's: above 1, this tree is quicker
torch/this  the same of PyTorch's time
mem ...     peak memory of the base commit's process, or of PyTorch's, over this tree's: above 1, this tree takes less
of peak     this tree's share of the rate that the inner loop of products reaches from the first-level cache
`

func (b *table) print(cells ...string) {
	var line strings.Builder
	for i, c := range columns {
		if !c.base || b.base != nil {
			fmt.Fprintf(&line, "%*s ", c.width, cells[i])
		}
	}
	fmt.Println(strings.TrimRight(line.String(), " "))
}

// TestAgainstTorch prints a table for each limit of the instructions, with a row for each case and engine of this tree.
// The turns of the compared processes alternate, so that other load on the machine affects all of them alike. The test
// does not check times, because machines are noisy.
func TestAgainstTorch(t *testing.T) {
	if !*withTorch {
		return // a measurement, run by make bench
	}
	unit := fmt.Sprintf("%d threads each", *torchThreads)
	if *torchCPU {
		*torchThreads = 1
		unit = "processor time with one thread each"
	}
	version, torchHere := torch()
	if torchHere {
		fmt.Printf("this tree and PyTorch %s, %s\n", version, unit)
	} else {
		fmt.Printf("this tree, %s\n", unit)
		fmt.Println("without PyTorch: python3-torch is not installed (Debian: apt-get install python3-torch)")
	}
	var base []string
	if *baseBinary != "" {
		base = openable(t)
		commit, _, _ := strings.Cut(filepath.Base(*baseBinary), ".")
		fmt.Printf("base commit %s with %s\n", commit, strings.Join(base, ", "))
	}
	fmt.Print(legend)
	for _, name := range strings.Split(*torchInstructions, ",") {
		limits, ok := instructionLimits[name]
		if !ok {
			t.Fatalf("-torch-instructions: %q, expected all or avx2", name)
		}
		if limits != nil && microkernel.Name() != "AVX-512" {
			fmt.Printf("\nthere is no separate table for AVX2, because this machine has no newer instructions\n")
			continue
		}
		peak, err := startOurs(peakCase, "", limits)
		if err != nil {
			t.Fatal(err)
		}
		b := &table{limits: limits, base: base, torchHere: torchHere, peak: peak}
		b.measurePeak(t, 1)
		fmt.Printf("\ninstructions: %s; products reach %.0f GFLOP/s per core\n", name, b.rate/1e9)
		b.print(heads()...)
		for _, c := range benchCases {
			if wanted(c.name) {
				b.row(t, c)
			}
		}
		peak.end(t)
	}
}

func heads() (heads []string) {
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	return heads
}

func (b *table) measurePeak(t *testing.T, seconds float64) {
	r, err := b.peak.ask(seconds)
	if err != nil {
		t.Fatal(err)
	}
	b.rate = max(b.rate, r.FLOPs)
}

// openable returns the engines of -base-engines that the base commit can open. It logs why an engine cannot be opened,
// unless the base commit does not know the engine.
func openable(t *testing.T) (classes []string) {
	for _, class := range strings.Split(*baseEngines, ",") {
		if class == "tape" && classes != nil {
			break // the commit has an engine tape-..., and its "tape" stands for the best of these
		}
		p, err := startBase("mlp-matching", class, nil)
		switch {
		case err == nil:
			p.end(t)
			classes = append(classes, class)
		case !strings.Contains(err.Error(), "is not known") && !strings.Contains(err.Error(), "no engine"):
			fmt.Printf("base commit: %v\n", err)
		}
	}
	if classes == nil {
		t.Fatalf("%s can open none of the engines %s", *baseBinary, *baseEngines)
	}
	return classes
}

// row times a case in all compared processes and prints a row for each engine of this tree.
func (b *table) row(t *testing.T, c benchCase) {
	b.measurePeak(t, 0.2)
	var torch []*timed
	if b.torchHere {
		p, err := startTimed(exec.Command(python, "testdata/torch_speed.py", c.name, "-"), b.limits)
		if err != nil {
			t.Fatal(err)
		}
		torch = append(torch, p)
	}
	start := func(classes []string, start func(name, class string, limits []string) (*timed, error)) (list []*timed) {
		for _, class := range classes {
			p, err := start(c.name, class, b.limits)
			if err != nil {
				t.Fatalf("%s on %s: %v", c.name, class, err)
			}
			list = append(list, p)
		}
		return list
	}
	ours, base := start(strings.Split(*torchEngines, ","), startOurs), start(b.base, startBase)
	all := slices.Concat(torch, base, ours)
	for _, p := range all {
		if p.first.Parameters != all[0].first.Parameters {
			t.Errorf("%s: two processes have %d and %d parameters, want the same number",
				c.name, p.first.Parameters, all[0].first.Parameters)
		}
	}
	for range *torchRounds {
		for _, p := range all {
			p.turn(t)
		}
		slices.Reverse(all)
	}
	busy := 0.0
	for _, p := range all {
		p.end(t)
		busy = max(busy, p.busy)
	}
	for _, p := range ours {
		cells := []string{c.name, p.class, fmt.Sprintf("%.2f", median(p.ms)), "-", "-", "-", "-", "-", "-", "-", "-"}
		if q := quickest(base); q != nil {
			cells[3], cells[4], cells[6], cells[8] = fmt.Sprintf("%.2f", median(q.ms)), q.class, p.ratio(q), p.memoryRatio(q)
		}
		if q := quickest(torch); q != nil {
			cells[5], cells[7], cells[9] = fmt.Sprintf("%.2f", median(q.ms)), p.ratio(q), p.memoryRatio(q)
		}
		cells[10] = fmt.Sprintf("%.0f%%", 100*p.first.FLOPs/(median(p.ms)/1e3)/(b.rate*float64(*torchThreads)))
		b.print(cells...)
		if *torchProfile != "" {
			printProfile(t, profileOf(p.class, c.name))
		}
	}
	if busy > quiet && !*torchCPU {
		fmt.Printf("  not trustworthy: other processes took %.0f%% of the machine in a turn\n", 100*busy)
	}
}

// quickest returns the process with the smallest median time, or nil if the list is empty.
func quickest(list []*timed) (best *timed) {
	for _, p := range list {
		if best == nil || median(p.ms) < median(best.ms) {
			best = p
		}
	}
	return best
}

// On the same weights and batch, the losses and gradient norms of this tree and of PyTorch agree up to float32
// rounding.
func TestSameAsTorch(t *testing.T) {
	if !*withTorch {
		return // takes half a minute; run by make bench
	}
	if _, ok := torch(); !ok {
		t.Skip("python3-torch is not installed")
	}
	for _, c := range benchCases {
		if !wanted(c.name) {
			continue
		}
		p, err := startOurs(c.name, ourClasses, nil)
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
			t.Fatalf("%s: torch_speed.py: %v", c.name, err)
		}
		var them benchReport
		if err := json.Unmarshal(out, &them); err != nil {
			t.Fatal(err)
		}
		same := near(us.Value, them.Value, math.Abs(them.Value), 1e-3) && near(us.Norm, them.Norm, them.Norm, 1e-3)
		if p.first.Parameters != them.Parameters || !same {
			t.Errorf("%s: %d parameters, value %v, gradient norm %v; PyTorch has %d, %v and %v, want the same", c.name,
				p.first.Parameters, us.Value, us.Norm, them.Parameters, them.Value, them.Norm)
		}
	}
}
