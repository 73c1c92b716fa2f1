package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/picture"
	"vapo/lib/preview"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// tenth is the share of the test split where none is given.
const tenth = 0.1

// previewed is how many training images the picture is made of, at most.
const previewed = 100

// checkOwn checks the parameters of own images and tables.
func checkOwn(p *params) error {
	if p.Crop > dataset.MaxEdge && p.Size == 0 {
		return fmt.Errorf("crop is %d without a size; images made have edges of at most %d pixels", p.Crop, dataset.MaxEdge)
	}
	if p.Channels != 0 && p.Channels != 1 && p.Channels != 3 {
		return fmt.Errorf("channels is %d; it must be 3, or 1 for grey", p.Channels)
	}
	if !(p.TestFraction >= 0 && p.TestFraction < 1) {
		return fmt.Errorf("test-fraction is %v; it must be a share from 0 to 1", p.TestFraction)
	}
	if _, err := columns(p); err != nil {
		return fmt.Errorf("columns is %q: %w", p.Columns, err)
	}
	return nil
}

// columns returns the names of the columns asked for, quoted where they hold commas; nil for all.
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

// or returns v, or other where v is 0.
func or[T int | float64](v, other T) T {
	if v == 0 {
		return other
	}
	return v
}

func checkShapes(p *params) error {
	if p.Path != "" || given(p.Components) {
		return errors.New("source shapes is drawn, not read; it takes no path and no components")
	}
	if p.SourceDigest != noDigest {
		return fmt.Errorf("source shapes is drawn, not read; its source-digest is auto or %s", noDigest)
	}
	_, _, err := shapes(p)
	return err
}

func shapes(p *params) (train, test *dataset.Stream, err error) {
	nTrain, nTest := drawn(p)
	return dataset.Shapes(p.Seed, or(p.Size, 32), or(p.Channels, 3), nTrain, nTest)
}

func runShapes(ctx context.Context, job *stage.Job, p *params) error {
	train, test, err := shapes(p)
	if err != nil {
		return err
	}
	return writeStreams(ctx, job, p, []*dataset.Stream{train, test}, func() ([]dataset.File, error) { return nil, nil })
}

func runPictures(ctx context.Context, job *stage.Job, p *params) error {
	o := dataset.PictureOptions{
		Path: p.Path, Size: p.Size, Crop: p.Crop, Channels: or(p.Channels, 3), Filter: picture.Filter(p.Resize), ByDirectory: p.Labels == "directory",
		TestFraction: or(p.TestFraction, tenth), Seed: p.Seed, SkipBroken: p.SkipBroken, Verify: p.Verify, Train: p.NTrain, Test: p.NTest,
	}
	if p.Source == "celeba" {
		o.Size, o.Crop = or(p.Size, dataset.CelebASize), or(p.Crop, dataset.CelebACrop)
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	pictures, err := dataset.OpenPictures(ctx, p.Source, o)
	if err != nil {
		return coded(err)
	}
	defer pictures.Close()
	return coded(writeStreams(ctx, job, p, pictures.Splits, func() ([]dataset.File, error) {
		files, digest, err := pictures.Finish()
		if err == nil {
			err = sameDigest(p, digest)
		}
		job.Set("skipped", pictures.Skipped.N)
		job.Set("broken", pictures.Broken.N)
		if n := pictures.Skipped.N; n > 0 {
			job.Warn("%d files whose names are not those of images were left out, the first is %s", n, pictures.Skipped.First)
		}
		if n := pictures.Broken.N; n > 0 {
			job.Warn("%d broken images were left out, the first is %s", n, pictures.Broken.First)
		}
		return files, err
	}))
}

// writeStreams writes splits as they come, a batch at a time, then the preview and the summary. finish is asked for the files
// when all has been read.
func writeStreams(ctx context.Context, job *stage.Job, p *params, splits []*dataset.Stream, finish func() ([]dataset.File, error)) error {
	like := splits[0].Like
	sum := &summary{Source: p.Source, Shape: like.Shape(), Classes: like.Classes}
	first := &like // what the preview shows
	first.Labels = nil
	for _, s := range splits {
		counted := newTally(&s.Like)
		err := job.Output(ctx, s.Like.Split, func(w io.Writer) error {
			progress := job.Progress(int64(s.Most), "images")
			defer progress.Done()
			out, err := tensorfile.NewWriter(w, s.Like.Table())
			if err != nil {
				return err
			}
			err = s.Each(ctx, func(b *dataset.Images) error {
				counted.add(b)
				if s == splits[0] && first.N < previewed {
					more := b.Head(previewed - first.N).(*dataset.Images)
					first.Pixels = append(first.Pixels, more.Pixels...)
					first.N += more.N
				}
				progress.Set(int64(counted.n))
				return out.Append(b.Table())
			})
			if err != nil {
				return err
			}
			return out.Close()
		})
		if err != nil {
			return err
		}
		described := counted.describe()
		switch s.Like.Split {
		case "train":
			sum.Train = described
		case "test":
			sum.Test = described
		default:
			sum.Valid = &described
		}
		job.Set(s.Like.Split, described.Count)
	}
	var err error
	if sum.Files, err = finish(); err != nil {
		return err
	}
	job.Set("source", p.Source)
	job.Set("shape", sum.Shape)
	if err := job.Output(ctx, "preview", func(w io.Writer) error { return preview.Set(w, first) }); err != nil {
		return err
	}
	return job.Output(ctx, "summary", sum.write)
}

// loadTable reads a CSV file.
func loadTable(job *stage.Job, p *params) (train, test dataset.Set, files []dataset.File, err error) {
	names, err := columns(p)
	if err != nil {
		return nil, nil, nil, err
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	l, err := dataset.LoadCSV(dataset.CSVOptions{
		Path: p.Path, Columns: names, Label: p.Label, TestFraction: or(p.TestFraction, tenth), Seed: p.Seed,
		DropMissing: p.DropMissing, Train: p.NTrain, Test: p.NTest,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	job.Set("dropped", l.Dropped)
	if l.Dropped > 0 {
		job.Warn("%d rows with a cell that is missing or no number were left out, the first: %s", l.Dropped, l.First)
	}
	return l.Train, l.Test, l.Files, sameDigest(p, l.Digest)
}
