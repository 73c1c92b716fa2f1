package featuretest

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"vapo/lib/safetensors"
)

// Tensors returns the tensors whose names begin with one of the prefixes, or all tensors if there are no prefixes.
func (w *Weights) Tensors(prefixes ...string) ([]safetensors.Tensor, error) {
	var names []string
	for _, unit := range w.order {
		for _, part := range []string{".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"} {
			names = append(names, unit+part)
		}
	}
	var out []safetensors.Tensor
	for _, name := range append(names, "fc.weight") {
		isPrefix := func(p string) bool { return strings.HasPrefix(name, p) }
		if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, isPrefix) {
			continue
		}
		v, shape, _, err := w.Tensor(name)
		if err != nil {
			return nil, err
		}
		out = append(out, safetensors.Tensor{Name: name, Shape: shape, Data: v})
	}
	return out, nil
}

// WriteTorch writes tensors as torch.save writes a dictionary, in the zip format.
func WriteTorch(w io.Writer, tensors []safetensors.Tensor) error {
	z := zip.NewWriter(w)
	put := func(name string, data []byte) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return err
	}
	number := func(v int) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }
	text := func(s string) string { return "X" + number(len(s))[1:] + s }
	program := "\x80\x02}("
	for i, t := range tensors {
		shape, stride := "(", "("
		for d, n := range t.Shape {
			step := 1
			for _, m := range t.Shape[d+1:] {
				step *= m
			}
			shape, stride = shape+number(n), stride+number(step)
		}
		program += text(t.Name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
			"ctorch\nFloatStorage\n" + text(fmt.Sprint(i)) + text("cpu") + number(len(t.Data)) + "tQ" +
			number(0) + shape + "t" + stride + "t\x89ccollections\nOrderedDict\n)RtR"
	}
	if err := put("data.pkl", []byte(program+"u.")); err != nil {
		return err
	}
	for i, t := range tensors {
		var raw []byte
		for _, v := range t.Data {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if err := put(fmt.Sprintf("data/%d", i), raw); err != nil {
			return err
		}
	}
	if err := put("version", []byte("3\n")); err != nil {
		return err
	}
	return z.Close()
}
