package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/npz"
	"vapo/lib/program"
	"vapo/lib/tensorfile"
)

// imageSet is one of the sets that are compared. It holds images, features that were computed earlier, or only the
// moments of features, which FID tools exchange.
type imageSet struct {
	label  string          // name in errors: "input samples", "folder a"
	name   string          // name in results: data set and split, folder or file
	images feature.Images  // in memory or in files; nil if the set holds features or moments
	loaded *dataset.Images // the same images, if they are in memory

	pictures *source.Pictures // the folder or archive that the images come from, if any

	// Features and moments are computed by the scorer or read from a file. logits may be empty.
	features, logits feature.Matrix
	moments          *metrics.Moments
	archive          string // path of the .npz with moments, if it also holds images
	// The network, its weights and the engine that computed the features, if the file with the features names them.
	network, weights, backend string
}

// Metadata keys in feature files.
const (
	metaNetwork = "network"
	metaWeights = "weights"
	metaBackend = "backend"
)

// close closes the folder or archive.
func (s *imageSet) close() {
	if s.pictures != nil {
		s.pictures.Close()
	}
}

// warnings lists the files that were left out of a folder or archive. The list is final once all images have been read.
func (s *imageSet) warnings() (out []string) {
	if s.pictures != nil {
		for _, w := range s.pictures.Warnings() {
			out = append(out, s.label+": "+w)
		}
	}
	return out
}

// n returns the number of images, or 0 if the set holds only published moments.
func (s *imageSet) n() int {
	switch {
	case s.images != nil:
		return s.images.Len()
	case s.features.Width > 0:
		return s.features.Len()
	}
	return int(s.moments.N())
}

// dim returns the dimension of the features or moments.
func (s *imageSet) dim() int {
	if s.features.Width > 0 {
		return s.features.Width
	}
	return s.moments.Dim()
}

// extract computes the features of images and the moments of features, unless they are known already.
func (s *imageSet) extract(ctx context.Context, e *feature.Extractor) (err error) {
	if s.images != nil && s.features.Width == 0 {
		if s.features, s.logits, err = e.Extract(ctx, s.images); err != nil {
			return fmt.Errorf("features of %s: %w", s.label, err)
		}
	}
	if s.moments == nil {
		if s.moments, err = s.features.Moments(); err != nil {
			return fmt.Errorf("%s: %w", s.label, err)
		}
	}
	return nil
}

// loadedSet returns the imageSet of images in memory.
func loadedSet(label string, images *dataset.Images) *imageSet {
	return &imageSet{
		label: label, name: splitName(images.Name, images.Split), images: feature.Of(images), loaded: images,
	}
}

// useImages replaces the moments with the images of the same archive.
func (s *imageSet) useImages() error {
	data, err := dataset.ReadUnlabelled(s.archive)
	if err != nil {
		return failure.Default(failure.Input, setHint, fmt.Errorf("%s: %w", s.label, err))
	}
	images, ok := data.(*dataset.Images)
	if !ok {
		return failure.New(failure.Input, setHint, "%s holds points, not images", s.label)
	}
	if images.N < 2 {
		return tooFewError(s.label, images.N)
	}
	*s = *loadedSet(s.label, images)
	return nil
}

const setHint = "expected a tensor file that prep, sample or eval wrote, or an .npz of images (arr_0) or moments " +
	"(mu, sigma)"

// openSet opens a file with images or features (a tensor file), or with images (arr_0) or moments (mu, sigma) in an
// .npz. If the file holds points, openSet returns them instead of an imageSet.
func openSet(label, path string) (*imageSet, *dataset.Points, error) {
	set, data, err := readSet(label, path)
	if err != nil {
		err = failure.Default(failure.Input, setHint, err)
		text := err.Error()
		if label == path {
			label, text = "file "+path, strings.TrimPrefix(text, path+": ")
		}
		return nil, nil, failure.New(failure.ClassOf(err), failure.HintOf(err), "%s: %s", label, text)
	}
	n := 2 // stays 2 for published moments, whose number of images is unknown
	if data != nil {
		n = data.Len()
	} else if set.moments == nil {
		n = set.n()
	}
	if n < 2 {
		return nil, nil, tooFewError(label, n)
	}
	switch data := data.(type) {
	case *dataset.Points:
		return nil, data, nil
	case *dataset.Images:
		return loadedSet(label, data), nil, nil
	}
	return set, nil, nil
}

func tooFewError(label string, n int) error {
	return failure.New(failure.Input, "give a larger set", "%s holds %d rows; at least 2 are needed", label, n)
}

// readSet reads features or moments as an imageSet, and images or points as a dataset.Set.
func readSet(label, path string) (*imageSet, dataset.Set, error) {
	if npz.IsFile(path) {
		if set, err := readMoments(label, path); err != nil || set != nil {
			return set, nil, err
		}
		data, err := dataset.ReadUnlabelled(path)
		return nil, data, err
	}
	if !tensorfile.IsFile(path) {
		return nil, nil, program.Unexpected(path, "a tensor file or a NumPy archive", setHint)
	}
	t, err := tensorfile.Read(path)
	if err != nil {
		return nil, nil, err
	}
	features, logits, err := feature.FromTable(t)
	if err != nil {
		data, err := dataset.FromTable(t)
		return nil, data, err
	}
	return &imageSet{
		label: label, name: cmp.Or(t.Meta[dataset.MetaDataset], unnamed), features: features, logits: logits,
		network: t.Meta[metaNetwork], weights: t.Meta[metaWeights], backend: t.Meta[metaBackend],
	}, nil, nil
}

// readMoments reads the moments in an .npz. It returns nil if the file holds none. Images in the same file are not read
// yet: reference batches are large, and FID tools use only their moments.
func readMoments(label, path string) (*imageSet, error) {
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
	moments, err := metrics.NewMomentsOf(0, mu, sigma)
	if err != nil {
		return nil, failure.New(failure.Input, "", "%w", err)
	}
	set := &imageSet{label: label, name: "published moments", moments: moments}
	if _, err := f.Header(dataset.ArchiveSamples); err == nil {
		set.archive = path
	}
	return set, moments.CheckCovariance()
}
