package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"vapo/lib/dataset"
	"vapo/lib/report/preview"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// Sizes of synthetic splits where none is asked for.
const (
	syntheticTrain = 50000
	syntheticTest  = 10000
)

// maxValues bounds what a synthetic split may hold: 4 GiB of float32.
const maxValues = 1 << 30

// noDigest is the source digest of what is drawn and not read.
const noDigest = "none"

type params struct {
	Source string `help:"What to prepare." default:"fashion-mnist" enum:"fashion-mnist,mnist,cifar10,8gaussians,two-moons,rings,mixture"`
	// The path is not part of the key, what lies there is: the digest.
	Path         string          `help:"Directory (cifar10: or .tar.gz, .tar archive) with the source's files; empty: where they are usually installed." keyed:"false"`
	SourceDigest string          `help:"Digest of the source's files; another one is an integrity error. auto: take them as they are." default:"auto"`
	Verify       bool            `help:"Compare files with the checksums of the published data set." default:"true" negatable:""`
	NTrain       int             `name:"n-train" help:"Training samples, from the first; 0: all (synthetic sources: 50000)." default:"0" unit:"samples"`
	NTest        int             `name:"n-test" help:"Test samples, from the first; 0: all (synthetic sources: 10000)." default:"0" unit:"samples"`
	Components   json.RawMessage `help:"Components of source mixture: [{\"weight\": 1, \"mean\": [0, 0], \"std\": 0.1}, …]." default:"null"`
	Std          float64         `help:"Standard deviation of the noise of 8gaussians, two-moons and rings." default:"0.15"`
	Seed         uint64          `help:"Seed of synthetic sources." default:"0"`
}

var spec = stage.Stage[params]{
	Name:    "prep",
	About:   "Read or draw a data set, check it and write its training and test split as tensor files.",
	Version: 1,
	Outputs: []stage.Port{
		{Name: "train", Media: stage.MediaArrow, Help: "training split"},
		{Name: "test", Media: stage.MediaArrow, Help: "test split"},
		{Name: "preview", Media: stage.MediaPNG, Help: "the first training samples, as a picture"},
		{Name: "summary", Media: stage.MediaJSON, Help: "counts, moments, checksums of the source files"},
	},
	Auto:  map[string]func(*params) string{"source-digest": resolveDigest},
	Check: check,
	Run:   run,
}

// resolveDigest makes the content of the source's files part of the cache key. Files that cannot be read leave "auto"
// behind, for check to say why: here there is no way to return an error.
func resolveDigest(p *params) string {
	if !dataset.IsPublished(p.Source) {
		return noDigest
	}
	digest, err := dataset.Digest(p.Source, p.Path)
	if err != nil {
		return "auto"
	}
	return digest
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func check(p *params) error {
	if p.NTrain < 0 || p.NTest < 0 {
		return fmt.Errorf("n-train is %d and n-test %d; counts cannot be negative", p.NTrain, p.NTest)
	}
	if !dataset.IsPublished(p.Source) {
		return checkSynthetic(p)
	}
	if given(p.Components) {
		return fmt.Errorf("components belong to source mixture, not to %s", p.Source)
	}
	if p.SourceDigest == "auto" { // it could not be resolved
		if _, err := dataset.Digest(p.Source, p.Path); err != nil {
			return coded(err)
		}
		return stage.Fail(stage.ExitInput, "run again when nothing else writes there", "the files of %s changed while they were read", p.Source)
	}
	if !digestForm.MatchString(p.SourceDigest) {
		return fmt.Errorf("source-digest is %q; it must be auto or sha256: and 64 hexadecimal digits", p.SourceDigest)
	}
	_, err := dataset.Locate(p.Source, p.Path)
	return coded(err)
}

func checkSynthetic(p *params) error {
	if p.Path != "" {
		return fmt.Errorf("source %s is drawn, not read; it takes no path", p.Source)
	}
	if p.SourceDigest != noDigest {
		return fmt.Errorf("source %s is drawn, not read; its source-digest is auto or %s", p.Source, noDigest)
	}
	components, err := parseComponents(p)
	if err != nil {
		return err
	}
	train, _, err := dataset.Synthetic(p.Source, p.Std, components, p.Seed, 0, 0)
	if err != nil {
		return err
	}
	for _, n := range []int{p.NTrain, p.NTest} {
		if n > maxValues/train.D {
			return fmt.Errorf("%d samples of %d dimensions; at most %d values are drawn", n, train.D, maxValues)
		}
	}
	return nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func parseComponents(p *params) ([]dataset.Component, error) {
	if !given(p.Components) {
		if p.Source == "mixture" {
			return nil, fmt.Errorf("source mixture needs components, a list of {weight, mean, std}")
		}
		return nil, nil
	}
	var components []dataset.Component
	dec := json.NewDecoder(bytes.NewReader(p.Components))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&components); err != nil {
		return nil, fmt.Errorf("components: %w", err)
	}
	return components, nil
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	train, test, files, err := load(job, p)
	if err != nil {
		return coded(err)
	}
	sum := summarise(p.Source, train, test, files)
	job.Set("source", p.Source)
	job.Set("shape", train.Shape())
	job.Set("train", train.Len())
	job.Set("test", test.Len())
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"train", func(w io.Writer) error { return tensorfile.Write(w, train.Table()) }},
		{"test", func(w io.Writer) error { return tensorfile.Write(w, test.Table()) }},
		{"preview", func(w io.Writer) error { return preview.PNG(w, train) }},
		{"summary", sum.write},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := job.Output(ctx, out.name, out.write); err != nil {
			return err
		}
	}
	return nil
}

