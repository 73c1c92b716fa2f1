// Package torchfile reads the tensors in a PyTorch file (.pth) that torch.save wrote: a dictionary of tensors, which
// may be nested in dictionaries and lists. It reads the zip format of PyTorch 1.6 and the earlier format, in the pickle
// protocols 2 to 5. It also reads pickles of NumPy byte arrays, since some data sets are published in that form.
//
// Such a file contains a program for Python's pickle machine, which most readers simply run. This package lets the
// program construct only dictionaries, lists and tensors. Any other class or function is only a name: objects that the
// program makes with it are skipped and listed. Every opcode and length is checked before the program runs, and tensors
// have no more elements than the file.
package torchfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// File is a parsed PyTorch file. Tensors are converted when they are requested.
type File struct {
	tensors map[string]*tensor
	order   []string
	numbers map[string]int64
	skipped []string
}

const (
	maxFile   = 8 << 30  // bytes
	maxPickle = 64 << 20 // size of the pickle, in bytes
)

var errCut = failure.New(failure.Input, "get a complete copy of the file", "it is truncated")

// Open reads a file. The caller must add the file's name to an error.
func Open(name string) (*File, error) {
	data, err := program.ReadFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// IsFile reports whether a file begins like a PyTorch file: as a zip archive or as a pickle.
func IsFile(name string) bool {
	head := program.Head(name, 4)
	return string(head) == "PK\x03\x04" || isPickle(head)
}

// isPickle reports whether data begins like a pickle of the protocols 2 to 5.
func isPickle(data []byte) bool {
	return len(data) >= 4 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5
}

// parse is like Open, but takes the content of a file. The File keeps a reference to data.
func parse(data []byte) (*File, error) {
	var root any
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("PK")):
		root, err = parseZip(data)
	case isPickle(data):
		root, err = parseLegacy(data)
	default:
		err = errors.New("it begins neither like a zip archive nor like a pickle")
	}
	if err != nil {
		return nil, fmt.Errorf("not a readable PyTorch file of tensors: %w", err)
	}
	f := &File{tensors: map[string]*tensor{}, numbers: map[string]int64{}}
	c := &collector{File: f}
	if err := c.collect("", root, 0); err != nil {
		return nil, fmt.Errorf("a PyTorch file with %w", err)
	}
	if len(f.tensors) == 0 {
		return nil, f.emptyError(root)
	}
	return f, nil
}

// saveHint is the hint for files that do not hold a dictionary of tensors.
const saveHint = "save a dictionary of tensors with torch.save, such as a module's state_dict()"

// emptyError reports that root, the object in the file, holds no named tensors.
func (f *File) emptyError(root any) error {
	if o, ok := root.(*object); ok {
		return failure.New(failure.Input, saveHint,
			"a PyTorch file that holds an object of class %.80s, which is never constructed", o.class)
	}
	if len(f.skipped) > 0 {
		return failure.New(failure.Input, saveHint, "a PyTorch file without a dictionary of tensors; it holds %.200s",
			strings.Join(f.skipped[:min(3, len(f.skipped))], ", "))
	}
	return failure.New(failure.Input, saveHint, "a PyTorch file without a dictionary of tensors")
}

// Skipped returns the name and type of each value that is not a tensor, such as "epoch (number)" or "args
// (argparse.Namespace)".
func (f *File) Skipped() []string { return slices.Clone(f.skipped) }

// Names returns the names of the tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(slices.Values(f.order)) }

// Order returns the names of the tensors in the order of the file. In a state dict, this is the order of the
// parameters.
func (f *File) Order() []string { return slices.Clone(f.order) }

// Number returns an integer that is stored with the tensors, such as a step count.
func (f *File) Number(name string) (n int64, ok bool) {
	n, ok = f.numbers[name]
	return n, ok
}

// Tensor returns a tensor as float32 in row-major order and its shape, which is empty for a scalar. ok reports whether
// the file has the tensor.
func (f *File) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t := f.tensors[name]
	if t == nil {
		return nil, nil, false, nil
	}
	values, err = t.float32s()
	if err != nil {
		return nil, nil, true, fmt.Errorf("tensor %s: %w", name, err)
	}
	return values, slices.Clone(t.shape), true, nil
}
