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

// Names of the arrays in NumPy archives of samples: numpy.savez gives these names to its positional arguments. The
// first array holds the samples, the second their labels, if there are any.
const (
	npzSamples = "arr_0"
	npzLabels  = "arr_1"
)

// readNPZ reads a NumPy archive in the layout in which evaluators exchange samples. The samples are in arr_0, or in the
// only array: images as uint8 [N, H, W, C] with 1 or 3 channels, or points as float32 or float64 [N, D]. The optional
// arr_1 holds labels as integers [N]. If the file is named *.npz, the set is named after it.
func readNPZ(path string) (Set, error) {
	f, err := npz.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	name, named := strings.CutSuffix(filepath.Base(path), ".npz")
	if !named {
		name = ""
	}
	array := npzSamples
	if names := f.Names(); len(names) == 1 {
		array = names[0]
	}
	h, err := f.Header(array)
	if err != nil {
		var missing *npz.MissingError
		if errors.As(err, &missing) && slices.Contains(missing.Names, npz.Mean) {
			return nil, invalid("it holds the statistics of features (mu, sigma), not samples")
		}
		return nil, err
	}
	if len(h.Shape) == 2 {
		return npzPoints(f, array, h.Shape, name)
	}
	return npzImages(f, array, h, name)
}

func npzImages(f *npz.File, array string, h *npz.Header, name string) (Set, error) {
	s := h.Shape
	switch {
	case len(s) == 4 && s[3] != 1 && s[3] != 3 && (s[1] == 1 || s[1] == 3):
		return nil, invalid("array %s has shape %v, expected images as [N, H, W, C]; "+
			"save array.transpose(0, 2, 3, 1)", array, s)
	case len(s) != 4 || s[3] != 1 && s[3] != 3 || slices.Contains(s, 0):
		return nil, invalid("array %s has shape %v, expected images as [N, H, W, C] with 1 or 3 channels, "+
			"or points as [N, D]", array, s)
	case h.Dtype == "|b1":
		return nil, invalid("array %s holds booleans, expected pixels of 0 to 255", array)
	}
	pixels, _, err := npz.Read[uint8](f, array)
	if err != nil {
		return nil, fmt.Errorf("%w: images are 0 to 255", err)
	}
	im := &Images{Name: name, N: s[0], H: s[1], W: s[2], C: s[3], Pixels: pixels}
	if im.C > 1 {
		im.Pixels = make([]uint8, len(pixels))
		for i := range im.N {
			dst := im.Image(i)
			transpose(dst, pixels[i*len(dst):][:len(dst)], im.H*im.W, im.C)
		}
	}
	im.Labels, err = npzLabelsOf(f, im.N)
	return im, err
}

// transpose writes src [rows, columns] to dst [columns, rows].
func transpose(dst, src []uint8, rows, columns int) {
	for i := range dst {
		dst[i] = src[i%rows*columns+i/rows]
	}
}

func npzPoints(f *npz.File, array string, shape []int, name string) (Set, error) {
	if slices.Contains(shape, 0) {
		return nil, invalid("array %s has shape %v, expected points as [N, D]", array, shape)
	}
	s := &Points{Name: name, N: shape[0], D: shape[1]}
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
	if err := s.checkFinite(); err != nil {
		return nil, err
	}
	s.Labels, err = npzLabelsOf(f, s.N)
	return s, err
}

// npzLabelsOf returns the labels of n samples, or nil if the archive has none.
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
		return nil, invalid("array %s has shape %v, expected a label for each of %d samples", npzLabels, h.Shape, n)
	}
	labels, _, err := npz.Read[int64](f, npzLabels)
	return labels, err
}

// WriteNPZ writes a set as a NumPy archive, which Read and other programs accept. arr_0 holds images as uint8 [N, H, W,
// C] or points as float32 [N, D]. arr_1 holds the labels, if known, as int64 [N]. Equal sets give equal bytes.
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
			transpose(pixels, s.Image(i), s.C, s.H*s.W)
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
		return fmt.Errorf("dataset: cannot write a %T as an .npz archive", s)
	}
	if labels != nil {
		if err := npz.Add(z, npzLabels, []int{len(labels)}, labels); err != nil {
			return err
		}
	}
	return z.Close()
}
