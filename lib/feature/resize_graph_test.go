package feature

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/dataset"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// asDevice is an engine without promises, like a device, so networks resize in the graph.
type asDevice struct{ backend.Backend }

func (asDevice) Promises() backend.Promises { return backend.Promises{} }

// resized returns the image that the graph resizes on an engine.
func resized(t *testing.T, be backend.Backend, r *resizeGraph, im Image) []float32 {
	t.Helper()
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	x := graphop.Input(b.Graph, b.Dtype, "x", 1, r.c, r.h, r.w)
	exe, err := compileGraph(be, b, x, r.build(b, x), nil, r.matrices())
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, r.c*r.h*r.w)
	if err := r.write(row, im); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, 3*r.side*r.side)
	if err := exe.Run([]backend.Buffer{backend.F32(row)}, []backend.Buffer{backend.F32(out)}); err != nil {
		t.Fatal(err)
	}
	return out
}

// For all conventions, a resize in the graph agrees with PyTorch and Pillow, and even more closely with resizers.
func TestResizeInGraph(t *testing.T) {
	compute, err := device.OpenGo()
	if err != nil {
		t.Fatal(err)
	}
	g := readInception(t)
	for _, how := range resizes {
		for _, c := range []struct {
			be   backend.Backend
			set  *dataset.Images
			grey bool
		}{
			{fastEngine(t), patterned(1, 7, 32), false},
			{fastEngine(t), patterned(1, 298, 299), false},
			{fastEngine(t), patterned(1, 40, 1), true},
			{compute, patterned(1, 7, 32), false},
		} {
			im := Image{C: 3, H: c.set.H, W: c.set.W, Pixels: c.set.Pixels}
			if c.grey {
				im.C, im.Pixels = 1, im.Pixels[:im.H*im.W]
			}
			r := &resizeGraph{how, im.C, im.H, im.W, inceptionSide}
			if !r.fits() {
				t.Fatalf("images of %dx%d are not resized in the graph", im.W, im.H)
			}
			got, want := resized(t, c.be, r, im), make([]float32, 3*inceptionSide*inceptionSide)
			if err := (&resizers{how: how}).image(want, im); err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i := range want {
				worst = max(worst, math.Abs(float64(got[i]-want[i])))
			}
			if !(worst < 1e-6) {
				t.Errorf("%s, %s, %dx%d: differs from the host by %g, want below 1e-6", c.be.Class(), how, im.W, im.H, worst)
			}
			if im.H != 7 {
				continue
			}
			for k, want := range unpack(t, g.Resize[string(how)][0]) {
				if got := float64(got[97*k]); math.Abs(got-want) > 5e-5 { // see TestResize
					t.Fatalf("%s, %s: element %d is %v, want %v", c.be.Class(), how, 97*k, got, want)
				}
			}
		}
	}
	for _, size := range [][2]int{{299, 299}, {300, 1}, {1, 300}} {
		if (&resizeGraph{PyTorchFID, 3, size[0], size[1], inceptionSide}).fits() {
			t.Errorf("images of %v pixels are resized in the graph", size)
		}
	}
}

// A network that resizes in the graph agrees with PyTorch as closely as one that resizes on the host. Images of other
// sizes and invalid images give the same results and errors as on a CPU.
func TestInceptionFromPixels(t *testing.T) {
	const block, tap = 3, 192
	g, o := readInception(t), Options{Tap: tap, Resize: PyTorchFID}
	net, err := newInception(asDevice{fastEngine(t)}, formulaWeights(t), o, block)
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := newInception(fastEngine(t), formulaWeights(t), o, block)
	if err != nil {
		t.Fatal(err)
	}
	features := func(net *Network, images Images) []float32 {
		t.Helper()
		out := make([]float32, images.Len()*tap)
		if err := net.Features(images, 0, images.Len(), out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := features(net, Of(patterned(2, 32, 32)))
	if e := relative(got, unpack(t, g.Formula[strconv.Itoa(tap)])); !(e < 1e-5) {
		t.Errorf("relative error %g, want below 1e-5", e)
	}
	if net.programs.small == nil || net.programs.whole.exe != nil || cpu.programs.small != nil {
		t.Fatal("small images were resized on the host for a device, or in the graph for a CPU")
	}
	same := features(cpu, Of(patterned(2, 32, 32)))
	if slices.Equal(got, same) {
		t.Error("both networks gave the same bits, so the graph resized nothing")
	}

	mixed := inMemory{}
	for _, side := range []int{32, 32, 32, 32, 40, 32, 310} {
		im := patterned(1, side, side)
		mixed = append(mixed, Image{C: 3, H: side, W: side, Pixels: im.Pixels})
	}
	got, same = features(net, mixed), features(cpu, mixed)
	if e := relative(got, doubles(same)); !(e < 1e-5) {
		t.Errorf("images of several sizes: relative difference %g, want below 1e-5", e)
	}
	if slices.Equal(got[:block*tap], same[:block*tap]) || !slices.Equal(got[block*tap:], same[block*tap:]) {
		t.Error("expected the graph to resize the first block, and the host to resize the blocks with other sizes")
	}

	// Images of another size need another compiled form. Their features do not depend on earlier computations.
	enlarged := inMemory(slices.Repeat(mixed[4:5], block))
	fresh, err := newInception(asDevice{fastEngine(t)}, formulaWeights(t), o, block)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(features(net, enlarged), features(fresh, enlarged)) || net.programs.shape != [3]int{3, 40, 40} {
		t.Error("features depend on the images that were computed before")
	}

	for at, bad := range []Image{{C: 2, H: 4, W: 4, Pixels: make([]uint8, 32)}, {C: 3, H: 0, W: 4}, {C: 3, H: 32, W: 32}} {
		images := inMemory(slices.Repeat(mixed[:1], 3))
		images[at] = bad
		var messages []string
		for _, net := range []*Network{net, cpu} {
			err := net.Features(images, 0, 3, make([]float32, 3*tap))
			if err == nil {
				t.Fatalf("image %v was accepted", bad)
			}
			messages = append(messages, err.Error())
		}
		if messages[0] != messages[1] {
			t.Errorf("bad image %d: the error is %q on a device and %q on a CPU", at, messages[0], messages[1])
		}
	}
}

// Devices evaluate a whole part at a time; CPUs evaluate the number of images that is fastest for the network.
func TestBlocks(t *testing.T) {
	be := fastEngine(t)
	for _, c := range []struct {
		be   backend.Backend
		want []int
	}{{be, []int{16, 64}}, {asDevice{be}, []int{250, 250}}} {
		inception, err := NewInception(c.be, formulaWeights(t), Options{Tap: 64, Resize: TF1})
		if err != nil {
			t.Fatal(err)
		}
		config := Classifier{Shape: []int{1, 8, 8}, Classes: 2, Channels: 1, Features: 2}
		weights := map[string][]float32{}
		for name, n := range map[string]int{
			"conv1.weight": 9, "conv1.bias": 1, "conv2.weight": 18, "conv2.bias": 2, "features.weight": 16,
			"features.bias": 2, "classes.weight": 4, "classes.bias": 2,
		} {
			weights[name] = make([]float32, n)
		}
		classifier, err := NewClassifier(c.be, config, weights)
		if err != nil {
			t.Fatal(err)
		}
		if got := []int{inception.Block, classifier.Block}; !slices.Equal(got, c.want) {
			t.Errorf("blocks %v, want %v", got, c.want)
		}
	}
}
