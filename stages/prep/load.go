package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"io"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/failure"
	"vapo/lib/preview"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

func run(ctx context.Context, job *stage.Job, p *params) error {
	switch p.Source {
	case "images", "celeba":
		return runImages(ctx, job, p)
	case "shapes":
		return runShapes(ctx, job, p)
	}
	train, test, files, err := load(ctx, job, p)
	if err != nil {
		return err
	}
	summary := summarise(p.Source, train, test, files)
	job.Set("source", p.Source)
	job.Set("shape", train.Shape())
	job.Set("train", train.Len())
	job.Set("test", test.Len())
	job.Summary("%s", summary)
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"train", func(w io.Writer) error { return tensorfile.Write(w, train.Table()) }},
		{"test", func(w io.Writer) error { return tensorfile.Write(w, test.Table()) }},
		{"preview", func(w io.Writer) error { return preview.Set(w, train) }},
		{"summary", summary.write},
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

// load returns the two splits in their requested sizes, and the files from which they were read.
func load(
	ctx context.Context, job *stage.Job, p *params,
) (train, test dataset.Set, files []source.File, err error) {
	if !source.IsRead(p.Source) {
		components, err := parseComponents(p)
		if err != nil {
			return nil, nil, nil, failure.New(failure.Usage, "", "%w", err)
		}
		nTrain, nTest := drawnSizes(p)
		train, test, err := source.Points(p.Source, p.Std, components, p.Seed, nTrain, nTest)
		return train, test, nil, err
	}
	if p.fetches() {
		if err := fetch(ctx, p.Source, job.Log(), job.Progress); err != nil {
			return nil, nil, nil, err
		}
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	if p.Source == "csv" {
		return loadCSV(job, p)
	}
	l, err := source.Load(p.Source, p.Path, p.Verify, p.NTrain, p.NTest)
	if err != nil {
		return nil, nil, nil, err
	}
	return l.Train, l.Test, l.Files, source.CheckDigest(p.Source, p.SourceDigest, l.Digest)
}

// drawnSizes returns how many training and test samples a drawn source has.
func drawnSizes(p *params) (nTrain, nTest int) {
	return cmp.Or(p.NTrain, drawnTrain), cmp.Or(p.NTest, drawnTest)
}

func loadCSV(job *stage.Job, p *params) (train, test dataset.Set, files []source.File, err error) {
	names, err := columns(p)
	if err != nil {
		return nil, nil, nil, err
	}
	delimiter, err := source.Delimiter(p.Delimiter)
	if err != nil {
		return nil, nil, nil, err
	}
	encoding, err := source.Encoding("encoding", p.Encoding)
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := source.LoadCSV(source.CSVOptions{
		Path: p.Path, Columns: names, Label: p.Label, NoHeader: p.NoHeader,
		Delimiter: delimiter, Decimal: decimalMarks[p.Decimal], Encoding: encoding,
		TestFraction: p.TestFraction, Seed: p.Seed,
		DropMissing: p.DropMissing, Train: p.NTrain, Test: p.NTest,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	job.Log().Info("read the table", "rows", l.Train.N+l.Test.N, "columns", len(l.Train.Columns),
		"delimiter", string(l.Delimiter))
	for _, w := range l.Warnings {
		job.Warn("%s", w)
	}
	job.Set("dropped", l.Dropped.N)
	if l.Dropped.N > 0 {
		job.Warn("%d rows were left out because a cell is missing or not a number; the first: %s",
			l.Dropped.N, l.Dropped.First)
	}
	return l.Train, l.Test, l.Files, source.CheckDigest(p.Source, p.SourceDigest, l.Digest)
}

// decimalMarks are the values of --decimal.
var decimalMarks = map[string]rune{"point": '.', "comma": ','}

// columns returns the names of the requested columns, or nil for all columns. In the list, a name that contains a comma
// must be quoted.
func columns(p *params) ([]string, error) {
	if p.Columns == "" {
		return nil, nil
	}
	names, err := csv.NewReader(strings.NewReader(p.Columns)).Read()
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names, err
}
