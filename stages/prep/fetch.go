package main

import (
	"context"
	"fmt"
	"log/slog"

	"vapo/lib/dataset/source"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// fetchCmd downloads a published set, for example before working without a network.
type fetchCmd struct {
	Source string `arg:"" help:"Set to download: cifar10, fashion-mnist or mnist."`
}

// Run implements the command.
func (c *fetchCmd) Run(ctx context.Context, con *stage.Console) error {
	if !source.IsPublished(c.Source) {
		return failure.New(failure.Usage, "choose cifar10, fashion-mnist or mnist",
			"%s is not a set that can be downloaded", c.Source)
	}
	if err := fetch(ctx, c.Source, con.Log, con.Progress); err != nil {
		return err
	}
	files, err := source.Locate(c.Source, "")
	for _, path := range files {
		fmt.Fprintln(con.Stdout, path)
	}
	return err
}

// fetch downloads a published set unless its files are already there.
func fetch(
	ctx context.Context, name string, log *slog.Logger, start func(total int64, unit string) *stage.Progress,
) error {
	return source.Fetch(ctx, name, log, func() (func(done, total int64), func()) { return stage.Download(start) })
}
