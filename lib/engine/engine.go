// Package engine lists the compute engines and opens them. Only this package imports the engines. A program that
// imports it links all engines; every other package takes an open backend.Backend.
package engine

import (
	"sync"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/backend/tape"
	"vapo/lib/enginename"
	"vapo/lib/stage"
)

// engines maps enginename.Name.Engine to the function that opens the engine.
var engines = map[string]func(enginename.Name) (backend.Backend, error){
	enginename.Tape: func(enginename.Name) (backend.Backend, error) { return tape.Tape{}, nil },
	enginename.Go:   func(enginename.Name) (backend.Backend, error) { return device.OpenGo() },
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

// Open opens the engine with the given name. For "auto" it opens a CUDA card if XLA can use one, else the CPU engine.
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
		return auto.choice, nil // the stage has replaced "auto" by its class
	}
	return engines[parsed.Engine](parsed)
}

// Auto replaces "auto" by the class of the engine that it stands for on this machine. It returns any other name
// unchanged.
func Auto(name Name) Name {
	if name != enginename.Auto {
		return name
	}
	return Name(chosen().Class())
}

// Pure reports whether Auto would decide by enginename.FindPlugin alone, without asking for a card.
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
		be, err := device.OpenXLA(cuda)
		if err == nil {
			return choice{be, why}
		}
		why = err.Error()
	}
	return choice{tape.Tape{}, why}
}

// Linked returns the classes of the engines that need no plugin.
func Linked() []string { return []string{enginename.Tape, enginename.Go} }

// Record records and logs the engine that a job computes on, and warns if its results may differ between processes.
func Record(job *stage.Job, be backend.Backend) {
	job.SetBackend(be.Class())
	job.SetVersion("backend", be.Describe())
	job.Log().Info("backend", "class", be.Class(), "using", be.Describe())
	if !be.Promises().Repeats {
		job.Warn("%s need not give the same bits in another process: the same run again, or one that was stopped and "+
			"resumed, agrees closely, not exactly", be.Class())
	}
}
