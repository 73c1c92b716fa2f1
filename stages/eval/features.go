package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/scoring"
	"vapo/lib/stage"
)

// featuresCmd computes Inception's features of a set and keeps them, so that scores find them: all of them, or a worker's
// part.
type featuresCmd struct {
	Images  string      `arg:"" help:"A folder of PNG or JPEG images, an .npz of images, or a REF (a file, ref:name or sha256:…) of a data set."`
	Weights string      `help:"Inception's weights, a file (.pth, .safetensors), ref:name or sha256:…" placeholder:"REF" required:""`
	Tap     int         `help:"Channels of the layer of Inception: 64, 192, 768, 1280, 2048, or 1008 for the logits." default:"2048"`
	Resize  string      `help:"How images are brought to Inception's size: ${enum}." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`
	Metrics string      `help:"Those of the scores that are to find the features: with the inception score they come with logits." default:"all"`
	Part    part        `help:"Compute the i-th of n parts, for n workers at once." placeholder:"I/N" default:"1/1"`
	Cache   string      `help:"Keep the features in this directory; without it in the store that VAPO_STORE names." placeholder:"DIR" type:"path"`
	Backend engine.Name `help:"Compute engine, see sample --help." default:"auto"`
}

// part is one worker's share: the i-th of n, from 1.
type part struct{ i, n int }

// maxParts bounds the number of workers.
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

// featuresDone is the JSON line.
type featuresDone struct {
	Images   int    `json:"images"` // of the whole set
	Part     string `json:"part"`
	Computed int64  `json:"computed"`
	Kept     int64  `json:"kept"` // found where features are kept
	Features string `json:"features"`
}

// Run implements the command.
func (cmd *featuresCmd) Run(ctx context.Context, c *stage.Console) error {
	w, err := parseMeasures(cmd.Metrics)
	if err != nil {
		return failure.New(failure.Usage, "", "--%w", err)
	}
	parts, err := c.Parts(ctx, cmd.Cache)
	if err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	if parts == nil {
		return failure.New(failure.Usage, "give --cache DIR, or set VAPO_STORE", "the features have nowhere to go: no --cache and no store")
	}
	as := foldersCmd{Weights: cmd.Weights, Tap: cmd.Tap, Resize: cmd.Resize, Backend: cmd.Backend}
	compare, err := as.open(ctx, c, w)
	if err != nil {
		return err
	}
	compare.keep(parts)
	s, err := readLazily(ctx, c, cmd.Images)
	if err != nil {
		return err
	}
	if s.images == nil {
		return failure.New(failure.Input, "", "%s holds no images", s.label)
	}
	out := featuresDone{Images: s.n(), Part: fmt.Sprintf("%d/%d", cmd.Part.i, cmd.Part.n), Features: compare.features}
	shards := (s.n() + feature.Shard - 1) / feature.Shard
	mine := 0 // images
	for k := cmd.Part.i - 1; k < shards; k += cmd.Part.n {
		mine += min(feature.Shard, s.n()-k*feature.Shard)
	}
	progress := watchImages(c.Progress, compare, int64(mine))
	report := compare.extract.Progress
	compare.extract.Progress = func(n int, kept bool) {
		if kept {
			out.Kept += int64(n)
		} else {
			out.Computed += int64(n)
		}
		report(n, kept)
	}
	err = compare.extract.Work(ctx, s.images, cmd.Part.i-1, cmd.Part.n)
	progress()
	if err != nil {
		return scoring.Explain(ctx, s.label, err)
	}
	return json.NewEncoder(c.Stdout).Encode(out)
}

// readLazily opens a set whose images are looked at one by one.
func readLazily(ctx context.Context, c *stage.Console, arg string) (*side, error) {
	info, err := os.Stat(arg)
	if err != nil || !info.IsDir() {
		return openArgument(ctx, c, arg, err)
	}
	paths, skipped, err := listFolder(arg)
	if err != nil {
		return nil, err
	}
	leftOut(c, skipped)
	return &side{label: "folder " + arg, name: arg, images: files(paths)}, nil
}
