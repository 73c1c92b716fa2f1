// Package torchfile reads the tensors in a PyTorch file (.pth) that torch.save wrote: a dictionary of tensors, which
// may be nested in dictionaries and lists. It reads the zip format of PyTorch 1.6 and the earlier format.
//
// Such a file contains a program for Python's pickle machine, which most readers simply run. This package lets the
// program construct only dictionaries, lists and tensors. It checks every opcode, length and class before it runs the
// program, and tensors take no more memory than the file.
package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"

	"vapo/lib/program"
)

// File is a parsed PyTorch file. Tensors are converted when they are requested.
type File struct {
	tensors map[string]*tensor
	order   []string
	numbers map[string]int64
	entries int // number of dictionary and list entries visited so far
}

const (
	maxEntries = 1 << 20  // limit for all dictionaries and lists together, because one may contain itself
	maxFile    = 8 << 30  // bytes
	maxPickle  = 64 << 20 // size of the pickle, in bytes
)

var errCut = errors.New("it is truncated")

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
	return string(head) == "PK\x03\x04" || len(head) == 4 && bytes.HasPrefix(head, []byte("\x80\x02"))
}

// parse is Open for the content of a file. The File keeps data.
func parse(data []byte) (*File, error) {
	var root any
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("PK")):
		root, err = parseZip(data)
	case bytes.HasPrefix(data, []byte("\x80\x02")):
		root, err = parseLegacy(data)
	default:
		err = errors.New("it begins neither like a zip archive nor like a pickle")
	}
	if err != nil {
		return nil, fmt.Errorf("not a PyTorch file of tensors: %w", err)
	}
	f := &File{tensors: map[string]*tensor{}, numbers: map[string]int64{}}
	f.collect("", root, 0)
	if len(f.tensors) == 0 {
		return nil, errors.New("a PyTorch file without a dictionary of tensors")
	}
	return f, nil
}

// collect finds the tensors and integers in nested dictionaries and lists. It names each by its keys, joined with dots;
// the keys of list entries are 0, 1, 2 and so on.
func (f *File) collect(prefix string, v any, depth int) {
	if depth > 8 {
		return
	}
	each := func(key, value any) {
		f.entries++
		if name, ok := key.(string); ok && f.entries < maxEntries {
			f.collect(prefix+name+".", value, depth+1)
		}
	}
	switch v := v.(type) {
	case *tensor:
		name := strings.TrimSuffix(prefix, ".")
		if f.tensors[name] == nil {
			f.order = append(f.order, name)
		}
		f.tensors[name] = v
	case int:
		f.numbers[strings.TrimSuffix(prefix, ".")] = int64(v)
	case *types.List:
		for i, value := range *v {
			if f.entries >= maxEntries {
				return
			}
			each(strconv.Itoa(i), value)
		}
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			if entry, ok := e.Value.(*types.OrderedDictEntry); ok {
				each(entry.Key, entry.Value)
			}
		}
	case *types.Dict:
		for _, entry := range *v {
			each(entry.Key, entry.Value)
		}
	}
}

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

func parseZip(data []byte) (any, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	entries := map[string]*zip.File{}
	program := ""
	for _, e := range z.File {
		entries[e.Name] = e
		if path.Base(e.Name) == "data.pkl" {
			program = e.Name
		}
	}
	if program == "" {
		return nil, errors.New("the archive holds no data.pkl")
	}
	content := func(name string, limit uint64) ([]byte, error) {
		e := entries[name]
		switch {
		case e == nil:
			return nil, fmt.Errorf("the archive lacks %.200q", name)
		case e.Method != zip.Store || e.UncompressedSize64 > uint64(len(data)):
			return nil, fmt.Errorf("%.200q is compressed, which PyTorch never does", name)
		case e.UncompressedSize64 > limit:
			return nil, fmt.Errorf("%.200q holds %d bytes, expected at most %d", name, e.UncompressedSize64, limit)
		}
		r, err := e.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		raw := make([]byte, e.UncompressedSize64)
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("%.200q: %w", name, err)
		}
		return raw, nil
	}
	dir := path.Dir(program)
	if entries[dir+"/byteorder"] != nil {
		if order, err := content(dir+"/byteorder", 16); err != nil || string(order) != "little" {
			return nil, fmt.Errorf("byte order %q, expected little", order)
		}
	}
	raw, err := content(program, maxPickle)
	if err != nil {
		return nil, err
	}
	if n, err := scan(raw); err != nil {
		return nil, err
	} else if n != len(raw) {
		return nil, errors.New("data.pkl continues after its end")
	}
	return unpickle(raw, func(s *storage) error {
		s.read = func() ([]byte, error) { return content(dir+"/data/"+s.key, math.MaxUint64) }
		return nil
	})
}

// parseLegacy reads the format of torch.save before PyTorch 1.6. It consists of five pickles followed by the storages.
// The pickles hold a magic number, a version, properties of the machine, the saved object, and the list of its
// storages.
func parseLegacy(data []byte) (any, error) {
	var pickles [5][]byte
	for i := range pickles {
		n, err := scan(data[:min(len(data), maxPickle)])
		if err != nil {
			return nil, err
		}
		pickles[i], data = data[:n], data[n:]
	}
	if !bytes.Contains(pickles[0], []byte("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) {
		return nil, errors.New("a pickle, but not one of torch.save")
	}
	storages := map[string][]*storage{}
	root, err := unpickle(pickles[3], func(s *storage) error {
		storages[s.key] = append(storages[s.key], s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	order, err := unpickle(pickles[4], func(*storage) error {
		return errors.New("a storage in the list of storage names")
	})
	if err != nil {
		return nil, err
	}
	list, ok := order.(*types.List)
	if !ok {
		return nil, errors.New("the list of storages is missing")
	}
	for _, key := range *list {
		name, _ := key.(string)
		for _, s := range storages[name] {
			if len(data) < 8 || binary.LittleEndian.Uint64(data) != uint64(s.elements) {
				return nil, fmt.Errorf("storage %.80q does not have the %d elements that its tensors expect", name, s.elements)
			}
			if len(data)-8 < s.bytes() {
				return nil, errCut
			}
			raw := data[8 : 8+s.bytes()]
			s.read = func() ([]byte, error) { return raw, nil }
		}
		if len(storages[name]) > 0 {
			data = data[8+storages[name][0].bytes():]
		}
	}
	return root, nil
}

// unpickle runs a pickle that scan has accepted. It calls found for each storage.
func unpickle(raw []byte, found func(s *storage) error) (root any, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on operands of the wrong type
			root, err = nil, fmt.Errorf("a damaged pickle: %v", p)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(raw))
	u.FindClass = func(module, name string) (any, error) {
		if c := classes[module+"."+name]; c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("it names %.80q", module+"."+name)
	}
	u.PersistentLoad = func(id any) (any, error) {
		s, err := newStorage(id)
		if err != nil {
			return nil, err
		}
		return s, found(s)
	}
	return u.Load()
}
