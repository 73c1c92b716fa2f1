package training

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// timed is a process that times one case on request and otherwise waits.
type timed struct {
	class string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	first benchReport
	last  benchReport // the final report, with the memory
	ms    []float64
	busy  float64 // the largest share of the machine that other processes took in a turn
}

// startTimed starts a timed process with the environment variables limits.
func startTimed(cmd *exec.Cmd, limits []string) (*timed, error) {
	cmd.Stderr = os.Stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, limits...)
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

// quiet is the largest share of the machine that other processes may take during a turn. The limit is low because
// threads wait for each other at every operation: time taken from one thread delays all threads.
const quiet = 0.04

// turn times steps for some seconds. If other processes used the machine meanwhile, it repeats the turn a few times.
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

// end closes the input of the process, which then reports its memory and exits.
func (p *timed) end(t *testing.T) {
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.last, err = p.read(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// startOurs starts this test binary again to time a case on an engine.
func startOurs(name, class string, limits []string) (*timed, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startCase(exec.Command(exe), name, class, limits)
}

// startBase starts the test binary of the base commit in the folder of the binary, so that it finds its testdata.
func startBase(name, class string, limits []string) (*timed, error) {
	cmd := exec.Command(*baseBinary)
	cmd.Dir = filepath.Dir(*baseBinary)
	return startCase(cmd, name, class, limits)
}

func startCase(cmd *exec.Cmd, name, class string, limits []string) (*timed, error) {
	cmd.Env = append(cmd.Environ(), childCase+"="+name, childClass+"="+class)
	if *torchProfile != "" && *baseBinary != cmd.Path {
		cmd.Env = append(cmd.Env, childCPU+"="+profileOf(class, name))
	}
	p, err := startTimed(cmd, limits)
	if p != nil {
		p.class = class
	}
	return p, err
}

func profileOf(class, name string) string { return *torchProfile + "-" + class + "-" + name }

// ratio returns the median, over the rounds, of q's time divided by p's time.
func (p *timed) ratio(q *timed) string {
	var ratios []float64
	for i, ms := range p.ms {
		ratios = append(ratios, q.ms[i]/ms)
	}
	return fmt.Sprintf("%.2fx", median(ratios))
}

// memoryRatio returns q's peak memory divided by p's peak memory.
func (p *timed) memoryRatio(q *timed) string {
	return fmt.Sprintf("%.2fx", q.last.PeakMB/p.last.PeakMB)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// machineSeconds returns the processor time that all processes have used, plus the time that the host has given to
// other virtual machines.
func machineSeconds() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(line)
	return (sumFields(f, 1, 4) + sumFields(f, 6, 9)) / ticks // all fields but idle and iowait
}
