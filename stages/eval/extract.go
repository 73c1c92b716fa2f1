package main

import (
	"context"
	"fmt"

	"vapo/lib/contract"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// extractCmd computes and caches the Inception features of a set, or of one worker's share of the set, so that later
// scores need not compute them.
type extractCmd struct {
	Images  string `arg:"" help:"A folder or archive of images, an .npz, or a data set (a file, ref:name or sha256:…)."`
	Weights string `help:"Inception's weights: a file, ref:name or sha256:…" placeholder:"REF" required:""`

	Measures measures `embed:""`

	Shard contract.Shard `help:"Compute share I of N, for N workers." placeholder:"I/N" default:"1/1"`
	Cache string         `help:"Directory of cached features; default: the store." placeholder:"DIR" type:"path"`

	Backend engine.Name `help:"Compute engine, see sample --help." default:"auto"`
}

// extractResult is the JSON line that the command prints.
type extractResult struct {
	Images   int    `json:"images"` // number of images in the whole set
	Shard    string `json:"shard"`
	Computed int    `json:"computed"`
	Cached   int    `json:"kept"` // number of images whose features were found in the cache
	Network  string `json:"features"`

	Warnings []string `json:"warnings,omitempty"` // files that were left out
}

// Run implements the command.
func (cmd *extractCmd) Run(ctx context.Context, c *stage.Console) error {
	metrics, err := cmd.Measures.selection()
	if err != nil {
		return failure.New(failure.Usage, "", "--%w", err)
	}
	cache, err := c.Parts(ctx, cmd.Cache)
	if err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	if cache == nil {
		return failure.New(failure.Usage, "give --cache DIR, or set VAPO_STORE",
			"there is nowhere to keep the features: no --cache, and VAPO_STORE is not set")
	}
	network := foldersCmd{Weights: cmd.Weights, Measures: cmd.Measures, Backend: cmd.Backend}
	extractor, err := network.open(ctx, c, metrics)
	if err != nil {
		return err
	}
	extractor.Cache = cache
	s, err := openArgument(ctx, c, cmd.Images)
	if err != nil {
		return err
	}
	defer s.close()
	if s.archive != "" {
		if err := s.useImages(); err != nil {
			return err
		}
	}
	if s.images == nil {
		return failure.New(failure.Input, "give a folder, an archive or a data set of images", "%s holds no images", s.label)
	}
	out := extractResult{Images: s.n(), Shard: cmd.Shard.String(), Network: extractor.Description()}
	worker, workers := cmd.Shard.I-1, cmd.Shard.N
	total := extractor.Share(s.images, worker, workers)
	done := watch(extractor, c.Progress(int64(total), "images"), total)
	report := extractor.Progress
	extractor.Progress = func(n int, cached bool) {
		if cached {
			out.Cached += n
		} else {
			out.Computed += n
		}
		report(n, cached)
	}
	err = extractor.Work(ctx, s.images, worker, workers)
	done()
	if err != nil {
		return fmt.Errorf("features of %s: %w", s.label, err)
	}
	out.Warnings = s.warnings()
	return c.Print(out)
}
