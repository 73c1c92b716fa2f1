package main

import (
	"context"
	"fmt"
	"io"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/stage"
	"vapo/stages/train/internal/watch"
)

// emaCmd makes a checkpoint from an average of the weights. The length of the average is chosen after the training.
type emaCmd struct {
	File  string  `arg:"" help:"The averages output of a training run: a path, ref:name or sha256:…"`
	Std   float64 `help:"Length of the average: its relative standard deviation, such as 0.07." required:""`
	Step  int64   `help:"Step of the average, which must have a snapshot; 0: the last." default:"0"`
	Out   string  `help:"Checkpoint (.arrow) to write." required:"" type:"path"`
	Force bool    `help:"Overwrite an existing file."`
}

// reconstructed is the JSON line that the command prints.
type reconstructed struct {
	File      string  `json:"file"`
	Digest    string  `json:"digest"`
	Kind      string  `json:"kind"`
	Std       float64 `json:"std"`
	Step      int64   `json:"step"`
	Snapshots int     `json:"snapshots"` // number of averages that were combined
	Residual  float64 `json:"residual"`  // relative error of the average's profile
}

// Run implements the command.
func (cmd *emaCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := checkFree(cmd.Out, cmd.Force); err != nil {
		return err
	}
	if cmd.Step < 0 {
		return failure.New(failure.Usage, "", "--step is %d, expected 0 or more", cmd.Step)
	}
	ck, err := readCheckpoint(ctx, c, cmd.File)
	if err != nil {
		return err
	}
	out, r, err := average.Reconstruct(ck, average.Average{Std: cmd.Std, Step: cmd.Step})
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.File, err)
	}
	digest, err := writeFile(cmd.Out, func(w io.Writer) error { return checkpoint.Write(w, out) })
	if err != nil {
		return fmt.Errorf("ema: %w", err)
	}
	return c.Print(reconstructed{
		cmd.Out, string(digest), out.Kind, r.Std, r.Step, r.Snapshots, watch.Round(r.Residual, 3),
	})
}
