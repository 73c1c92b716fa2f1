package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/stage"
)

// importCmd makes a checkpoint from the weights of another framework.
type importCmd struct {
	File        string   `arg:"" help:"Weights (.pth or safetensors): a path, ref:name or sha256:…"`
	Preset      string   `help:"Name of a network, see train --help." xor:"network"`
	Like        string   `help:"Checkpoint with the same network: a path, ref:name or sha256:…" xor:"network"`
	Schedule    string   `help:"Schedule; auto: --like's, the file's or linear." enum:"auto,${schedules}" default:"auto"`
	Output      string   `help:"What the network models." enum:"auto,potential,velocity,noise" default:"auto"`
	PriorStd    *float64 `help:"Standard deviation w of the prior; default: that of --like or the file, else 1."`
	Weights     string   `help:"Weights: ema, as trained (model), or all (any)." enum:"any,ema,model" default:"any"`
	Prefix      string   `help:"Take only tensors with this name prefix, if the file has several networks."`
	IgnoreExtra bool     `help:"Ignore tensors that do not belong to the network."`
	Out         string   `help:"Checkpoint (.arrow) to write." required:"" type:"path"`
	Ref         string   `help:"Also put the checkpoint into the store, under this name."`
	Force       bool     `help:"Overwrite an existing file."`
}

// imported is the JSON line that the command prints.
type imported struct {
	File       string   `json:"file"`
	Digest     string   `json:"digest"`
	Ref        string   `json:"ref,omitempty"`
	Kind       string   `json:"kind"`
	Parameters int      `json:"parameters"` // values per set of weights
	Tensors    int      `json:"tensors"`    // tensors per set of weights
	Step       int64    `json:"step"`       // training step of the weights; 0 if the file does not give it
	Weights    string   `json:"weights"`    // sets of weights taken from the file: ema, model or ema+model
	Found      found    `json:"found"`
	Ignored    []string `json:"ignored,omitempty"` // tensors that do not belong to the network
	Skipped    []string `json:"skipped,omitempty"` // other state of the training loop, and values that are not tensors
}

// found holds the prefix of the tensor names of each set of weights. A set that was not imported has a nil prefix.
type found struct {
	Model *string `json:"model,omitempty"`
	EMA   *string `json:"ema,omitempty"`
}

// Run implements the command.
func (cmd *importCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := checkFree(cmd.Out, cmd.Force); err != nil {
		return err
	}
	var store *artifact.Store
	if cmd.Ref != "" {
		if err := artifact.CheckRef(cmd.Ref); err != nil {
			return failure.New(failure.Usage, "", "--ref: %w", err)
		}
		var err error
		if store, err = c.Store(ctx); err != nil {
			return err
		}
	}
	path, err := c.Resolve(ctx, cmd.File)
	if err != nil {
		return err
	}
	src, err := openForeign(path)
	if err != nil {
		return cmd.invalid(weightsHint, err)
	}
	if cmd.Prefix != "" {
		names := src.Names()
		if src.behind(cmd.Prefix); len(src.Names()) == 0 && len(names) > 0 {
			return cmd.invalid("give the beginning of a tensor's name as --prefix",
				fmt.Errorf("no tensor has a name that begins with %q; the first one is %q", cmd.Prefix, names[0]))
		}
	}
	config, err := cmd.network(ctx, c, src)
	if err != nil {
		return err
	}
	ck, line, err := cmd.convert(src, config)
	if err != nil {
		return err
	}
	digest, err := writeFile(cmd.Out, func(w io.Writer) error { return checkpoint.Write(w, ck) })
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if store != nil {
		stored, _, err := store.PutFile(ctx, cmd.Out, nil)
		if err != nil {
			return err
		}
		if stored != digest {
			return failure.New(failure.Integrity, "run again when no other program writes to the file",
				"%s changed while it was stored", cmd.Out)
		}
		if err := store.SetRef(ctx, cmd.Ref, digest); err != nil {
			return err
		}
	}
	line.Digest, line.Ref = string(digest), cmd.Ref
	for _, set := range []struct {
		what, flag string
		names      *string
	}{{"weights as trained", "--weights=model", line.Found.Model}, {"moving averages", "--weights=ema", line.Found.EMA}} {
		if set.names != nil {
			c.Log.Info("found "+set.what, "names", *set.names+"*", "flag", set.flag)
		}
	}
	return c.Print(line)
}

