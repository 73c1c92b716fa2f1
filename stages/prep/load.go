package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/preview"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

func run(ctx context.Context, job *stage.Job, p *params) error {
	switch p.Source {
	case "images", "celeba":
		return runPictures(ctx, job, p)
	case "shapes":
		return runShapes(ctx, job, p)
	}
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
		{"preview", func(w io.Writer) error { return preview.Set(w, train) }},
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
	if p.Source == "csv" {
		return loadTable(job, p)
	}
	if !dataset.IsPublished(p.Source) {
		components, err := parseComponents(p)
		if err != nil {
			return nil, nil, nil, failure.New(failure.Usage, "", "%w", err)
		}
		nTrain, nTest := drawn(p)
		train, test, err := dataset.Synthetic(p.Source, p.Std, components, p.Seed, nTrain, nTest)
		return train, test, nil, err
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	l, err := dataset.Load(p.Source, p.Path, p.Verify)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := sameDigest(p, l.Digest); err != nil {
		return nil, nil, nil, err
	}
	if train, err = first("n-train", l.Train, p.NTrain); err != nil {
		return nil, nil, nil, err
	}
	if test, err = first("n-test", l.Test, p.NTest); err != nil {
		return nil, nil, nil, err
	}
	return train, test, l.Files, nil
}

// drawn returns the sizes of splits of a source that is drawn.
func drawn(p *params) (nTrain, nTest int) {
	nTrain, nTest = p.NTrain, p.NTest
	if nTrain == 0 {
		nTrain = syntheticTrain
	}
	if nTest == 0 {
		nTest = syntheticTest
	}
	return nTrain, nTest
}

// sameDigest returns an error where other bytes were read than the run is keyed by.
func sameDigest(p *params, digest string) error {
	if digest != p.SourceDigest {
		return &dataset.ChecksumError{Path: p.Source, Of: "source-digest", Want: p.SourceDigest, Got: digest}
	}
	return nil
}

// first returns the first n samples, all for n = 0.
func first(param string, s *dataset.Images, n int) (dataset.Set, error) {
	if n > s.N {
		return nil, failure.New(failure.Usage, fmt.Sprintf("set %s to at most %d, or to 0 for all", param, s.N),
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
	var broken *dataset.BrokenImageError
	var cell *dataset.CellError
	var few *dataset.TooFewError
	switch {
	case errors.As(err, &broken):
		return failure.New(failure.Input, "remove or replace that file, or give --skip-broken", "%w", err)
	case errors.As(err, &cell):
		return failure.New(failure.Input, "mend that cell, choose other --columns, or give --drop-missing", "%w", err)
	case errors.As(err, &few):
		return failure.New(failure.Usage, fmt.Sprintf("set n-%s to at most %d, or to 0 for all", few.Split, few.Have), "%w", err)
	case errors.As(err, &notFound):
		return failure.New(failure.Input, notFound.Hint, "%w", err)
	case errors.As(err, &sum):
		return failure.New(failure.Integrity, "get a fresh copy of the file; if it is meant to differ, give --no-verify or the new --source-digest", "%w", err)
	case errors.As(err, &file):
		return failure.New(failure.Input, cmp.Or(file.Hint, "get a fresh copy of the file"), "%w", err)
	case errors.As(err, &path):
		return failure.New(failure.Input, "check the path and its permissions", "%w", err)
	}
	return err
}
