package feature

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/feature/featuretest"
	"vapo/lib/safetensors"
)

// stem returns the tensors, computed by formula, of the layers that taps 64 and 192 need.
func stem(t *testing.T) []safetensors.Tensor {
	t.Helper()
	tensors, err := formulaWeights(t).(*featuretest.Weights).Tensors("Conv2d_")
	if err != nil {
		t.Fatal(err)
	}
	return tensors
}

func weightsFile(t *testing.T, name string, write func(w io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// asSource implements WeightSource for a list of tensors.
type asSource []safetensors.Tensor

func (s asSource) Tensor(name string) ([]float32, []int, bool, error) {
	for _, t := range s {
		if t.Name == name {
			return slices.Clone(t.Data), t.Shape, true, nil
		}
	}
	return nil, nil, false, nil
}

// Both formats give the same network. The file names have no extension, so the content decides the format.
func TestOpenWeights(t *testing.T) {
	tensors := stem(t)
	files := map[string]string{
		"PyTorch":     weightsFile(t, "weights", func(w io.Writer) error { return featuretest.WriteTorch(w, tensors) }),
		"safetensors": weightsFile(t, "weights", func(w io.Writer) error { return safetensors.Write(w, tensors, nil) }),
	}
	var want []float32
	for _, format := range []string{"PyTorch", "safetensors"} {
		src, err := OpenWeights(files[format])
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range tensors {
			got, shape, ok, err := src.Tensor(x.Name)
			if err != nil || !ok || !slices.Equal(shape, x.Shape) || !slices.Equal(got, x.Data) {
				t.Fatalf("%s: tensor %s has other values, or shape %v instead of %v (found %v, error %v)",
					format, x.Name, shape, x.Shape, ok, err)
			}
		}
		h, err := Examine(src)
		if err != nil || !slices.Equal(h.Taps, []int{64, 192}) || len(h.Missing) != 90 ||
			!strings.HasPrefix(h.Missing[0], "Mixed_5b.") {
			t.Errorf("%s: contents %+v (%v), want taps 64 and 192 and 90 missing layers", format, h, err)
		}
		net, err := Open(fastEngine(t), files[format], "", Options{Tap: 64, Resize: PyTorchFID})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 64)
		if err := net.Network.Features(Of(patterned(1, 32, 32)), 0, 1, got); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the features differ from those of the PyTorch file", format)
		}
		_, err = Open(fastEngine(t), files[format], "", Options{Tap: 768, Resize: PyTorchFID})
		if err == nil || !strings.Contains(err.Error(), "serve the taps [64 192]") {
			t.Errorf("%s: tap 768: error %v, want one that lists taps 64 and 192", format, err)
		}
	}
}

func TestExamineAllLayers(t *testing.T) {
	h, err := Examine(formulaWeights(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.Taps, Taps) || len(h.Missing) != 0 {
		t.Errorf("contents %+v, want all taps and no missing layer", h)
	}
}

// Invalid weights are rejected with an error that names the tensor.
func TestExamineRefuses(t *testing.T) {
	for want, edit := range map[string]func(x *safetensors.Tensor){
		"Conv2d_2a_3x3.bn.bias holds NaN at 3":            func(x *safetensors.Tensor) { x.Data[3] = float32(math.NaN()) },
		"Conv2d_2a_3x3.conv.weight holds +Inf at 0":       func(x *safetensors.Tensor) { x.Data[0] = float32(math.Inf(1)) },
		"Conv2d_2a_3x3.bn.running_var holds -1 at 1":      func(x *safetensors.Tensor) { x.Data[1] = -1 },
		"Conv2d_2a_3x3.conv.weight has shape [32 288 1 1": func(x *safetensors.Tensor) { x.Shape = []int{32, 288, 1, 1} },
	} {
		tensors := stem(t)
		for i := range tensors {
			if strings.HasPrefix(want, tensors[i].Name+" ") {
				tensors[i].Data = slices.Clone(tensors[i].Data)
				edit(&tensors[i])
			}
		}
		if _, err := Examine(asSource(tensors)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	// A layer that lacks one of its tensors counts as missing.
	tensors := slices.DeleteFunc(stem(t), func(x safetensors.Tensor) bool { return x.Name == "Conv2d_3b_1x1.bn.bias" })
	h, err := Examine(asSource(tensors))
	if err != nil || !slices.Equal(h.Taps, []int{64}) || h.Missing[0] != "Conv2d_3b_1x1" {
		t.Errorf("contents %+v (%v), want tap 64 and Conv2d_3b_1x1 missing", h, err)
	}
	if h, err := Examine(asSource(nil)); err != nil || len(h.Taps) != 0 || len(h.Missing) != 95 {
		t.Errorf("no tensors: contents %+v (%v), want 95 missing layers", h, err)
	}
}

func TestOpenWeightsRefuses(t *testing.T) {
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for want, write := range map[string]func(io.Writer) error{
		"a PNG image, expected":           text("\x89PNG\r\n\x1a\n, and more of it"),
		"a Git LFS pointer":               text("version https://git-lfs.github.com/spec/v1"),
		"it is empty":                     text(""),
		"data.pkl|zip":                    text("PK\x03\x04 and more of it"),
		"not a readable safetensors file": text("\x02\x00\x00\x00\x00\x00\x00\x00{]"),
		"an Arrow file, expected":         text("ARROW1\x00\x00 and more of it"),
	} {
		_, err := OpenWeights(weightsFile(t, "w", write))
		named := func(s string) bool { return strings.Contains(err.Error(), s) }
		if err == nil || failure.ClassOf(err) != failure.Input || !slices.ContainsFunc(strings.Split(want, "|"), named) {
			t.Errorf("error %v, want an input error with %q", err, want)
		}
	}
	if _, err := OpenWeights(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was read")
	}
}
