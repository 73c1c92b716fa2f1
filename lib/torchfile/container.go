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

	"vapo/lib/failure"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

func parseZip(data []byte) (any, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("it begins like a zip archive, but %w or damaged: %w", errCut, err)
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
	if entries[path.Join(path.Dir(program), "constants.pkl")] != nil {
		return nil, failure.New(failure.Input, saveHint, "it is a program of torch.jit.save")
	}
	content := func(name string, limit uint64) ([]byte, error) {
		e := entries[name]
		switch {
		case e == nil:
			return nil, fmt.Errorf("the archive lacks %.200q", name)
		case e.Method != zip.Store || e.UncompressedSize64 > uint64(len(data)):
			return nil, failure.New(failure.Input, "load it with torch.load, and save it again with torch.save",
				"%.200q is compressed, which PyTorch never does", name)
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
			return nil, failure.New(failure.Input, "save it on a little-endian machine",
				"byte order %q, expected little", order)
		}
	}
	raw, err := content(program, maxPickle)
	if err != nil {
		return nil, err
	}
	if n, err := scan(raw); err != nil {
		return nil, err
	} else if n != len(raw) {
		return nil, errors.New("data.pkl has data after the end of its pickle")
	}
	return unpickle(raw, classes, func(s *storage) error {
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
		// The pickle of the magic number is short. A longer pickle that contains the number was written by Python's
		// pickle module, which stores each tensor's values as a nested PyTorch file.
		if i == 0 && (n > 64 || !bytes.Contains(pickles[0], []byte("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"))) {
			return nil, failure.New(failure.Input, saveHint, "it is a pickle that torch.save did not write")
		}
	}
	storages := map[string][]*storage{}
	root, err := unpickle(pickles[3], classes, func(s *storage) error {
		storages[s.key] = append(storages[s.key], s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	order, err := unpickle(pickles[4], classes, func(*storage) error {
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
			if s.kind.size == 0 {
				return nil, fmt.Errorf("storage %.80q has elements of the unknown type %.80s", name, s.kind.name)
			}
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

// unpickle runs a pickle that scan has accepted. Names other than the given classes become objects. It calls found for
// each storage.
func unpickle(raw []byte, classes map[string]any, found func(s *storage) error) (root any, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on operands of the wrong type
			root, err = nil, fmt.Errorf("a damaged pickle: %v", p)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(raw))
	u.FindClass = func(module, name string) (any, error) {
		full := module + "." + name
		if c := classes[full]; c != nil {
			return c, nil
		}
		return &object{class: full}, nil
	}
	u.PersistentLoad = func(id any) (any, error) {
		t, ok := id.(*types.Tuple)
		if !ok || t.Len() < 2 {
			return nil, errors.New("a reference to something other than a storage")
		}
		if t.Get(0) == "module" { // before PyTorch 1.6: a class and its source text
			return t.Get(1), nil
		}
		if t.Get(0) != "storage" {
			return nil, errors.New("a reference to something other than a storage")
		}
		s, err := newStorage(t)
		if err != nil {
			return nil, err
		}
		return s, found(s)
	}
	return u.Load()
}
