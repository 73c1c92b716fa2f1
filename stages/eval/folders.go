package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"vapo/lib/engine"
	"vapo/lib/stage"
)

// foldersCmd scores two folders of images with no store: one JSON line on standard output, a table on standard error.
type foldersCmd struct {
	A           string      `arg:"" help:"Folder of images to score."`
	B           string      `arg:"" help:"Folder of images to score them against."`
	Features    string      `help:"Checkpoint of the feature network: a file, ref:name or sha256:…; without it pixels are compared." placeholder:"REF"`
	Projections int         `help:"Directions of the sliced distance of pixels." default:"128"`
	Seed        uint64      `help:"Seed of those directions." default:"0"`
	Backend     engine.Name `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

// folderScore is the JSON line.
type folderScore struct {
	Metric   string   `json:"metric"`
	Value    float64  `json:"value"`
	N        []int    `json:"n"`
	A        string   `json:"a"`
	B        string   `json:"b"`
	Shape    []int    `json:"shape"` // [C, H, W]
	Features string   `json:"features,omitempty"`
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
	a, b, skipped, err := readFolders(ctx, cmd.A, cmd.B)
	if err != nil {
		return err
	}
	for _, path := range skipped {
		c.Log.Info("not an image by its name, left out", "path", path)
	}
	var path, digest string
	if cmd.Features != "" {
		if path, err = c.Resolve(ctx, cmd.Features); err != nil {
			return err
		}
		if digest, err = fileDigest(path); err != nil {
			return stage.Fail(stage.ExitInput, "", "feature network: %w", err)
		}
	}
	compare, err := newComparer(cmd.Backend, path, digest, cmd.Projections, cmd.Seed)
	if err != nil {
		return err
	}
	if compare.net != nil {
		progress := c.Progress(int64(a.N+b.N), "images")
		defer progress.Done()
		var seen int64
		compare.done = func(n int) { seen += int64(n); progress.Set(seen) }
	}
	d, err := compare.distance(ctx, a, b)
	if err != nil {
		return err
	}
	s := folderScore{
		Metric: compare.metric, Value: d.value, N: []int{a.N, b.N}, A: cmd.A, B: cmd.B, Shape: a.Shape(), Features: compare.features,
		MeanTerm: d.meanTerm, CovTerm: d.covTerm, Warnings: append([]string{}, d.warnings...),
	}
	if compare.net == nil {
		s.Warnings = append(s.Warnings, noNetwork)
	} else {
		s.Backend = compare.engine.Class()
	}
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
	line("images", "%d against %d, %dx%dx%d", s.N[0], s.N[1], s.Shape[0], s.Shape[1], s.Shape[2])
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
