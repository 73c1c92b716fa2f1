package metrics

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	withSciPy   = flag.Bool("scipy", false, "compare the times of moments and distances with python3-scipy (make bench)")
	sciPyRounds = flag.Int("scipy-rounds", 3, "number of alternating measurements")
)

const python = "/usr/bin/python3" // the interpreter that sees the packages of Debian

// sciPy is a Python process that runs its job once for each line of input.
type sciPy struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

type sciPyReport struct {
	Version        string
	Seconds, Value float64
}

func startSciPy(t *testing.T, args ...string) (p *sciPy, version string) {
	t.Helper()
	cmd := exec.Command(python, append([]string{"testdata/scipy_speed.py"}, args...)...)
	cmd.Stderr = os.Stderr
	threads := fmt.Sprint(runtime.GOMAXPROCS(0))
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS="+threads, "OPENBLAS_NUM_THREADS="+threads)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &sciPy{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return p, p.read(t).Version
}

func (p *sciPy) read(t *testing.T) (r sciPyReport) {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the process %s ended without an answer", p.cmd)
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		t.Fatalf("%s answered %q: %v", p.cmd, p.out.Text(), err)
	}
	return r
}

func (p *sciPy) turn(t *testing.T) (seconds, value float64) {
	if _, err := fmt.Fprintln(p.in, "go"); err != nil {
		t.Fatal(err)
	}
	r := p.read(t)
	return r.Seconds, r.Value
}

// likeFeatures draws n vectors that resemble features of a network: correlated, nonnegative, with unequal variances.
func likeFeatures(seed uint64, n, d int, shift float32) []float32 {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	x := make([]float32, n*d)
	for i := range n {
		last := float32(0)
		for j := range d {
			last = 0.7*last + float32(r.NormFloat64())
			x[i*d+j] = max(0, (shift+last)/(1+8*float32(j)/float32(d)))
		}
	}
	return x
}

func tempArray[T float32 | float64](t *testing.T, name string, values []T) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := binary.Write(w, binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestAgainstSciPy prints one row per case: our time, the time of scipy.linalg.sqrtm(S1 @ S2) or numpy.cov, and the
// relative difference of the results. Measurements of both sides alternate in rounds, so that other load affects both
// alike. A printed time is the median over the rounds. A printed ratio is the median of the ratios within each round.
// The test asserts that the results agree. It does not assert times.
func TestAgainstSciPy(t *testing.T) {
	if !*withSciPy {
		return // a measurement for make bench
	}
	if err := exec.Command(python, "-c", "import scipy.linalg").Run(); err != nil {
		t.Skip("python3-scipy is not installed (Debian: apt-get install python3-scipy)")
	}
	head := true
	const form = "%-28s %10s %10s %8s  %s\n"
	row := func(name string, tolerance float64, job func() float64, args ...string) {
		them, version := startSciPy(t, args...)
		if head {
			fmt.Printf("SciPy %s, %d threads each\n", version, runtime.GOMAXPROCS(0))
			fmt.Printf(form, "case", "ours s", "SciPy s", "ratio", "difference")
			head = false
		}
		var seconds, theirs, ratios []float64
		var difference float64
		start, before := time.Now(), machineSeconds()-processSeconds(os.Getpid(), them.cmd.Process.Pid)
		for range *sciPyRounds {
			their, want := them.turn(t)
			start := time.Now()
			got := job()
			s := time.Since(start).Seconds()
			theirs, seconds, ratios = append(theirs, their), append(seconds, s), append(ratios, their/s)
			difference = math.Max(difference, relative(got, want))
		}
		others := machineSeconds() - processSeconds(os.Getpid(), them.cmd.Process.Pid) - before
		mark := ""
		if share := others / (time.Since(start).Seconds() * float64(runtime.NumCPU())); share > quiet {
			mark = fmt.Sprintf("  not trustworthy: others took %.0f%% of the machine", 100*share)
		}
		fmt.Printf(form, name, fmt.Sprintf("%.3f", middle(seconds)), fmt.Sprintf("%.3f", middle(theirs)),
			fmt.Sprintf("%.1fx", middle(ratios)), fmt.Sprintf("%.1e", difference)+mark)
		if difference > tolerance {
			t.Errorf("%s: relative difference %.2g, want at most %g", name, difference, tolerance)
		}
	}
	for _, c := range []struct{ d, n int }{{768, 5000}, {2048, 10000}, {2048, 2100}} { // the last is nearly singular
		a, b := NewMoments(c.d), NewMoments(c.d)
		if err := a.Add(likeFeatures(1, c.n, c.d, 0)); err != nil {
			t.Fatal(err)
		}
		if err := b.Add(likeFeatures(2, c.n, c.d, 0.05)); err != nil {
			t.Fatal(err)
		}
		row(fmt.Sprintf("Fréchet d=%d N=%d", c.d, c.n), 1e-6, func() float64 {
			f, err := FrechetDistance(a, b)
			if err != nil {
				t.Fatal(err)
			}
			return f.Value
		}, "frechet", fmt.Sprint(c.d), tempArray(t, "mu1", a.Mean()), tempArray(t, "sigma1", a.Cov()),
			tempArray(t, "mu2", b.Mean()), tempArray(t, "sigma2", b.Cov()))
	}
	const n, d = 10000, 2048
	rows := likeFeatures(3, n, d, 0)
	row(fmt.Sprintf("moments d=%d N=%d", d, n), 1e-10, func() float64 {
		m := NewMoments(d)
		if err := m.Add(rows); err != nil {
			t.Fatal(err)
		}
		value := m.perM2() * trace(m.m2, d)
		for _, v := range m.mean {
			value += v * v
		}
		return value
	}, "moments", fmt.Sprint(d), tempArray(t, "rows", rows))
}

// quiet is the largest share of the machine's processor time that other processes may take.
const quiet = 0.04

// machineSeconds is the processor time that all processes have used, or 0 if there is no /proc.
func machineSeconds() float64 {
	line, _, _ := strings.Cut(procFile("/proc/stat"), "\n")
	f := strings.Fields(line)
	return ticks(f, 1, 4) + ticks(f, 6, 9) // without the fields for idle time and for waiting
}

// processSeconds is the processor time that the given processes have used.
func processSeconds(pids ...int) (sum float64) {
	for _, pid := range pids {
		_, rest, _ := strings.Cut(procFile(fmt.Sprintf("/proc/%d/stat", pid)), ") ") // skips the process's name
		sum += ticks(strings.Fields(rest), 11, 13)
	}
	return sum
}

func procFile(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw)
}

// ticks adds the fields [from, to), which count hundredths of a second, and returns the sum in seconds.
func ticks(f []string, from, to int) (sum float64) {
	for _, v := range f[min(from, len(f)):min(to, len(f))] {
		x, _ := strconv.ParseFloat(v, 64)
		sum += x / 100
	}
	return sum
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
