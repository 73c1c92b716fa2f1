package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/program"
	"vapo/lib/scoring"
	"vapo/lib/stage"
)

// foldersCmd scores two folders of images with no store: one JSON line on standard output, a table on standard error.
type foldersCmd struct {
	A              string      `arg:"" help:"What to score: a folder of PNG or JPEG images, an .npz of images or moments, or a REF (a file, ref:name or sha256:…) of samples or features."`
	B              string      `arg:"" help:"What to score it against, in the same forms."`
	Features       string      `help:"Checkpoint of the feature network: a file, ref:name or sha256:…; without it pixels are compared." placeholder:"REF"`
	Weights        string      `help:"Inception's weights, a file (.pth, .safetensors), ref:name or sha256:…: the distance is the FID. Images may then have any sizes." placeholder:"REF"`
	Tap            int         `help:"Channels of the layer of Inception whose features are compared: 64, 192, 768, 1280, 2048, or 1008 for the logits." default:"2048"`
	Resize         string      `help:"How images are brought to Inception's size: ${enum}." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`
	Metrics        string      `help:"Beside the Fréchet distance: all that can be measured, none, or a list of interval, fid-infinity, kid, inception-score, manifold (precision, recall, density, coverage)." default:"all"`
	Cache          string      `help:"Keep Inception's features in this directory, and take them from there; without it the store is used, if VAPO_STORE names one. Without either, a run that was stopped starts over." placeholder:"DIR" type:"path"`
	SaveStatistics string      `help:"Write the moments of B's features to this file, as FID tools share them." placeholder:"FILE.npz" type:"path"`
	Projections    int         `help:"Directions of the sliced distance of pixels." default:"128"`
	Seed           uint64      `help:"Seed of directions and subsets." default:"0"`
	Backend        engine.Name `help:"Compute engine of the feature network, see sample --help." default:"auto"`
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
	Weights  string   `json:"weights_sha256,omitempty"`
	MeanTerm float64  `json:"mean_term,omitempty"`
	CovTerm  float64  `json:"covariance_term,omitempty"`
	numbers
	Backend  string   `json:"backend,omitempty"`
	Warnings []string `json:"warnings"`
}

// Run implements the command.
func (cmd *foldersCmd) Run(ctx context.Context, c *stage.Console) error {
	if cmd.Projections < 1 || cmd.Projections > maxProjections {
		return failure.New(failure.Usage, "", "--projections is %d; it must be 1 to %d", cmd.Projections, maxProjections)
	}
	if !slices.Contains(feature.Taps, cmd.Tap) {
		return failure.New(failure.Usage, "", "--tap is %d; it must be one of %v", cmd.Tap, feature.Taps)
	}
	w, err := parseMeasures(cmd.Metrics)
	if err != nil {
		return failure.New(failure.Usage, "", "--%w", err)
	}
	if cmd.Weights != "" && cmd.Features != "" {
		return failure.New(failure.Usage, "", "--weights and --features name two feature networks, expected one")
	}
	compare, err := cmd.open(ctx, c, w)
	if err != nil {
		return err
	}
	a, b, err := readSides(ctx, c, cmd.A, cmd.B, compare.inception())
	if err != nil {
		return err
	}
	if err := compare.adopt(a, b); err != nil {
		return err
	}
	if err := compare.measurable(w, a, b); err != nil {
		return err
	}
	if err := cmd.canSave(compare); err != nil { // said before the work, not after it
		return err
	}
	parts, err := c.Parts(ctx, cmd.Cache)
	if err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	compare.keep(parts)
	done := func() {}
	if compare.engine != nil {
		done = watch(c.Progress, compare, a, b)
	}
	d, err := compare.distance(ctx, a, b)
	done() // before the table
	if err != nil {
		return err
	}
	s := &folderScore{
		Metric: compare.metric, Value: d.value, N: []int{a.n(), b.n()}, A: cmd.A, B: cmd.B, Features: compare.features,
		Tap: compare.tap, Resize: compare.resize, Weights: compare.weights,
		MeanTerm: d.meanTerm, CovTerm: d.covTerm, Warnings: slices.Concat([]string{}, compare.warnings, d.warnings),
	}
	if compare.metric == scoring.FIDMetric {
		s.FID = &s.Value
	}
	if compare.engine != nil {
		s.Backend = compare.engine.Class()
	}
	if compare.inPixels() {
		s.Warnings = append(s.Warnings, noNetwork)
	} else {
		var warnings []string
		if s.numbers, warnings, err = compare.measure(ctx, w, a, b); err != nil {
			return err
		}
		s.Warnings = append(s.Warnings, warnings...)
	}
	if a.set != nil {
		s.Shape = a.set.Shape()
	}
	s.Warnings = unique(s.Warnings)
	if err := s.print(c); err != nil {
		return err
	}
	if cmd.SaveStatistics != "" {
		if err := program.WriteFile(cmd.SaveStatistics, func(w io.Writer) error { return writeMoments(w, b.moments) }); err != nil {
			return fmt.Errorf("--save-statistics: %w", err)
		}
	}
	return nil
}

