package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"vapo/lib/artifact"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/stage"
	"vapo/lib/torchfile"
)

// importCmd makes a checkpoint of weights that another framework has trained.
type importCmd struct {
	File        string   `arg:"" help:"Weights of a potential: a PyTorch file (.pth), as the method's released code writes it or a state dict, or a safetensors file. A path, ref:name or sha256:…"`
	Preset      string   `help:"Network by name, as of run; its classes are those of label_emb.weight in the file: unet-cifar10 is that of the released code." xor:"network"`
	Like        string   `help:"Network as in this checkpoint: a path, ref:name or sha256:…" xor:"network"`
	Schedule    string   `help:"Path the network was trained for; auto: linear for a preset, else as the network's description says." enum:"auto,linear,cosine,vapo,vp" default:"auto"`
	PriorStd    *float64 `help:"Standard deviation w of the prior. Default: 1 for a preset, else as the network's description says."`
	Weights     string   `help:"Take only the moving averages (ema) or the weights as trained (model); any: what is there." enum:"any,ema,model" default:"any"`
	IgnoreExtra bool     `help:"Pass over tensors that are none of the network's."`
	Out         string   `help:"Checkpoint (.arrow) to write." required:"" type:"path"`
	Ref         string   `help:"Put the checkpoint into the store, too, under this name."`
	Force       bool     `help:"Write over a file that is there."`
}

// imported is the JSON line.
type imported struct {
	File       string   `json:"file"`
	Digest     string   `json:"digest"`
	Ref        string   `json:"ref,omitempty"`
	Kind       string   `json:"kind"`
	Parameters int      `json:"parameters"` // numbers of one set of weights
	Tensors    int      `json:"tensors"`    // of one set of weights
	Step       int64    `json:"step"`       // 0 where the file does not say
	Weights    string   `json:"weights"`    // sets that the file gave: ema, model or ema+model
	Ignored    []string `json:"ignored,omitempty"`
}

// foreign is a file of another framework.
type foreign struct {
	potential.Tensors
	config string // of a file that train export wrote
	step   int64
}

// Run implements the command.
func (cmd *importCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := free(cmd.Out, cmd.Force); err != nil {
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
		return failure.New(failure.Input, "weights are a PyTorch file (.pth) or a safetensors file", "weights %s: %w", cmd.File, err)
	}
	config, err := cmd.network(ctx, c, src)
	if err != nil {
		return err
	}
	ck, line, err := cmd.convert(src, config)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if err := program.WriteFile(cmd.Out, func(w io.Writer) error { return checkpoint.Write(io.MultiWriter(w, sum), ck) }); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	line.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if store != nil {
		digest, _, err := store.PutFile(ctx, cmd.Out)
		if err != nil {
			return err
		}
		if string(digest) != line.Digest {
			return failure.New(failure.Integrity, "run again when nothing writes to the file", "%s changed while it was stored", cmd.Out)
		}
		if err := store.SetRef(ctx, cmd.Ref, digest); err != nil {
			return err
		}
		line.Ref = cmd.Ref
	}
	return printLine(c, line)
}

func printLine(c *stage.Console, line any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

// free refuses to write over a file.
func free(path string, force bool) error {
	if _, err := os.Stat(path); err == nil && !force {
		return failure.New(failure.Usage, "--force writes over it", "%s is there already", path)
	}
	return nil
}

// openForeign opens a file by its content.
func openForeign(path string) (*foreign, error) {
	switch {
	case torchfile.IsFile(path):
		f, err := torchfile.Open(path)
		if err != nil {
			return nil, err
		}
		src := &foreign{Tensors: f}
		if n, ok := f.Number("step"); ok {
			src.step = max(0, n)
		} else if v, _, ok, err := f.Tensor("step"); ok && err == nil && len(v) == 1 && v[0] > 0 && v[0] < 1<<40 {
			src.step = int64(v[0])
		}
		return src, nil
	case safetensors.IsFile(path):
		f, err := safetensors.Open(path)
		if err != nil {
			return nil, err
		}
		meta := f.Metadata()
		n, err := strconv.ParseInt(meta["step"], 10, 64)
		if err != nil {
			n = 0 // another program's, or none
		}
		return &foreign{f, meta["config"], max(0, n)}, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return nil, errors.New("it begins like neither a PyTorch file nor a safetensors file")
}

// Order passes on the order of a file that has one.
func (f *foreign) Order() []string {
	if o, ok := f.Tensors.(interface{ Order() []string }); ok {
		return o.Order()
	}
	return nil
}

// network is the description of the network that the weights are for.
func (cmd *importCmd) network(ctx context.Context, c *stage.Console, src *foreign) (potential.Config, error) {
	var config potential.Config
	switch {
	case cmd.Preset != "":
		var err error
		if config, err = presetOf(cmd.Preset); err != nil {
			return config, failure.New(failure.Usage, "", "--%w", err)
		}
		config.Schedule, config.PriorStd = "linear", 1
		if config.Classes, err = potential.ClassesIn(src); err != nil {
			return config, failure.New(failure.Input, "--like says which network it is", "weights %s: %w", cmd.File, err)
		}
	case cmd.Like != "":
		path, err := c.Resolve(ctx, cmd.Like)
		if err != nil {
			return config, err
		}
		ck, err := checkpoint.Read(path)
		if err == nil && ck.Kind != checkpoint.Potential {
			err = fmt.Errorf("it holds a %s, expected a %s", ck.Kind, checkpoint.Potential)
		}
		if err == nil {
			config, err = potential.ParseConfig(ck.Config)
		}
		if err != nil {
			return config, failure.New(failure.Input, "give the output checkpoint of train", "--like %s: %w", cmd.Like, err)
		}
	case src.config != "":
		var err error
		if config, err = potential.ParseConfig(json.RawMessage(src.config)); err != nil {
			return config, failure.New(failure.Input, "--preset or --like say which network it is", "weights %s: %w", cmd.File, err)
		}
	default:
		return config, failure.New(failure.Usage, "add --preset or --like", "weights %s: the file does not say which network they are for", cmd.File)
	}
	if cmd.Schedule != "auto" {
		config.Schedule = cmd.Schedule
	}
	if cmd.PriorStd != nil {
		config.PriorStd = *cmd.PriorStd
	}
	if err := config.Check(); err != nil {
		return config, failure.New(failure.Usage, "", "%w", err)
	}
	return config, nil
}

// convert makes the checkpoint: both groups hold the one set of weights where there is only one.
func (cmd *importCmd) convert(src *foreign, config potential.Config) (*checkpoint.Checkpoint, *imported, error) {
	fail := func(hint string, err error) error {
		return failure.New(failure.Input, hint, "weights %s: %w", cmd.File, err)
	}
	which := cmd.Weights
	if which == "any" {
		which = potential.Either
	}
	w, err := potential.Import(src, config, which)
	if err != nil {
		return nil, nil, fail("--preset and --like say which network it is", err)
	}
	if len(w.Unknown) > 0 && !cmd.IgnoreExtra {
		return nil, nil, fail("--ignore-extra passes over them", &potential.UnknownError{Names: w.Unknown})
	}
	line := &imported{File: cmd.Out, Kind: checkpoint.Potential, Step: src.step, Weights: "ema+model", Ignored: w.Unknown}
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
