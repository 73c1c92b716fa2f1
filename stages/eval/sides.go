package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/npz"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// A side is one of two things that are compared: images, whose features are computed; features that were computed before;
// or the moments of features, as FID tools share them.
type side struct {
	label  string          // in errors: "input samples", "folder a"
	name   string          // in results: data set and split, folder or file
	set    *dataset.Images // images in memory; nil otherwise
	images feature.Images  // images in memory or in files; nil for features and moments

	// Of features and moments from a file: the network they are from, where that is known.
	network, weights, backend string

	dim      int
	features []float32 // [N, dim]
	logits   []float32 // [N, classes], nil where the network has none
	classes  int
	moments  *metrics.Moments
}

// Metadata of files of features.
const (
	metaNetwork = "network"
	metaWeights = "weights"
	metaBackend = "backend"
)

// n is the number of images; 0 where only published moments are known.
func (s *side) n() int {
	switch {
	case s.images != nil:
		return s.images.Len()
	case s.features != nil:
		return len(s.features) / s.dim
	}
	return int(s.moments.N())
}

// imagesSide is a set of images in memory.
func imagesSide(label string, set *dataset.Images) *side {
	return &side{label: label, name: splitName(set.Name, set.Split), set: set, images: feature.Of(set)}
}

// openSide opens a file: a set of images or features (Arrow), or an .npz of images (arr_0) or moments (mu, sigma). A set
// of points is returned as such.
func openSide(label, path string) (*side, *dataset.Points, error) {
	bad := func(err error) error {
		label := label
		if label == path {
			label = "file " + path
			err = errors.New(strings.TrimPrefix(err.Error(), path+": "))
		}
		return failure.New(failure.Input, "expected is a tensor file as prep, sample and eval write them, or an .npz of images (arr_0) or of moments (mu, sigma)", "%s: %w", label, err)
	}
	var set dataset.Set
	if npz.IsFile(path) {
		s, err := openMoments(label, path)
		if err != nil {
			return nil, nil, bad(err)
		}
		if s != nil {
			return s, nil, nil
		}
		if set, err = dataset.Read(path); err != nil {
			return nil, nil, bad(err)
		}
	} else {
		t, err := tensorfile.Read(path)
		if err != nil {
			return nil, nil, bad(err)
		}
		if features, logits, err := feature.FromTable(t); err == nil {
			s := &side{label: label, name: t.Meta[dataset.MetaDataset], network: t.Meta[metaNetwork], weights: t.Meta[metaWeights], backend: t.Meta[metaBackend]}
			s.features, s.dim = features.Data, features.Width
			s.logits, s.classes = logits.Data, logits.Width
			return s, nil, atLeastTwo(label, s.n())
		}
		if set, err = dataset.FromTable(t); err != nil {
			return nil, nil, bad(fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := atLeastTwo(label, set.Len()); err != nil {
		return nil, nil, err
	}
	if points, ok := set.(*dataset.Points); ok {
		return nil, points, nil
	}
	return imagesSide(label, set.(*dataset.Images)), nil, nil
}

func atLeastTwo(label string, n int) error {
	if n < 2 {
		return failure.New(failure.Input, "", "%s holds %d rows; at least 2 are needed", label, n)
	}
	return nil
}

// openMoments is nil for an .npz that holds no moments.
func openMoments(label, path string) (*side, error) {
	f, err := npz.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mu, sigma, err := npz.ReadStatistics(f)
	var missing *npz.MissingError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &side{label: label, name: "published moments", dim: len(mu)}
	if s.moments, err = metrics.NewMomentsOf(0, mu, sigma); err != nil {
		return nil, err
	}
	return s, s.moments.CheckCovariance()
}

// readSide opens an input of the stage.
func readSide(ctx context.Context, job *stage.Job, name string) (*side, *dataset.Points, error) {
	path, err := job.Input(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return openSide("input "+name, path)
}
