package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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
)

// exportCmd writes a potential's weights for other frameworks.
type exportCmd struct {
	Checkpoint string `arg:"" name:"checkpoint" help:"Checkpoint of a potential: a path, ref:name or sha256:…"`
	File       string `arg:"" name:"file" help:"Safetensors file to write." type:"path"`
	Weights    string `help:"An average (ema, ema.1, …; std:S has length S, see ema), or raw." default:"ema"`
	Force      bool   `help:"Overwrite an existing file."`
}

// exported is the JSON line that the command prints.
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
	if err := checkFree(cmd.File, cmd.Force); err != nil {
		return err
	}
	if _, err := potential.Group(cmd.Weights); err != nil {
		return fmt.Errorf("--weights: %w", err)
	}
	ck, err := readCheckpoint(ctx, c, cmd.Checkpoint)
	if err != nil {
		return err
	}
	ck, group, err := potential.Select(ck, cmd.Weights)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Checkpoint, err)
	}
	config, weights, err := potential.FromCheckpoint(ck, group)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Checkpoint, err)
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
	digest, err := writeFile(cmd.File, func(w io.Writer) error { return safetensors.Write(w, tensors, meta) })
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return c.Print(exported{
		cmd.File, string(digest), ck.Kind, layer.Count(params), len(params), ck.Step, cmd.Weights,
	})
}

// readCheckpoint reads a checkpoint given as a path, ref:name or digest.
func readCheckpoint(ctx context.Context, c *stage.Console, ref string) (*checkpoint.Checkpoint, error) {
	path, err := c.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	ck, err := checkpoint.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, "give the checkpoint output of train", "%w", err)
	}
	return ck, nil
}

// checkFree returns a usage error if the file exists, unless force is set.
func checkFree(path string, force bool) error {
	if _, err := os.Stat(path); err == nil && !force {
		return failure.New(failure.Usage, "--force overwrites it", "%s exists already", path)
	}
	return nil
}

// writeFile writes a file and returns its digest.
func writeFile(path string, write func(io.Writer) error) (artifact.Digest, error) {
	sum := sha256.New()
	err := program.WriteFile(path, func(w io.Writer) error { return write(io.MultiWriter(w, sum)) })
	return artifact.SumDigest(sum.Sum(nil)), err
}
