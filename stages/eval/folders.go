package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"vapo/lib/artifact"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// foldersCmd scores two folders or archives of images and needs no store. It prints one JSON line to standard output
// and a table to standard error.
type foldersCmd struct {
	A string `arg:"" help:"A folder or archive of images, an .npz, samples or features (a file, ref:name, sha256:…)."`
	B string `arg:"" help:"The reference for A, in any of the same forms."`

	Features string `help:"A classifier's checkpoint. Without it and --weights, pixels are compared." placeholder:"REF"`
	Weights  string `help:"Inception's weights, for the FID. The images may differ in size." placeholder:"REF"`

	Measures measures `embed:""`

	Cache          string `help:"Directory of cached features; default: VAPO_STORE, if set." placeholder:"DIR" type:"path"`
	SaveStatistics string `help:"File for the moments (mu, sigma) of B." placeholder:"FILE.npz" type:"path"`
	Projections    int    `help:"Directions of the sliced Wasserstein distance." default:"128"`
	Seed           uint64 `help:"Seed of directions and subsets." default:"0"`

	Backend engine.Name `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

// maxProjections is far more than is useful. The limit prevents a typo from starting an endless computation.
const maxProjections = 10000

// Run implements the command.
func (cmd *foldersCmd) Run(ctx context.Context, c *stage.Console) error {
	if cmd.Projections < 1 || cmd.Projections > maxProjections {
		return failure.New(failure.Usage, "", "--projections is %d; it must be 1 to %d", cmd.Projections, maxProjections)
	}
	if cmd.Weights != "" && cmd.Features != "" {
		return failure.New(failure.Usage, "give only one of them", "--weights and --features name two feature networks")
	}
	metrics, err := cmd.Measures.selection()
	if err != nil {
		return failure.New(failure.Usage, "", "--%w", err)
	}
	scorer := newScorer(metrics, cmd.Projections, cmd.Seed)
	if cmd.Features+cmd.Weights != "" {
		extractor, err := cmd.open(ctx, c, metrics)
		if err != nil {
			return err
		}
		scorer.use(extractor)
		scorer.score.Backend = extractor.Backend
	}
	a, err := openArgument(ctx, c, cmd.A)
	if err != nil {
		return err
	}
	defer a.close()
	b, err := openArgument(ctx, c, cmd.B)
	if err != nil {
		return err
	}
	defer b.close()
	if err := scorer.choose(a, b); err != nil {
		return err
	}
	if !scorer.inception() {
		if err := loadFolders(ctx, a, b); err != nil {
			return err
		}
	}
	if err := scorer.check(a, b); err != nil {
		return err
	}
	if err := cmd.checkStatistics(scorer); err != nil {
		return err
	}
	cache, err := c.Parts(ctx, cmd.Cache)
	if err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	if scorer.inception() {
		scorer.extractor.Cache = cache
	}
	s, err := scorer.run(ctx, a, b, nil, c.Progress)
	if err != nil {
		return err
	}
	s.A, s.B = cmd.A, cmd.B
	s.Warnings = append(s.Warnings, a.warnings()...)
	if cmd.A != cmd.B {
		s.Warnings = append(s.Warnings, b.warnings()...)
	}
	if s.Metric == feature.FIDMetric {
		s.FID = &s.Value
	}
	if a.loaded != nil {
		s.Shape = a.loaded.Shape()
	}
	if err := s.writeTable(c.Stderr); err != nil {
		return err
	}
	if err := c.Print(s); err != nil || cmd.SaveStatistics == "" {
		return err
	}
	err = program.WriteFile(cmd.SaveStatistics, func(w io.Writer) error { return writeMoments(w, b.moments) })
	if err != nil {
		return fmt.Errorf("--save-statistics: %w", err)
	}
	return nil
}

// open opens the feature network given by --features or --weights.
func (cmd *foldersCmd) open(ctx context.Context, c *stage.Console, metrics metricSelection) (
	*feature.Extractor, error) {
	path, err := c.Resolve(ctx, cmd.Features+cmd.Weights) // one of them is empty
	if err != nil {
		return nil, fmt.Errorf("feature network: %w", err)
	}
	digest, _, err := artifact.FileDigest(path)
	if err != nil {
		return nil, fmt.Errorf("feature network: %w", err)
	}
	be, err := engine.Open(cmd.Backend)
	if err != nil {
		return nil, fmt.Errorf("feature network: %w", err)
	}
	extractor, err := cmd.Measures.open(path, string(digest), metrics, be)
	switch {
	case err != nil:
		return nil, err
	case cmd.Weights != "" && !extractor.Inception():
		return nil, failure.New(failure.Input, "give a classifier's checkpoint as --features",
			"--weights %s: the file does not hold Inception's weights", cmd.Weights)
	case cmd.Features != "" && extractor.Inception():
		return nil, failure.New(failure.Input, "give Inception's weights as --weights",
			"--features %s: the file is not a classifier's checkpoint", cmd.Features)
	}
	return extractor, nil
}

// checkStatistics returns an error if --save-statistics cannot be written. It runs before anything is computed.
func (cmd *foldersCmd) checkStatistics(c *scorer) error {
	if cmd.SaveStatistics == "" {
		return nil
	}
	if c.inPixels() {
		return failure.New(failure.Usage, "name a feature network with --weights or --features",
			"--save-statistics: there are no features to describe, because pixels are compared")
	}
	dir := filepath.Dir(cmd.SaveStatistics)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return failure.New(failure.Usage, "name a file in an existing directory",
			"--save-statistics: %s is not a directory", dir)
	}
	return nil
}

// writeTable prints the score as a table for people.
func (s *score) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // Flush returns the error, if any
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
	if s.Network != "" {
		line("features", "%s", s.Network)
	}
	for _, warning := range s.Warnings {
		line("warning", "%s", warning)
	}
	return t.Flush()
}

// shortDigest shortens a digest at the end of s to 12 hexadecimal digits, for display.
func shortDigest(s string) string {
	i := strings.Index(s, "sha256:")
	if i < 0 || len(s) < i+7+12 {
		return s
	}
	return s[:i+7+12]
}