// canSave returns an error where the moments cannot be written.
func (cmd *foldersCmd) canSave(c *comparer) error {
	if cmd.SaveStatistics == "" {
		return nil
	}
	if c.inPixels() {
		return failure.New(failure.Usage, "name a feature network", "--save-statistics: pixels are compared, there are no features")
	}
	dir := filepath.Dir(cmd.SaveStatistics)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return failure.New(failure.Usage, "name a file in a directory that is there", "--save-statistics: %s is not a directory", dir)
	}
	return nil
}

func leftOut(c *stage.Console, skipped []string) {
	for _, path := range skipped {
		c.Log.Info("left out: not an image by its name, or sample's overview", "path", path)
	}
}

// open opens the feature network that the flags name, if they do.
func (cmd *foldersCmd) open(ctx context.Context, c *stage.Console, w wanted) (*comparer, error) {
	net := network{engine: cmd.Backend, options: feature.Options{Tap: cmd.Tap, Resize: feature.Resize(cmd.Resize)}}
	net.options.Logits, net.optional = w.logits(cmd.Tap)
	if ref := cmd.Features + cmd.Weights; ref != "" { // one at most
		var err error
		if net.path, err = c.Resolve(ctx, ref); err != nil {
			return nil, fmt.Errorf("feature network: %w", err)
		}
		digest, _, err := artifact.FileDigest(net.path)
		if err != nil {
			return nil, fmt.Errorf("feature network: %w", err)
		}
		net.digest = string(digest)
	}
	compare, err := newComparer(net, cmd.Projections, cmd.Seed)
	if err == nil && (cmd.Weights != "") != compare.inception() {
		if cmd.Weights != "" {
			err = failure.New(failure.Input, "give a checkpoint of train as --features", "weights %s: not Inception's", cmd.Weights)
		} else if cmd.Features != "" {
			err = failure.New(failure.Input, "give Inception's weights as --weights", "features %s: not a classifier", cmd.Features)
		}
	}
	return compare, err
}

// watch shows the progress of computing the features of all images of the sides until the returned function is called.
func watch(start func(total int64, unit string) *stage.Progress, c *comparer, sides ...*side) (done func()) {
	var total int64
	for _, s := range sides {
		if s.images != nil {
			total += int64(s.images.Len())
		}
	}
	return watchImages(start, c, total)
}

// watchImages is watch for so many images.
func watchImages(start func(total int64, unit string) *stage.Progress, c *comparer, total int64) (done func()) {
	progress := start(total, "images")
	began := time.Now()
	var seen, kept int64
	c.extract.Progress = func(n int, was bool) {
		seen += int64(n)
		if was {
			kept += int64(n)
		}
		fields := []any{"images_per_s", 0.0, "from_cache", kept}
		if computed := seen - kept; computed > 0 {
			rate := float64(computed) / time.Since(began).Seconds()
			fields[1] = math.Round(10*rate) / 10
			fields = append(fields, "seconds_left", math.Round(float64(total-seen)/rate))
		}
		progress.Set(seen, fields...)
	}
	return progress.Done
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
	value := fmt.Sprintf("%.6g", s.Value)
	if i := s.Interval; i != nil {
		value += fmt.Sprintf("   95 %% interval %.4g to %.4g", i.Low, i.High)
	}
	line(s.Metric, "%s", value)
	if x := s.Infinity; x != nil {
		line("extrapolated to N = ∞", "%.6g", x.Value)
	}
	if x := s.KID; x != nil {
		line("KID", "%.4g ± %.2g over %d subsets of %d", x.Mean, x.Std, x.Subsets, x.Size)
	}
	if x := s.Inception; x != nil {
		line("Inception score of A", "%.4g ± %.2g", x.Mean, x.Std)
	}
	if x := s.Manifold; x != nil {
		line("precision, recall", "%.3f, %.3f", x.Precision, x.Recall)
		line("density, coverage", "%.3f, %.3f", x.Density, x.Coverage)
	}
	n := fmt.Sprintf("%d against %d", s.N[0], s.N[1])
	if s.N[1] == 0 {
		n = fmt.Sprintf("%d against moments", s.N[0])
	}
	if s.Shape != nil {
		n += fmt.Sprintf(", %dx%dx%d", s.Shape[0], s.Shape[1], s.Shape[2])
	}
	line("images", "%s", n)
	line("of", "%s against %s", s.A, s.B)
	if s.Features != "" {
		line("features", "%s", s.Features)
	}
	for _, warning := range s.Warnings {
		line("warning", "%s", warning)
	}
	return t.Flush()
}

// shortDigest cuts the digests in s to 12 hexadecimal digits, for a line that people read.
func shortDigest(s string) string {
	i := strings.Index(s, "sha256:")
	if i < 0 || len(s) < i+7+12 {
		return s
	}
	return s[:i+7+12]
}
