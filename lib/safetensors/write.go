package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Tensor is a tensor to be written by Write.
type Tensor struct {
	Name  string
	Shape []int // empty for a scalar
	Data  []float32
}

// Write writes tensors as F32, sorted by name, and metadata (__metadata__; may be nil), sorted by key. The bytes depend
// only on names, shapes, values and metadata.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	header := map[string]any{}
	if len(metadata) > 0 {
		header[metadataKey] = metadata
	}
	offset := uint64(0)
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return fmt.Errorf("safetensors: write: %w", err)
		}
		if _, twice := header[t.Name]; twice {
			return fmt.Errorf("safetensors: write: two tensors named %s", t.Name)
		}
		shape := make([]uint64, len(t.Shape))
		for i, d := range t.Shape {
			shape[i] = uint64(d)
		}
		end := offset + 4*uint64(len(t.Data))
		header[t.Name] = info{"F32", shape, []uint64{offset, end}}
		offset = end
	}
	text, err := json.Marshal(header) // sorts the keys
	if err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	text = append(text, bytes.Repeat([]byte(" "), (8-len(text)%8)%8)...) // aligns the values
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)); err != nil {
		return err
	}
	for _, t := range tensors {
		raw := make([]byte, 0, 4*len(t.Data))
		for _, x := range t.Data {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tensor) check() error {
	count := 1
	for _, d := range t.Shape {
		if d < 0 || d > 0 && count > maxFile/d {
			return fmt.Errorf("tensor %s has shape %v, which is negative or too large", t.Name, t.Shape)
		}
		count *= d
	}
	if t.Name == "" || strings.HasPrefix(t.Name, "__") { // the format reserves names such as __metadata__
		return fmt.Errorf("a tensor is named %q; a name must not be empty or begin with __", t.Name)
	}
	if count != len(t.Data) {
		return fmt.Errorf("tensor %s has %d values, expected %d for shape %v", t.Name, len(t.Data), count, t.Shape)
	}
	return nil
}
