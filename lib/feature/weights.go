package feature

import (
	"math"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/torchfile"
)

// WeightSource provides tensors by the names of the published PyTorch weights. ok is false if there is no tensor of
// this name. The caller may modify the values.
type WeightSource interface {
	Tensor(name string) (values []float32, shape []int, ok bool, err error)
}

// OpenWeights reads Inception's weights from a PyTorch file or a safetensors file. It recognises the format by the
// content of the file. Errors do not name the file.
func OpenWeights(path string) (WeightSource, error) {
	return openWeights(path, "a PyTorch file or a safetensors file")
}

const weightsHint = "weights are a PyTorch file or a safetensors file, with tensors named as in " + PublishedWeights

// openWeights is OpenWeights, with a description of all files that the caller accepts.
func openWeights(path, expected string) (src WeightSource, err error) {
	switch {
	case torchfile.IsFile(path):
		src, err = torchfile.Open(path)
	case safetensors.IsFile(path):
		src, err = safetensors.Open(path)
	default:
		err = program.Unexpected(path, expected, weightsHint)
	}
	if err != nil {
		return nil, failure.Default(failure.Input, openHint, err)
	}
	return src, nil
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