// invalid returns an input error about the content of the weights file.
func (cmd *importCmd) invalid(hint string, err error) error {
	return fmt.Errorf("weights %s: %w", cmd.File, failure.Default(failure.Input, hint, err))
}

// network returns the description of the network to which the weights belong.
func (cmd *importCmd) network(
	ctx context.Context, c *stage.Console, src *foreignFile,
) (config potential.Config, err error) {
	switch {
	case cmd.Preset != "":
		if config, err = presetOf(cmd.Preset); err != nil {
			return config, failure.New(failure.Usage, "", "--%w", err)
		}
		config.Schedule, config.PriorStd = "linear", 1
		if config.Classes, err = potential.ClassesIn(src); err != nil {
			return config, cmd.invalid("name the network with --like", err)
		}
	case cmd.Like != "":
		ck, err := readCheckpoint(ctx, c, cmd.Like)
		if err != nil {
			return config, fmt.Errorf("--like %s: %w", cmd.Like, err)
		}
		if ck.Kind != checkpoint.Potential {
			return config, failure.New(failure.Input, "give the checkpoint output of train",
				"--like %s: it holds a %s, expected a %s", cmd.Like, ck.Kind, checkpoint.Potential)
		}
		if config, err = potential.ParseConfig(ck.Config); err != nil {
			return config, fmt.Errorf("--like %s: %w", cmd.Like, err)
		}
	case src.config != "":
		if config, err = potential.ParseConfig(json.RawMessage(src.config)); err != nil {
			return config, cmd.invalid("name the network with --preset or --like", err)
		}
	default:
		return config, failure.New(failure.Usage, "add --preset or --like",
			"weights %s: the file does not say which network they are for", cmd.File)
	}
	if cmd.Schedule != "auto" {
		config.Schedule = cmd.Schedule
	}
	switch cmd.Output {
	case "auto":
	case "potential":
		config.Output = homotopy.Potential
	default:
		config.Output = homotopy.Output(cmd.Output)
	}
	if cmd.PriorStd != nil {
		config.PriorStd = *cmd.PriorStd
	}
	return config, failure.Default(failure.Usage, "", config.Check())
}

// convert makes the checkpoint. If the file has only one set of weights, the checkpoint holds it both as the trained
// weights and as their average.
func (cmd *importCmd) convert(src *foreignFile, config potential.Config) (*checkpoint.Checkpoint, *imported, error) {
	which := cmd.Weights
	if which == "any" {
		which = potential.Either
	}
	w, err := potential.Import(src, config, which)
	if err != nil {
		return nil, nil, cmd.invalid("name the network with --preset or --like", err)
	}
	if len(w.Unknown) > 0 && !cmd.IgnoreExtra {
		return nil, nil, cmd.invalid("--ignore-extra ignores them", w.UnknownError())
	}
	line := &imported{
		File: cmd.Out, Kind: checkpoint.Potential, Step: src.step, Weights: "ema+model", Ignored: w.Unknown,
		Skipped: fold(slices.Concat(w.State, src.skipped)),
	}
	if w.Trained != nil {
		line.Found.Model = &w.TrainedFrom
	}
	if w.Average != nil {
		line.Found.EMA = &w.AverageFrom
	}
	switch {
	case w.Trained == nil:
		w.Trained, line.Weights = w.Average, potential.Average
	case w.Average == nil:
		w.Average, line.Weights = w.Trained, potential.Trained
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, nil, err
	}
	params, err := config.Parameters()
	if err != nil {
		return nil, nil, err
	}
	line.Parameters, line.Tensors = layer.Count(params), len(params)
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Potential, Config: raw, Step: src.step}
	for _, p := range params {
		ck.Tensors = append(ck.Tensors,
			checkpoint.Named{Name: checkpoint.Param + p.Name, Shape: p.Shape, Data: w.Trained[p.Name]},
			checkpoint.Named{Name: checkpoint.EMA + p.Name, Shape: p.Shape, Data: w.Average[p.Name]})
	}
	return ck, line, nil
}
