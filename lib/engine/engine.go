// Package engine lists the compute engines and opens them. Apart from tests, only this package imports the engines: a
// program that imports it links all of them. Every other package takes an open backend.Backend.
package engine

import (
	"context"
	"fmt"
	"io"
	"sync"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/backend/tape"
	"vapo/lib/enginename"
	"vapo/lib/stage"
)

// engines maps enginename.Name.Engine to the function that opens the engine.
var engines = map[string]func(enginename.Name, *device.Tuner) (backend.Backend, error){
	enginename.Tape: func(enginename.Name, *device.Tuner) (backend.Backend, error) { return tape.Tape{}, nil },
	enginename.Go:   func(enginename.Name, *device.Tuner) (backend.Backend, error) { return device.OpenGo() },
	enginename.XLA:  device.OpenXLA,
}

// Name is the value of a stage's --backend parameter, in the normal form of enginename.Name.String.
type Name string

// UnmarshalText parses a name, so that a wrong flag is an error before the stage starts.
func (n *Name) UnmarshalText(text []byte) error {
	parsed, err := enginename.Parse(string(text))
	if err != nil {
		return err
	}
	*n = Name(parsed.String())
	return nil
}

// Open opens the engine with the given name. For "auto" it opens a CUDA card if XLA can use one, and otherwise the CPU
// engine.
func Open(name Name) (backend.Backend, error) {
	parsed, err := enginename.Parse(string(name))
	if err != nil {
		return nil, err
	}
	if parsed.Engine == enginename.Auto {
		return chosen(), nil
	}
	auto.Lock()
	defer auto.Unlock()
	if auto.choice.Backend != nil && auto.choice.Class() == parsed.Class() {
		return auto.choice, nil // Auto has replaced "auto" by this class
	}
	return engines[parsed.Engine](parsed, nil)
}

// Auto replaces "auto" by the class of the engine that it stands for on this machine. It returns any other name
// unchanged.
func Auto(name Name) Name {
	if name != enginename.Auto {
		return name
	}
	return Name(chosen().Class())
}

// Pure reports whether Auto needs no search for a card: the name is not "auto", or there is no CUDA plugin.
func Pure(name Name) bool { return name != enginename.Auto || enginename.FindPlugin("cuda") == "" }

// auto remembers which engine "auto" stands for, so that a process searches for it only once.
var auto struct {
	sync.Mutex
	choice choice
}

// choice is the engine that "auto" stands for, with the reason for choosing it.
type choice struct {
	backend.Backend
	why string
}

// Describe implements backend.Backend.
func (c choice) Describe() string {
	return c.Backend.Describe() + " (the choice of auto: " + c.why + ")"
}

func chosen() choice {
	auto.Lock()
	defer auto.Unlock()
	if auto.choice.Backend == nil {
		auto.choice = choose()
	}
	return auto.choice
}

func choose() choice {
	found, why := device.FindCUDA()
	if found {
		cuda := enginename.Name{Engine: enginename.XLA, Plugin: "cuda", Precision: enginename.Float32}
		be, err := device.OpenXLA(cuda, nil)
		if err == nil {
			return choice{be, why}
		}
		why = err.Error()
	}
	return choice{tape.Tape{}, why}
}

// Linked returns the classes of the engines that need no plugin.
func Linked() []string { return []string{enginename.Tape, enginename.Go} }

// OpenFor opens the engine that a job computes on, and records and logs it. It warns if the results may differ between
// processes. If the job has a tuning as input, XLA uses the kernels of that tuning. In the tune command, OpenFor makes
// the job write the kernels that XLA chooses. If XLA does not tune the engine, both are usage errors.
func OpenFor(ctx context.Context, job *stage.Job, name Name) (backend.Backend, error) {
	be, err := openFor(ctx, job, name)
	if err != nil {
		return nil, err
	}
	job.SetBackend(be.Class())
	job.SetVersion("backend", be.Describe())
	job.Log().Info("backend", "class", be.Class(), "using", be.Describe())
	if !be.Promises().Repeats {
		job.Warn("results of %s may differ from process to process: a repeated run, or one that was stopped and "+
			"resumed, agrees closely but not exactly", be.Class())
	}
	return be, nil
}

func openFor(ctx context.Context, job *stage.Job, name Name) (backend.Backend, error) {
	loads := job.HasInput(stage.Tuning.Name)
	if !loads && !job.Tunes() {
		return Open(name)
	}
	parsed, err := enginename.Parse(string(name))
	if err != nil {
		return nil, err
	}
	if err := device.CanTune(parsed); err != nil {
		return nil, err
	}
	if !loads {
		t, err := device.NewTuner(job.Scratch())
		if err != nil {
			return nil, err
		}
		be, err := device.OpenXLA(parsed, t)
		if err == nil {
			job.SetTuning(func(w io.Writer) error { return t.Write(w, be.Class(), be.Describe()) })
		}
		return be, err
	}
	file, err := job.Input(ctx, stage.Tuning.Name)
	if err != nil {
		return nil, err
	}
	t, err := device.LoadTuner(file, parsed.Class(), job.Scratch())
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", stage.Tuning.Name, err)
	}
	return device.OpenXLA(parsed, t)
}
