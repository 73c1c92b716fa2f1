package runner

import (
	"context"
	"errors"
	"slices"
	"testing"

	"vapo/pipeline/internal/recipe"
)

// TestPool checks that steps get disjoint parts of a machine and wait if too little is free, and that a step that asks
// for more than the machine has gets all of it.
func TestPool(t *testing.T) {
	p := newPool(capacity{cores: 4, memory: 100, gpus: []string{"3", "5"}})
	take := func(want recipe.Resources) (capacity, error) {
		ctx, cancel := context.WithCancelCause(t.Context())
		full := errors.New("full")
		return p.take(ctx, want, func() { cancel(full) })
	}
	a, err := take(recipe.Resources{Cores: 3, GPUs: 1})
	if want := []string{"GOMAXPROCS=3", "CUDA_VISIBLE_DEVICES=3"}; err != nil || !slices.Equal(a.env(), want) {
		t.Errorf("the first step has %v, %v; want %v", a.env(), err, want)
	}
	for _, want := range []recipe.Resources{{Cores: 2}, {GPUs: 2}, {Cores: 9}} {
		if got, err := take(want); err == nil {
			t.Errorf("a step that asks for %+v did not wait for the first step, and got %+v", want, got)
		}
	}
	b, err := take(recipe.Resources{Memory: 100, GPUs: 1})
	if want := []string{"CUDA_VISIBLE_DEVICES=5"}; err != nil || !slices.Equal(b.env(), want) {
		t.Errorf("the second step has %v, %v; want %v", b.env(), err, want)
	}
	if c, err := take(recipe.Resources{}); err != nil || len(c.env()) > 0 {
		t.Errorf("a step that asks for nothing has %v, %v; want no variables", c.env(), err)
	}
	got := make(chan capacity)
	waiting := make(chan struct{})
	go func() {
		all, _ := p.take(t.Context(), recipe.Resources{Cores: 9, Memory: 1000}, func() { close(waiting) })
		got <- all
	}()
	<-waiting
	p.giveBack(a)
	p.giveBack(b)
	if all := <-got; all.cores != 4 || all.memory != 100 || len(all.gpus) > 0 {
		t.Errorf("a step got %+v, want 4 cores, 100 bytes and no GPU, since it asks for more than the machine has", all)
	}
}

func TestLacks(t *testing.T) {
	r := capacity{cores: 2, memory: 4e9}
	if got := r.lacks(recipe.Resources{Cores: 2, Memory: 4e9}); got != "" {
		t.Errorf("lacks returned %q, want nothing", got)
	}
	const want = "it asks for 3 cores, and this machine has 2; " +
		"it asks for 8.0 GB of memory, and this machine has 4.0 GB; it asks for 1 GPUs, and this machine has 0"
	if got := r.lacks(recipe.Resources{Cores: 3, Memory: 8e9, GPUs: 1}); got != want {
		t.Errorf("lacks returned %q, want %q", got, want)
	}
	if got := (capacity{cores: 1}).lacks(recipe.Resources{Memory: 8e9}); got != "" {
		t.Errorf("the memory of the machine is unknown, but lacks returned %q", got)
	}
}
