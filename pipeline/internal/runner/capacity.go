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

// capacity is what a machine has, or a part of it: cores, bytes of memory, and GPUs as CUDA_VISIBLE_DEVICES names them.
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

// lacks describes what a step asks for and the machine does not have. It returns "" if the machine has everything.
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

// part returns how much of the capacity r a step gets: what the step asks for, or all of r if that is less. take
// decides which GPUs the step gets.
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
// that the machine has. If the step has to wait, take calls waits once.
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

// env returns the variables that limit a stage to its share of cores and GPUs. A step that asks for no cores gets no
// variable for them and may use all; the same holds for GPUs. The number of threads is not part of a step's key,
// because the results have the same bits for any number.
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
