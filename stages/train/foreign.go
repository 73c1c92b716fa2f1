package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/torchfile"
)

// foreignFile is an open weights file in a foreign format: PyTorch or safetensors.
type foreignFile struct {
	potential.Tensors
	config  string // network description, if train export wrote the file; otherwise empty
	step    int64
	skipped []string // values in the file that are not tensors
}

const weightsHint = "give a PyTorch file (.pth) or a safetensors file"

// openForeign detects the format of a file from its content and opens it.
func openForeign(path string) (*foreignFile, error) {
	switch {
	case torchfile.IsFile(path):
		f, err := torchfile.Open(path)
		if err != nil {
			return nil, err
		}
		src := &foreignFile{Tensors: f, skipped: f.Skipped()}
		if n, ok := f.Number("step"); ok {
			src.step = max(0, n)
		} else if n, ok := f.Number("global_step"); ok { // PyTorch Lightning
			src.step = max(0, n)
		} else if v, _, ok, err := f.Tensor("step"); ok && err == nil && len(v) == 1 && v[0] > 0 && v[0] < 1<<40 {
			src.step = int64(v[0])
		}
		return src, nil
	case safetensors.IsFile(path):
		f, err := safetensors.Open(path)
		if err != nil {
			return nil, err
		}
		meta := f.Metadata()
		n, err := strconv.ParseInt(meta["step"], 10, 64)
		if err != nil {
			n = 0 // train export did not write the file, so the step is unknown
		}
		src := &foreignFile{Tensors: f, config: meta["config"], step: max(0, n)}
		if n := f.Trailing(); n > 0 {
			src.skipped = append(src.skipped, fmt.Sprintf("%d bytes after the last tensor", n))
		}
		return src, nil
	}
	return nil, program.Unexpected(path, "a PyTorch file or a safetensors file", weightsHint)
}

// Order returns the order of the tensors in the file, or nil if the format does not define one.
func (f *foreignFile) Order() []string {
	if o, ok := f.Tensors.(interface{ Order() []string }); ok {
		return o.Order()
	}
	return nil
}

// behind keeps only the tensors whose names begin with prefix, and lists all others as skipped.
func (f *foreignFile) behind(prefix string) {
	var rest []string
	for _, name := range f.Names() {
		if !strings.HasPrefix(name, prefix) {
			rest = append(rest, name)
		}
	}
	f.skipped = append(rest, f.skipped...)
	f.Tensors = &prefixed{f.Tensors, prefix, f.Order()}
}

// prefixed is the part of a file whose tensor names begin with prefix.
type prefixed struct {
	potential.Tensors
	prefix string
	order  []string
}

// Names implements potential.Tensors.
func (p *prefixed) Names() []string { return p.only(p.Tensors.Names()) }

// Order returns the order of the tensors in the file.
func (p *prefixed) Order() []string { return p.only(p.order) }

func (p *prefixed) only(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, p.prefix) })
}

// fold shortens a list of names: more than foldAbove names with the same part before the first dot become one entry.
func fold(names []string) []string {
	const foldAbove = 4
	count := map[string]int{}
	key := func(name string) string {
		first, _, _ := strings.Cut(name, ".")
		return first
	}
	for _, name := range names {
		count[key(name)]++
	}
	var out []string
	for _, name := range names {
		switch k := key(name); {
		case count[k] > foldAbove:
			out = append(out, fmt.Sprintf("%s.* (%d values)", k, count[k]))
			count[k] = -1
		case count[k] > 0:
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
