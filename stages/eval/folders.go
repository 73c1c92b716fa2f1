package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/stage"
)

// foldersCmd scores two folders of images with no store: one JSON line on standard output, a table on standard error.
type foldersCmd struct {
	A           string      `arg:"" help:"Folder of images to score."`
	B           string      `arg:"" help:"Folder of images to score them against."`
	Features    string      `help:"Checkpoint of the feature network: a file, ref:name or sha256:…; without it pixels are compared." placeholder:"REF"`
	Weights     string      `help:"Inception's weights, a PyTorch file (.pth): the distance is the FID. Images may then have any sizes." placeholder:"FILE"`
	Tap         int         `help:"Channels of the layer of Inception whose features are compared: 64, 192, 768, 1280, 2048, or 1008 for the logits." default:"2048"`
	Resize      string      `help:"How images are brought to Inception's size: ${enum}." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`
	Projections int         `help:"Directions of the sliced distance of pixels." default:"128"`
	Seed        uint64      `help:"Seed of those directions." default:"0"`
	Backend     engine.Name `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

// folderScore is the JSON line.
type folderScore struct {
	FID      *float64 `json:"fid,omitempty"` // with Inception
	Metric   string   `json:"metric"`
	Value    float64  `json:"value"`
	N        []int    `json:"n"`
	A        string   `json:"a"`
	B        string   `json:"b"`
	Shape    []int    `json:"shape,omitempty"` // [C, H, W]; with Inception images may be of any
	Features string   `json:"features,omitempty"`
	Tap      int      `json:"tap,omitempty"`
	Resize   string   `json:"resize,omitempty"`
	Digest   string   `json:"weights_sha256,omitempty"`
	MeanTerm float64  `json:"mean_term,omitempty"`
	CovTerm  float64  `json:"covariance_term,omitempty"`
	Backend  string   `json:"backend,omitempty"`
	Warnings []string `json:"warnings"`
}

// Run implements the command.
func (cmd *foldersCmd) Run(ctx context.Context, c *stage.Console) error {
	if cmd.Projections < 1 || cmd.Projections > maxProjections {
		return stage.Fail(stage.ExitUsage, "", "--projections is %d; it must be 1 to %d", cmd.Projections, maxProjections)
	}
	if !slices.Contains(feature.Taps, cmd.Tap) {
		return stage.Fail(stage.ExitUsage, "", "--tap is %d; it must be one of %v", cmd.Tap, feature.Taps)
	}
	if cmd.Weights != "" {
		if cmd.Features != "" {
			return stage.Fail(stage.ExitUsage, "", "--weights and --features name two feature networks, expected one")
		}
		s, err := cmd.inception(ctx, c)
		if err != nil {
			return err
		}
		return s.print(c)
	}
	a, b, skipped, err := readFolders(ctx, cmd.A, cmd.B)
	if err != nil {
		return err
	}
	leftOut(c, skipped)
	compare, _, err := cmd.open(ctx, c, cmd.Features)
	if err != nil {
		return err
	}
	if compare.net != nil {
		defer watch(c, compare, a.N+b.N)()
	}
	d, err := compare.distance(ctx, a, b)
	if err != nil {
		return err
	}
	s := cmd.score(compare, d, a.N, b.N)
	s.Shape = a.Shape()
	return s.print(c)
}

// inception scores the folders by the FID, image by image as they are read.
func (cmd *foldersCmd) inception(ctx context.Context, c *stage.Console) (*folderScore, error) {
	var paths [2][]string
	for i, dir := range []string{cmd.A, cmd.B} {
		list, skipped, err := listFolder(dir)
		if err != nil {
			return nil, err
		}
		paths[i] = list
		leftOut(c, skipped)
	}
	compare, digest, err := cmd.open(ctx, c, cmd.Weights)
	if err != nil {
		return nil, err
	}
	net, ok := compare.net.(*feature.InceptionNetwork)
	if !ok {
		return nil, stage.Fail(stage.ExitInput, "give a checkpoint of train as --features", "weights %s: not a PyTorch file", cmd.Weights)
	}
	defer watch(c, compare, len(paths[0])+len(paths[1]))()
	var moments [2]*metrics.Moments
	for i, list := range paths {
		moments[i], err = compare.addUp(ctx, len(list), func(from, to int, rows []float64) error {
			return net.FeaturesOf(from, to, func(k int) (feature.Image, error) {
				rgb, size, err := readImage(list[k])
				if err != nil {
					return feature.Image{}, badImage(list[k], err)
				}
				return feature.Image{C: 3, H: size.Y, W: size.X, Pixels: rgb}, nil
			}, rows)
		})
		if err != nil {
			return nil, engine.Explain(err)
		}
	}
	d, err := compare.between(moments[0], moments[1])
	if err != nil {
		return nil, err
	}
	s := cmd.score(compare, d, len(paths[0]), len(paths[1]))
	s.FID, s.Tap, s.Resize, s.Digest = &s.Value, cmd.Tap, cmd.Resize, strings.TrimPrefix(digest, "sha256:")
	return s, nil
}

func leftOut(c *stage.Console, skipped []string) {
	for _, path := range skipped {
		c.Log.Info("not an image by its name, left out", "path", path)
	}
}

// open opens the feature network that ref names; "" is none.
func (cmd *foldersCmd) open(ctx context.Context, c *stage.Console, ref string) (compare *comparer, digest string, err error) {
	var path string
	if ref != "" {
		if path, err = c.Resolve(ctx, ref); err != nil {
			return nil, "", err
		}
		if digest, err = fileDigest(path); err != nil {
			return nil, "", stage.Fail(stage.ExitInput, "", "feature network: %w", err)
		}
	}
	compare, err = newComparer(cmd.Backend, path, digest, feature.Options{Tap: cmd.Tap, Resize: feature.Resize(cmd.Resize)}, cmd.Projections, cmd.Seed)
	return compare, digest, err
}

// watch shows the progress over n images until the returned function is called.
func watch(c *stage.Console, compare *comparer, n int) (done func()) {
	progress := c.Progress(int64(n), "images")
	start := time.Now()
	var seen int64
	compare.done = func(k int) {
		seen += int64(k)
		progress.Set(seen, "images_per_s", math.Round(10*float64(seen)/time.Since(start).Seconds())/10)
	}
	return progress.Done
}

func (cmd *foldersCmd) score(compare *comparer, d distance, a, b int) *folderScore {
	s := &folderScore{
		Metric: compare.metric, Value: d.value, N: []int{a, b}, A: cmd.A, B: cmd.B, Features: compare.features,
		MeanTerm: d.meanTerm, CovTerm: d.covTerm, Warnings: append([]string{}, d.warnings...),
	}
	if compare.net == nil {
		s.Warnings = append(s.Warnings, noNetwork)
	} else {
		s.Backend = compare.engine.Class()
	}
	return s
}

// print writes the table for people and the line for programs.
func (s *folderScore) print(c *stage.Console) error {
	if err := s.table(c.Stderr); err != nil {
		return err
	}
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}

// table is the same for people.
func (s *folderScore) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // errors come back from Flush
	}
	line(s.Metric, "%.6g", s.Value)
	if s.Shape != nil {
		line("images", "%d against %d, %dx%dx%d", s.N[0], s.N[1], s.Shape[0], s.Shape[1], s.Shape[2])
	} else {
		line("images", "%d against %d", s.N[0], s.N[1])
	}
	line("folders", "%s against %s", s.A, s.B)
	if s.Features != "" {
		line("features", "%s", s.Features)
	}
	for _, warning := range s.Warnings {
		line("warning", "%s", warning)
	}
	return t.Flush()
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// shortDigest cuts the digests in s to 12 hexadecimal digits, for a line that people read.
func shortDigest(s string) string {
	i := strings.Index(s, "sha256:")
	if i < 0 || len(s) < i+7+12 {
		return s
	}
	return s[:i+7+12]
}
