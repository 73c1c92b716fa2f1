package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/stage"
)

// exportCmd hands a potential's weights to other frameworks.
type exportCmd struct {
	Checkpoint string `arg:"" name:"checkpoint" help:"Checkpoint of a potential: a path, ref:name or sha256:…"`
	File       string `arg:"" name:"file" help:"Safetensors file to write. Its tensors have the names of the parameters; the network's description is in its metadata." type:"path"`
	Weights    string `help:"Which weights: their moving averages (ema; ema.1, ema.2, … where training kept several), or as trained (raw)." default:"ema"`
	Force      bool   `help:"Write over a file that is there."`
}

// exported is the JSON line.
type exported struct {
	File       string `json:"file"`
	Digest     string `json:"digest"`
	Kind       string `json:"kind"`
	Parameters int    `json:"parameters"`
	Tensors    int    `json:"tensors"`
	Step       int64  `json:"step"`
	Weights    string `json:"weights"`
}

// Run implements the command.
func (cmd *exportCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := free(cmd.File, cmd.Force); err != nil {
		return err
	}
	group, err := potential.Group(cmd.Weights)
	if err != nil {
		return failure.New(failure.Usage, "", "--weights: %w", err)
	}
	path, err := c.Resolve(ctx, cmd.Checkpoint)
	if err != nil {
		return err
	}
	ck, err := checkpoint.Read(path)
	if err != nil {
		return failure.New(failure.Input, "give the output checkpoint of train", "%w", err)
	}
	config, weights, err := potential.FromCheckpoint(ck, group)
	var missing *potential.GroupError
	if errors.As(err, &missing) {
		return failure.New(failure.Input, "--weights takes one of those it has", "%s: %w", cmd.Checkpoint, err)
	}
	if err != nil {
		return failure.New(failure.Input, "give a checkpoint trained with --model mlp, wrn or unet", "%s: %w", cmd.Checkpoint, err)
	}
	params, err := config.Parameters()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for _, p := range params {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: weights[p.Name]})
	}
	meta := map[string]string{"config": string(raw), "step": strconv.FormatInt(ck.Step, 10), "weights": cmd.Weights}
	sum := sha256.New()
	err = program.WriteFile(cmd.File, func(w io.Writer) error { return safetensors.Write(io.MultiWriter(w, sum), tensors, meta) })
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return printLine(c, exported{cmd.File, digest, ck.Kind, layer.Count(params), len(params), ck.Step, cmd.Weights})
}
