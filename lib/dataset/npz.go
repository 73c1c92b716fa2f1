package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/npz"
)

// Names of the arrays in NumPy archives of samples: numpy.savez gives these names to its positional arguments. The
// first array holds the samples, the second their labels, if there are any.
const (
	ArchiveSamples = "arr_0"
	archiveLabels  = "arr_1"
)

// readNPZ reads a NumPy archive in the layout that evaluation programs use to exchange samples. The samples are in
// arr_0, or in the only array: either images, as integers from 0 to 255 with the shape [N, H, W, C] (1 or 3 channels)
// or [N, H, W], or points, as floats [N, D]. The optional arr_1 holds integer labels [N]; it is ignored if labels
// is false. If the file is named *.npz, the set is named after it.
func readNPZ(path string, labels bool) (s Set, err error) {
	f, err := npz.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	name, named := strings.CutSuffix(filepath.Base(path), ".npz")
	if !named {
		name = ""
	}
	array := ArchiveSamples
	if names := f.Names(); len(names) == 1 {
		array = names[0]
	}
	h, err := f.Header(array)
	if err != nil {
		var missing *npz.MissingError
		switch {
		case !errors.As(err, &missing):
			return nil, err
		case slices.Contains(missing.Names, npz.Mean):
			return nil, invalid("it holds feature statistics (mu, sigma), not samples")
		}
		return nil, failure.New(failure.Input,
			"write the file with numpy.savez(FILE, samples), which calls the array arr_0", "%w", err)
	}
	var of *[]int64
	if len(h.Shape) == 2 {
		p, err := npzPoints(f, array, h, name)
		if err != nil {
			return nil, err
		}
		s, of = p, &p.Labels
	} else {
		im, err := npzImages(f, array, h, name)
		if err != nil {
			return nil, err
		}
		s, of = im, &im.Labels
	}
	if labels {
		*of, err = npzLabelsOf(f, s.Len())
	}
	return s, err
}

func npzImages(f *npz.File, array string, h *npz.Header, name string) (*Images, error) {
	s := h.Shape
	if len(s) == 3 && s[2] > 4 {
		s = append(slices.Clone(s), 1)
	}
	const layout = "save images as integers from 0 to 255 with the shape [N, H, W, C]"
	refuse := func(hint, format string, args ...any) error {
		return failure.New(failure.Input, hint, "not a data set: array %s "+format, append([]any{array}, args...)...)
	}
	switch {
	case len(s) == 4 && s[3] != 1 && s[3] != 3 && (s[1] == 1 || s[1] == 3):
		return nil, refuse("save array.transpose(0, 2, 3, 1)", "has shape %v, expected images as [N, H, W, C]", s)
	case len(s) != 4 || s[3] != 1 && s[3] != 3 || slices.Contains(s, 0):
		return nil, refuse(layout, "has shape %v, expected images as [N, H, W, C] with 1 or 3 channels, "+
			"or points as [N, D]", h.Shape)
	case h.Boolean():
		return nil, refuse(layout, "holds booleans, expected pixels from 0 to 255")
	case h.Float():
		return nil, refuse("save (255 * array).round().astype('uint8') if its values range from 0 to 1",
			"holds %s, expected pixels as integers from 0 to 255", h.Dtype)
	}
	pixels, _, err := npz.Read[uint8](f, array)
	if err != nil {
		var wide []int64
		if wide, _, err = npz.Read[int64](f, array); err != nil {
			return nil, err
		}
		pixels = make([]uint8, len(wide))
		for i, v := range wide {
			if pixels[i] = uint8(v); int64(pixels[i]) != v {
				return nil, refuse(layout, "holds %d, expected pixels from 0 to 255", v)
			}
		}
	}
	im := &Images{Name: name, N: s[0], H: s[1], W: s[2], C: s[3], Pixels: pixels}
	if im.C > 1 {
		im.Pixels = make([]uint8, len(pixels))
		for i := range im.N {
			dst := im.Image(i)
			transpose(dst, pixels[i*len(dst):][:len(dst)], im.H*im.W, im.C)
		}
	}
	return im, nil
}

// transpose writes src [rows, columns] to dst [columns, rows].
func transpose(dst, src []uint8, rows, columns int) {
	for i := range dst {
		dst[i] = src[i%rows*columns+i/rows]
	}
}

func npzPoints(f *npz.File, array string, h *npz.Header, name string) (*Points, error) {
	if slices.Contains(h.Shape, 0) {
		return nil, invalid("array %s has shape %v, expected points as [N, D]", array, h.Shape)
	}
	if !h.Float() {
		return nil, failure.New(failure.Input, "save images with the shape [N, H, W, C], and points as float32 or float64",
			"not a data set: array %s holds %s of shape %v, expected floats for points", array, h.Dtype, h.Shape)
	}
	s := &Points{Name: name, N: h.Shape[0], D: h.Shape[1]}
	var err error
	if s.X, _, err = npz.Read[float32](f, array); err != nil {
		wide, _, err := npz.Read[float64](f, array)
		if err != nil {
			return nil, err
		}
		s.X = make([]float32, len(wide))
		for i, v := range wide {
			s.X[i] = float32(v)
		}
	}
	return s, s.checkFinite()
}

// npzLabelsOf returns the labels of n samples, or nil if the archive has none. Floats without a fraction count as
// integers.
func npzLabelsOf(f *npz.File, n int) ([]int64, error) {
	h, err := f.Header(archiveLabels)
	var missing *npz.MissingError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(h.Shape, []int{n}) && !slices.Equal(h.Shape, []int{n, 1}) {
		hint := "save arr_0 alone, or integer labels of the shape [N]"
		if len(h.Shape) == 2 && h.Shape[0] == n {
			hint = "save labels.argmax(1) if each row marks one class"
		}
		return nil, failure.New(failure.Input, hint,
			"not a data set: array %s has shape %v, expected a label for each of %d samples", archiveLabels, h.Shape, n)
	}
	if !h.Float() {
		labels, _, err := npz.Read[int64](f, archiveLabels)
		return labels, err
	}
	values, _, err := npz.Read[float64](f, archiveLabels)
	if err != nil {
		return nil, err
	}
	labels := make([]int64, n)
	for i, v := range values {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, invalid("array %s holds %v, expected integer labels", archiveLabels, v)
		}
		labels[i] = int64(v)
	}
	return labels, nil
}

// WriteNPZ writes a set as a NumPy archive, which Read and other programs accept. arr_0 holds images as uint8 [N, H, W,
// C] or points as float32 [N, D]. arr_1 holds the labels, if known, as int64 [N]. Equal sets give equal bytes.
func WriteNPZ(w io.Writer, s Set) error {
	z := npz.NewWriter(w)
	var labels []int64
	switch s := s.(type) {
	case *Images:
		labels = s.Labels
		array, err := npz.Create[uint8](z, ArchiveSamples, []int{s.N, s.H, s.W, s.C})
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
		if err := npz.Add(z, ArchiveSamples, []int{s.N, s.D}, s.X); err != nil {
			return err
		}
	default:
		return fmt.Errorf("dataset: cannot write a %T as an .npz archive", s)
	}
	if labels != nil {
		if err := npz.Add(z, archiveLabels, []int{len(labels)}, labels); err != nil {
			return err
		}
	}
	return z.Close()
}
