package feature

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/safetensors"
	"vapo/lib/torchfile"
)

// WeightSource has tensors by the names of the shared PyTorch weights. The values belong to the caller.
type WeightSource interface {
	Tensor(name string) (values []float32, shape []int, ok bool, err error)
}

// OpenWeights reads Inception's weights from a PyTorch file, a safetensors file or a checkpoint of kind
// checkpoint.Inception. The content of the file decides which it is. Errors do not name the file.
func OpenWeights(path string) (WeightSource, error) {
	src, ck, err := readWeights(path)
	if err == nil && src == nil {
		err = failure.New(failure.Input, weightsHint, "a checkpoint of kind %s, expected Inception's weights", ck.Kind)
	}
	return src, err
}

const weightsHint = "weights are a PyTorch file, a safetensors file or a checkpoint of kind " + checkpoint.Inception +
	", with the names of " + PublishedWeights

// readWeights returns Inception's weights, or a checkpoint of another kind.
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
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, len("ARROW1"))
	if n, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if string(head[:n]) != "ARROW1" {
		return nil, errors.New("it is not a PyTorch file, a safetensors file or a checkpoint")
	}
	return checkpoint.Decode(f, info.Size())
}

// checkpointWeights are the tensors of a checkpoint's group, by their names in the group.
type checkpointWeights map[string]checkpoint.Named

// Tensor implements WeightSource.
func (w checkpointWeights) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := w[name]
	return slices.Clone(t.Data), t.Shape, ok, nil
}

// Contents describes how much of Inception a source of weights has.
type Contents struct {
	Taps    []int    // those that it has all layers for, in the order of Taps
	Missing []string // names of the layers that it lacks, in the order of the network
}

// Examine reads all tensors of Inception's layers and validates them: a tensor of another shape than the network's, a
// value that is not finite and a negative variance are errors. Layers may be missing.
func Examine(src WeightSource) (*Contents, error) {
	n, _, err := newInceptionGraph(LogitsTap, true, 1, inceptionSide)
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

// WriteWeights writes the layers of Inception that the source has as a checkpoint of kind checkpoint.Inception: tensors
// under the shared names in the group param/. Its bytes are a function of the tensors.
func WriteWeights(w io.Writer, src WeightSource) error {
	n, _, err := newInceptionGraph(LogitsTap, true, 1, inceptionSide)
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
