package main

import (
	"cmp"
	"context"
	"io"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/picture"
	"vapo/lib/preview"
	"vapo/lib/program"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// previewed is the maximum number of training images in the preview.
const previewed = 100

func shapes(p *params) (train, test *source.Stream, err error) {
	nTrain, nTest := drawnSizes(p)
	return source.Shapes(p.Seed, cmp.Or(p.Size, 32), cmp.Or(p.Channels, 3), nTrain, nTest)
}

func runShapes(ctx context.Context, job *stage.Job, p *params) error {
	train, test, err := shapes(p)
	if err != nil {
		return err
	}
	noFiles := func() ([]source.File, error) { return nil, nil }
	return writeStreams(ctx, job, p, []*source.Stream{train, test}, noFiles)
}

func runImages(ctx context.Context, job *stage.Job, p *params) error {
	names, err := source.Encoding("names-encoding", p.Names)
	if err != nil {
		return err
	}
	opt := source.ImageOptions{
		Path: p.Path, Size: p.Size, Crop: p.Crop, Channels: cmp.Or(p.Channels, 3),
		Filter: picture.Filter(p.Resize), ByDirectory: p.Labels == "directory", Names: names,
		TestFraction: p.TestFraction, Seed: p.Seed, ExifRotate: p.ExifRotate,
		SkipBroken: p.SkipBroken, Verify: p.Verify, Train: p.NTrain, Test: p.NTest, Memory: program.MemoryLimit(),
	}
	if p.Source == "celeba" {
		opt.Size, opt.Crop = cmp.Or(p.Size, source.CelebASize), cmp.Or(p.Crop, source.CelebACrop)
	}
	job.Log().Info("reading", "source", p.Source, "digest", p.SourceDigest)
	images, err := source.OpenImages(ctx, p.Source, opt)
	if err != nil {
		return err
	}
	defer images.Close()
	return writeStreams(ctx, job, p, images.Splits, func() ([]source.File, error) {
		files, digest, err := images.Finish()
		if err == nil {
			err = source.CheckDigest(p.Source, p.SourceDigest, digest)
		}
		job.Set("skipped", images.Skipped.N)
		job.Set("broken", images.Broken.N)
		for _, w := range images.Warnings() {
			job.Warn("%s", w)
		}
		return files, err
	})
}

// writeStreams writes each split in batches, as its images arrive. It then calls finish, which returns the files that
// were read, and writes the preview and the summary.
func writeStreams(
	ctx context.Context, job *stage.Job, p *params, splits []*source.Stream, finish func() ([]source.File, error),
) error {
	first := splits[0].Like // collects the images of the preview
	first.Labels = nil
	sum := &summary{Source: p.Source, Shape: first.Shape(), Classes: first.Classes}
	for i, s := range splits {
		tally, err := writeStream(ctx, job, s, func(b *dataset.Images) {
			if i == 0 && first.N < previewed {
				more := b.Head(previewed - first.N).(*dataset.Images)
				first.Pixels = append(first.Pixels, more.Pixels...)
				first.N += more.N
			}
		})
		if err != nil {
			return err
		}
		split := tally.summary()
		switch s.Like.Split {
		case "train":
			sum.Train = split
		case "test":
			sum.Test = split
		default:
			sum.Valid = &split
		}
		job.Set(s.Like.Split, split.Count)
	}
	var err error
	if sum.Files, err = finish(); err != nil {
		return err
	}
	job.Set("source", p.Source)
	job.Set("shape", sum.Shape)
	job.Summary("%s", sum)
	if err := job.Output(ctx, "preview", func(w io.Writer) error { return preview.Set(w, &first) }); err != nil {
		return err
	}
	return job.Output(ctx, "summary", sum.write)
}

// writeStream writes a split, calls see with each batch, and returns the moments of the split.
func writeStream(
	ctx context.Context, job *stage.Job, s *source.Stream, see func(*dataset.Images),
) (*imageTally, error) {
	tally := newTally(&s.Like)
	err := job.Output(ctx, s.Like.Split, func(w io.Writer) error {
		progress := job.Progress(int64(s.Max), "images")
		defer progress.Done()
		out, err := tensorfile.NewWriter(w, s.Like.Table())
		if err != nil {
			return err
		}
		err = s.Each(ctx, func(b *dataset.Images) error {
			tally.add(b)
			see(b)
			progress.Set(int64(tally.n))
			return out.Append(b.Table())
		})
		if err != nil {
			return err
		}
		return out.Close()
	})
	return tally, err
}
