package feature

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/tensorfile"
	"vapo/lib/torchfile"
)

// WeightSource provides tensors by the names of the published PyTorch weights. ok is false if there is no tensor of
// this name. The caller may modify the values.
type WeightSource interface {
	Tensor(name string) (values []float32, shape []int, ok bool, err error)
}

// OpenWeights reads Inception's weights from a PyTorch file, a safetensors file or a checkpoint of kind
// checkpoint.Inception. It recognises the format by the content of the file. Errors do not name the file.
func OpenWeights(path string) (WeightSource, error) {
	src, ck, err := readWeights(path)
	if err == nil && src == nil {
		err = failure.New(failure.Input, weightsHint, "a checkpoint of kind %s, expected Inception's weights", ck.Kind)
	}
	return src, err
}

const weightsHint = "weights are a PyTorch file, a safetensors file or a checkpoint of kind " + checkpoint.Inception +
	", with tensors named as in " + PublishedWeights

// readWeights returns Inception's weights in src. If the file is a checkpoint of another kind, src is nil and ck is the
// checkpoint.
func readWeights(path string) (src WeightSource, ck *checkpoint.Checkpoint, err error) {
	switch {
	case torchfile.IsFile(path):
		src, err = torchfile.Open(path)
	case safetensors.IsFile(path):
		src, err = safetensors.Open(path)
	default:
		if ck, err = readCheckpoint(path); err == nil && ck.Kind == checkpoint.Inception {
			src = checkpointWeights(ck.Group(checkpoint.Param))
		}
	}
	if err != nil {
		return nil, nil, failure.Default(failure.Input, openHint, err)
	}
	return src, ck, nil
}

func readCheckpoint(path string) (*checkpoint.Checkpoint, error) {
	if !tensorfile.IsFile(path) {
		return nil, program.Unexpected(path, "a PyTorch file, a safetensors file or a checkpoint", weightsHint)
	}
	return checkpoint.Read(path)
}

// checkpointWeights holds the tensors of one group of a checkpoint, by their names in the group.
type checkpointWeights map[string]checkpoint.Named

// Tensor implements WeightSource.
func (w checkpointWeights) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := w[name]
	return slices.Clone(t.Data), t.Shape, ok, nil
}

// Contents describes which parts of Inception a weight source has.
type Contents struct {
	Taps    []int    // the taps for which it has all layers, in the order of Taps
	Missing []string // names of the missing layers, in the order of the network
}

// Examine reads all tensors of Inception's layers and validates them. A wrong shape, a value that is not finite and a
// negative variance are errors. A missing layer is not an error.
func Examine(src WeightSource) (*Contents, error) {
	n, err := wholeInception()
	if err != nil {
		return nil, err
	}
	c := &Contents{}
	c.Missing, err = n.eachUnit(src, func(name string, _ []int, parts [][]float32) error {
		for i, part := range partNames(name) {
			isVariance := strings.HasSuffix(part, ".bn.running_var")
			for at, v := range parts[i] {
				if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) || isVariance && v < 0 {
					return failure.New(failure.Input, weightsHint, "tensor %s holds %v at %d", part, v, at)
				}
			}
		}
		return nil
	})
	c.Taps = n.served(c.Missing)
	return c, err
}

// WriteWeights writes the layers of Inception that src has as a checkpoint of kind checkpoint.Inception. The tensors
// have their published names in the group param/. Equal tensors give equal bytes.
func WriteWeights(w io.Writer, src WeightSource) error {
	n, err := wholeInception()
	if err != nil {
		return err
	}
	config := json.RawMessage(`{"network":"inception-2015-12-05"}`)
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Inception, Config: config}
	_, err = n.eachUnit(src, func(name string, shape []int, parts [][]float32) error {
		for i, part := range partNames(name) {
			if i > 0 {
				shape = shape[:1]
			}
			ck.Tensors = append(ck.Tensors, checkpoint.Named{Name: checkpoint.Param + part, Shape: shape, Data: parts[i]})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(ck.Tensors) == 0 {
		return errors.New("the weights hold none of Inception's layers")
	}
	return checkpoint.Write(w, ck)
}
