package dataset

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/npz"
)

// Names of the arrays in NumPy archives of samples, which are those of positional arguments of numpy.savez: the
// samples, and their labels where there are any.
const (
	npzSamples = "arr_0"
	npzLabels  = "arr_1"
)

// readNPZ reads a NumPy archive as programs that score samples exchange it: images as uint8 [N, H, W, C] with 1 or 3
// channels, or points as float32 or float64 [N, D], in arr_0 or the only array there is; labels as integers [N] in arr_1.
// The set is named by its file, where that has a name of its own (*.npz).
func readNPZ(path string) (Set, error) {
	f, err := npz.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	name := ""
	if base, ok := strings.CutSuffix(filepath.Base(path), ".npz"); ok {
		name = base
	}
	s, err := setOf(f, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func setOf(f *npz.File, name string) (Set, error) {
	array := npzSamples
	if names := f.Names(); len(names) == 1 {
		array = names[0]
	}
	h, err := f.Header(array)
	if err != nil {
		var missing *npz.MissingError
		if errors.As(err, &missing) && slices.Contains(missing.Names, npz.Mean) {
			return nil, &TableError{Reason: "it holds the statistics of features (mu, sigma), not samples"}
		}
		return nil, err
	}
	if len(h.Shape) == 2 {
		return npzPoints(f, array, h, name)
	}
	if s := h.Shape; len(s) == 4 && (s[3] != 1 && s[3] != 3) && (s[1] == 1 || s[1] == 3) {
		return nil, &TableError{Reason: fmt.Sprintf("array %s has shape %v, expected images as [N, H, W, C]; save array.transpose(0, 2, 3, 1)", array, s)}
	}
	if s := h.Shape; len(s) != 4 || s[3] != 1 && s[3] != 3 || slices.Contains(s, 0) {
		return nil, &TableError{Reason: fmt.Sprintf("array %s has shape %v, expected images as [N, H, W, C] with 1 or 3 channels, or points as [N, D]", array, s)}
	}
	if h.Dtype == "|b1" {
		return nil, &TableError{Reason: fmt.Sprintf("array %s holds booleans, expected pixels of 0 to 255", array)}
	}
	pixels, shape, err := npz.Read[uint8](f, array)
	if err != nil {
		return nil, fmt.Errorf("%w: images are 0 to 255", err)
	}
	s := &Images{Name: name, N: shape[0], H: shape[1], W: shape[2], C: shape[3], Pixels: pixels}
	if s.C > 1 {
		s.Pixels = make([]uint8, len(pixels))
		for i := range s.N {
			planes(s.Image(i), pixels[i*s.C*s.H*s.W:], s.C)
		}
	}
	s.Labels, err = npzLabelsOf(f, s.N)
	return s, err
}

// planes turns pixels [H, W, C] into dst [C, H, W].
func planes(dst, pixels []uint8, c int) {
	plane := len(dst) / c
	for i := range dst {
		dst[i] = pixels[i%plane*c+i/plane]
	}
}

// interleave turns pixels [C, H, W] into dst [H, W, C].
func interleave(dst, pixels []uint8, c int) {
	plane := len(dst) / c
	for i := range dst {
		dst[i] = pixels[i%c*plane+i/c]
	}
}

func npzPoints(f *npz.File, array string, h *npz.Header, name string) (Set, error) {
	if slices.Contains(h.Shape, 0) {
		return nil, &TableError{Reason: fmt.Sprintf("array %s has shape %v, expected points as [N, D]", array, h.Shape)}
	}
	s := &Points{Name: name, N: h.Shape[0], D: h.Shape[1]}
	var err error
	if s.X, _, err = npz.Read[float32](f, array); err != nil {
		wide, _, wideErr := npz.Read[float64](f, array)
		if wideErr != nil {
			return nil, fmt.Errorf("%w: points are float32 or float64", err)
		}
		s.X = make([]float32, len(wide))
		for i, v := range wide {
			s.X[i] = float32(v)
		}
	}
	if err := s.finite(); err != nil {
		return nil, err
	}
	s.Labels, err = npzLabelsOf(f, s.N)
	return s, err
}

// npzLabelsOf returns the labels of n samples, or nil where there are none.
func npzLabelsOf(f *npz.File, n int) ([]int64, error) {
	h, err := f.Header(npzLabels)
	var missing *npz.MissingError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(h.Shape, []int{n}) {
		return nil, &TableError{Reason: fmt.Sprintf("array %s has shape %v, expected a label for each of %d samples", npzLabels, h.Shape, n)}
	}
	labels, _, err := npz.Read[int64](f, npzLabels)
	return labels, err
}

// WriteNPZ writes a set as a NumPy archive that Read reads and others do too: images as arr_0, uint8 [N, H, W, C], points as
// arr_0, float32 [N, D]; labels, where known, as arr_1, int64 [N]. Its bytes are a function of the set.
func WriteNPZ(w io.Writer, s Set) error {
	z := npz.NewWriter(w)
	var labels []int64
	switch s := s.(type) {
	case *Images:
		labels = s.Labels
		array, err := npz.Create[uint8](z, npzSamples, []int{s.N, s.H, s.W, s.C})
		if err != nil {
			return err
		}
		pixels := make([]uint8, s.C*s.H*s.W)
		for i := range s.N {
			interleave(pixels, s.Image(i), s.C)
			if err := array.Append(pixels); err != nil {
				return err
			}
		}
	case *Points:
		labels = s.Labels
		if err := npz.Add(z, npzSamples, []int{s.N, s.D}, s.X); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a data set of type %T", s)
	}
	if labels != nil {
		if err := npz.Add(z, npzLabels, []int{len(labels)}, labels); err != nil {
			return err
		}
	}
	return z.Close()
}
