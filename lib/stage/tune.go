package stage

import (
	"io"
	"slices"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// Tuning is the optional input of stages that compute on cards, and the output of their tune command: it records which
// kernels the engine's compiler chose for a run. The results of a run with this input repeat to the bit, because the
// compiler has no choice left.
//
// The tune command executes a short run of the stage with the same inputs. The short run compiles everything that the
// full run compiles. The command writes no other output.
var Tuning = contract.Port{
	Name: "tuning", Media: contract.MediaJSON, Optional: true,
	Help: "on cards: the output of the tune command, for results that repeat to the bit",
}

func tuneDescription(d contract.Description) contract.Description {
	d.Stage += " tune"
	d.Length = ""
	d.Inputs = slices.DeleteFunc(slices.Clone(d.Inputs), func(p contract.Port) bool { return p.Name == Tuning.Name })
	d.Outputs = append(optional(d.Outputs), contract.Port{Name: Tuning.Name, Media: Tuning.Media})
	return d
}

// tuneState is the additional state of a job of the tune command.
type tuneState struct{ write func(io.Writer) error }

// Tunes reports whether the job belongs to the tune command. If so, the engine must record which kernels are chosen;
// see SetTuning.
func (j *Job) Tunes() bool { return j.tune != nil }

// SetTuning sets the function that writes the output of the tune command once the run has ended.
func (j *Job) SetTuning(write func(io.Writer) error) { j.tune.write = write }

// discards reports whether the output is discarded, because the tune command writes only the tuning.
func (j *Job) discards(output string) bool { return j.tune != nil && output != Tuning.Name }

// tuning returns the function that SetTuning has set.
func (j *Job) tuning() (func(io.Writer) error, error) {
	if j.tune.write == nil {
		return nil, failure.New(failure.Usage,
			"use the tune command only for runs on a card; the results of other runs repeat to the bit without it",
			"this run computes nothing on a card, so there is nothing to tune")
	}
	return j.tune.write, nil
}
