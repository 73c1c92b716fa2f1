package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vapo/lib/program"
	"vapo/pipeline/internal/recipe"
)

// capacity is what a machine has, or a part of it: cores, bytes of memory, and the names of GPUs as CUDA knows them.
type capacity struct {
	cores  int
	memory int64
	gpus   []string
}

// machine returns what this process may use. Memory is 0 if it is unknown.
func machine() capacity {
	r := capacity{cores: runtime.GOMAXPROCS(0), memory: program.MachineMemory()}
	if visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES"); set {
		r.gpus = strings.FieldsFunc(visible, func(c rune) bool { return c == ',' || c == ' ' })
		return r
	}
	cards, _ := filepath.Glob("/dev/nvidia[0-9]*") // the pattern is valid
	for i := range cards {
		r.gpus = append(r.gpus, strconv.Itoa(i))
	}
	return r
}

// lacks says what a step asks for beyond what the machine has, or "".
func (r capacity) lacks(want recipe.Resources) string {
	var parts []string
	add := func(asks, has, of string) {
		parts = append(parts, fmt.Sprintf("it asks for %s%s, and this machine has %s", asks, of, has))
	}
	if want.Cores > r.cores {
		add(strconv.Itoa(want.Cores), strconv.Itoa(r.cores), " cores")
	}
	if r.memory > 0 && want.Memory > r.memory {
		add(program.Size(want.Memory), program.Size(r.memory), " of memory")
	}
	if want.GPUs > len(r.gpus) {
		add(strconv.Itoa(want.GPUs), strconv.Itoa(len(r.gpus)), " GPUs")
	}
	return strings.Join(parts, "; ")
}

// part returns the share of a machine's capacity r that a step gets: what it asks for, or all there is if that is less.
// Which GPUs it gets is not decided here.
func (r capacity) part(want recipe.Resources) (cores int, memory int64, gpus int) {
	return min(want.Cores, r.cores), min(want.Memory, r.memory), min(want.GPUs, len(r.gpus))
}

// pool gives parts of a machine to steps, so that the steps that run at once fit into it.
type pool struct {
	all capacity

	mu      sync.Mutex
	free    capacity
	changed chan struct{} // closed and replaced when capacity becomes free
}

func newPool(all capacity) *pool { return &pool{all: all, free: all, changed: make(chan struct{})} }

// take waits until enough capacity is free for a step. A step that asks for more than the machine has waits for all
// there is. waits is called once if the step has to wait.
func (p *pool) take(ctx context.Context, want recipe.Resources, waits func()) (capacity, error) {
	cores, memory, gpus := p.all.part(want)
	for {
		p.mu.Lock()
		if cores <= p.free.cores && memory <= p.free.memory && gpus <= len(p.free.gpus) {
			got := capacity{cores, memory, slices.Clone(p.free.gpus[:gpus])}
			p.free = capacity{p.free.cores - cores, p.free.memory - memory, slices.Clone(p.free.gpus[gpus:])}
			p.mu.Unlock()
			return got, nil
		}
		changed := p.changed
		p.mu.Unlock()
		if waits != nil {
			waits()
			waits = nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return capacity{}, context.Cause(ctx)
		}
	}
}

func (p *pool) giveBack(r capacity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = capacity{p.free.cores + r.cores, p.free.memory + r.memory, append(p.free.gpus, r.gpus...)}
	close(p.changed)
	p.changed = make(chan struct{})
}

// env returns the variables that keep a stage within its share. The results of stages have the same bits for any number
// of threads. A step that asks for no cores or GPUs gets no variables, and so may use all.
func (r capacity) env() []string {
	var env []string
	if r.cores > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", r.cores))
	}
	if len(r.gpus) > 0 {
		env = append(env, "CUDA_VISIBLE_DEVICES="+strings.Join(r.gpus, ","))
	}
	return env
}