// load returns the two splits at the sizes asked for, and the files they were read from.
func load(job *stage.Job, p *params) (train, test dataset.Set, files []dataset.File, err error) {
	if !dataset.IsPublished(p.Source) {
		components, err := parseComponents(p)
		if err != nil {
			return nil, nil, nil, stage.Fail(stage.ExitUsage, "", "%w", err)
		}
		nTrain, nTest := p.NTrain, p.NTest
		if nTrain == 0 {
			nTrain = syntheticTrain
		}
		if nTest == 0 {
			nTest = syntheticTest
		}
		train, test, err := dataset.Synthetic(p.Source, p.Std, components, p.Seed, nTrain, nTest)
		return train, test, nil, err
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	l, err := dataset.Load(p.Source, p.Path, p.Verify)
	if err != nil {
		return nil, nil, nil, err
	}
	if l.Digest != p.SourceDigest {
		return nil, nil, nil, &dataset.ChecksumError{Path: p.Source, Of: "source-digest", Want: p.SourceDigest, Got: l.Digest}
	}
	if train, err = first("n-train", l.Train, p.NTrain); err != nil {
		return nil, nil, nil, err
	}
	if test, err = first("n-test", l.Test, p.NTest); err != nil {
		return nil, nil, nil, err
	}
	return train, test, l.Files, nil
}

// first returns the first n samples, all for n = 0.
func first(param string, s *dataset.Images, n int) (dataset.Set, error) {
	if n > s.N {
		return nil, stage.Fail(stage.ExitUsage, fmt.Sprintf("set %s to at most %d, or to 0 for all", param, s.N),
			"%s is %d, but %s has %d samples in its %s split", param, n, s.Name, s.N, s.Split)
	}
	if n == 0 {
		n = s.N
	}
	return s.Head(n), nil
}

// coded gives errors of sources their exit code and a hint.
func coded(err error) error {
	var notFound *dataset.NotFoundError
	var file *dataset.FileError
	var sum *dataset.ChecksumError
	var path *fs.PathError
	switch {
	case errors.As(err, &notFound):
		return stage.Fail(stage.ExitInput, notFound.Hint, "%w", err)
	case errors.As(err, &sum):
		return stage.Fail(stage.ExitIntegrity, "get a fresh copy of the file; if it is meant to differ, give --no-verify or the new --source-digest", "%w", err)
	case errors.As(err, &file):
		return stage.Fail(stage.ExitInput, "get a fresh copy of the file", "%w", err)
	case errors.As(err, &path):
		return stage.Fail(stage.ExitInput, "check the path and its permissions", "%w", err)
	}
	return err
}
