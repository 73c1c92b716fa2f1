package feature

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/safetensors"
	"vapo/lib/torchfile"
)

// WeightSource has tensors by the names of the shared PyTorch weights.
type WeightSource interface {
	Tensor(name string) (values []float32, shape []int, ok bool, err error)
}

// Published are the files of weights that FIDs are computed with, by the sha256 of their content in hexadecimal.
var Published = map[string]string{PublishedDigest: PublishedWeights}

// OpenWeights reads Inception's weights from a PyTorch file, a safetensors file or a checkpoint of kind
// checkpoint.Inception, told apart by their content. The error names what is wrong with the file, but not the file.
func OpenWeights(path string) (WeightSource, error) {
	src, ck, err := readWeights(path)
	if err != nil {
		return nil, err
	}
	if src == nil {
		return nil, fmt.Errorf("a checkpoint of kind %s, expected Inception's weights: a PyTorch file, a safetensors file or a checkpoint of kind %s", ck.Kind, checkpoint.Inception)
	}
	return src, nil
}

// readWeights returns Inception's weights, or a checkpoint of another kind.
func readWeights(path string) (WeightSource, *checkpoint.Checkpoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	switch head := make([]byte, 6); {
	case torchfile.IsFile(path):
		w, err := torchfile.Open(path)
		return w, nil, err
	case safetensors.IsFile(path):
		w, err := safetensors.Open(path)
		return w, nil, err
	default:
		if n, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		} else if string(head[:n]) != "ARROW1" {
			return nil, nil, errors.New("it begins like none of a PyTorch file, a safetensors file and a checkpoint")
		}
	}
	ck, err := checkpoint.Decode(f, info.Size())
	if err != nil {
		return nil, nil, err
	}
	if ck.Kind == checkpoint.Inception {
		return checkpointWeights(ck.Group(checkpoint.Param)), ck, nil
	}
	return nil, ck, nil
}

// checkpointWeights are the tensors of a checkpoint's group, by the rest of their names.
type checkpointWeights map[string]checkpoint.Named

// Tensor implements WeightSource. The values are the caller's.
func (w checkpointWeights) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := w[name]
	return slices.Clone(t.Data), t.Shape, ok, nil
}

// unitParts are the tensors of a unit, by the end of their names.
var unitParts = []string{".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"}

// Holdings say what of Inception a source of weights has.
type Holdings struct {
	Served  []int    // the taps it has all layers for, in the order of Taps
	Missing []string // layers that are absent, in the order of the network
	Tensors int      // of the layers that are there
	Bytes   int64    // of those tensors as float32
}

// Examine reads all tensors of Inception's layers. It is an error if one has another shape than the network's, holds a number
// that is not finite or a negative variance; layers may be missing.
func Examine(src WeightSource) (*Holdings, error) {
	h := &Holdings{}
	var err error
	h.Missing, h.Served, err = eachLayer(src, func(tensors []checkpoint.Named) error {
		for _, t := range tensors {
			h.Tensors++
			h.Bytes += 4 * int64(len(t.Data))
			isVariance := strings.HasSuffix(t.Name, ".bn.running_var")
			for i, v := range t.Data {
				if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) || isVariance && v < 0 {
					return fmt.Errorf("tensor %s holds %v at %d", t.Name, v, i)
				}
			}
		}
		return nil
	})
	return h, err
}

// WriteWeights writes Inception's layers, as far as the source has them, as a checkpoint of kind checkpoint.Inception: tensors
// under the shared names in the group param/. Its bytes are a function of the tensors.
func WriteWeights(w io.Writer, src WeightSource) error {
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Inception, Config: json.RawMessage(`{"network":"inception-2015-12-05"}`)}
	_, _, err := eachLayer(src, func(tensors []checkpoint.Named) error {
		for _, t := range tensors {
			t.Name = checkpoint.Param + t.Name
			ck.Tensors = append(ck.Tensors, t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(ck.Tensors) == 0 {
		return errors.New("none of Inception's layers is among the weights")
	}
	return checkpoint.Write(w, ck)
}

// eachLayer hands the tensors of every layer that is whole to f, in the order of the network, and returns the layers that
// are not and the taps that are served.
func eachLayer(src WeightSource, f func(tensors []checkpoint.Named) error) (missing []string, served []int, err error) {
	n := &inception{b: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}, tap: LogitsTap}
	if err := graphop.Build(func() {
		n.build(graphop.Input(n.b.Graph, n.b.Dtype, "x", 1, 3, InceptionSide, InceptionSide))
	}); err != nil {
		return nil, nil, err
	}
	shapes := map[string][]int{}
	for _, p := range n.b.Params {
		shapes[p.Name] = p.Shape
	}
	for _, u := range n.units {
		want := map[string][]int{}
		if shape := shapes[u.name+".weight"]; u.name == "fc" {
			want["fc.weight"] = shape
		} else {
			for i, part := range unitParts {
				want[u.name+part] = shape[:1]
				if i == 0 {
					want[u.name+part] = shape
				}
			}
		}
		var tensors []checkpoint.Named
		for _, name := range slices.Sorted(maps.Keys(want)) {
			values, err := read(src, name, want[name])
			if err != nil {
				return nil, nil, err
			}
			if values != nil {
				tensors = append(tensors, checkpoint.Named{Name: name, Shape: want[name], Data: values})
			}
		}
		if len(tensors) < len(want) {
			missing = append(missing, u.name)
			continue
		}
		if err := f(tensors); err != nil {
			return nil, nil, err
		}
	}
	var e *MissingLayersError
	errors.As(n.incomplete(missing), &e)
	return missing, e.Served, nil
}
