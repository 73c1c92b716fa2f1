package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/stage"
)

// extractCmd computes and caches the Inception features of a set, or of one worker's part of the set, so that later
// scores need not compute them.
type extractCmd struct {
	Images  string `arg:"" help:"A folder or archive of images, an .npz, or a data set (a file, ref:name or sha256:…)."`
	Weights string `help:"Inception's weights: a file, ref:name or sha256:…" placeholder:"REF" required:""`

	Measures measures `embed:""`

	Part  part   `help:"Compute part i of n, so that n workers share the images." placeholder:"I/N" default:"1/1"`
	Cache string `help:"Directory of cached features; default: the store in VAPO_STORE." placeholder:"DIR" type:"path"`

	Backend engine.Name `help:"Compute engine, see sample --help." default:"auto"`
}

// part selects the i-th of n parts, one for each worker. i counts from 1.
type part struct{ i, n int }

// maxParts is the largest number of workers.
const maxParts = 10000

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *part) UnmarshalText(text []byte) error {
	a, b, ok := strings.Cut(string(text), "/")
	i, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || i < 1 || i > n || n > maxParts {
		return fmt.Errorf("want i/n with 1 <= i <= n <= %d, such as 2/4, got %q", maxParts, text)
	}
	*p = part{i, n}
	return nil
}

// extractResult is the JSON line that the command prints.
type extractResult struct {
	Images   int    `json:"images"` // number of images in the whole set
	Part     string `json:"part"`
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
	name := fmt.Sprintf("%d/%d", cmd.Part.i, cmd.Part.n)
	out := extractResult{Images: s.n(), Part: name, Network: extractor.Description()}
	total := 0 // number of images in this part
	for from := (cmd.Part.i - 1) * feature.Shard; from < s.n(); from += cmd.Part.n * feature.Shard {
		total += min(feature.Shard, s.n()-from)
	}
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
	err = extractor.Work(ctx, s.images, cmd.Part.i-1, cmd.Part.n)
	done()
	if err != nil {
		return fmt.Errorf("features of %s: %w", s.label, err)
	}
	out.Warnings = s.warnings()
	return c.Print(out)
}
