package feature

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/dataset"
	"vapo/lib/feature/featuretest"
)

var writeShapes = flag.Bool("write-shapes", false, "write testdata/inception_shapes.json, which inception.py reads")

// inceptionGolden is the output of testdata/inception.py.
type inceptionGolden struct {
	Resize  map[string][]string
	Formula map[string]string
	Many    map[string][2]string `json:"formula64"`
	Trunk   map[string]map[string][2]string
}

func readInception(t *testing.T) (g inceptionGolden) {
	t.Helper()
	raw, err := os.ReadFile("testdata/inception.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func unpack(t *testing.T, s string) []float64 {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(raw)/4)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
	}
	return out
}

// There are 94 units and a linear layer.
func TestInceptionUnits(t *testing.T) {
	n, err := wholeInception()
	if err != nil {
		t.Fatal(err)
	}
	if len(n.units) != 95 {
		t.Errorf("%d convolution units, want 95", len(n.units))
	}
	shapes := map[string][]int{}
	for _, p := range n.b.Params {
		if name, ok := strings.CutSuffix(p.Name, ".weight"); ok && name != "fc" {
			shapes[name+".conv.weight"] = p.Shape
		}
	}
	if *writeShapes {
		raw, err := json.Marshal(shapes)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/inception_shapes.json", raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func formulaWeights(t testing.TB) WeightSource {
	t.Helper()
	w, err := featuretest.ReadWeights("testdata/inception_shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func patterned(n, h, w int) *dataset.Images {
	im := &dataset.Images{Name: "pattern", N: n, C: 3, H: h, W: w, Pixels: make([]uint8, n*3*h*w)}
	for i := range im.Pixels {
		im.Pixels[i] = uint8((i*37 + i/11*5 + i/300) % 256)
	}
	return im
}

func fastEngine(testing.TB) backend.Backend { return tape.Tape{} }

// relative returns |a-b| / |b|, with Euclidean norms.
func relative[T float32 | float64](a []T, b []float64) float64 {
	var d, s float64
	for i := range b {
		d += (float64(a[i]) - b[i]) * (float64(a[i]) - b[i])
		s += b[i] * b[i]
	}
	return math.Sqrt(d / s)
}

// Every tap agrees with PyTorch for weights computed by formula.
func TestInceptionAgainstPyTorch(t *testing.T) {
	g, source := readInception(t), formulaWeights(t)
	for _, tap := range Taps {
		net, err := NewInception(fastEngine(t), source, Options{Tap: tap, Resize: PyTorchFID})
		if err != nil {
			t.Fatal(err)
		}
		got, want := make([]float32, 2*tap), unpack(t, g.Formula[strconv.Itoa(tap)])
		if err := net.Features(Of(patterned(2, 32, 32)), 0, 2, got); err != nil {
			t.Fatal(err)
		}
		if e := relative(got, want); !(e < 1e-5) {
			t.Errorf("tap %d: relative error %g, want below 1e-5", tap, e)
		}
	}
	// A network with features and logits gives the same values as two separate networks.
	const tap = 768
	net, err := NewInception(fastEngine(t), source, Options{Tap: tap, Resize: PyTorchFID, Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	if net.Dim != tap || net.Classes != LogitsTap {
		t.Fatalf("%d features and %d logits, want %d and %d", net.Dim, net.Classes, tap, LogitsTap)
	}
	rows := make([]float32, 2*(tap+LogitsTap))
	if err := net.Features(Of(patterned(2, 32, 32)), 0, 2, rows); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		row := rows[i*(tap+LogitsTap):][:tap+LogitsTap]
		if e := relative(row[:tap], unpack(t, g.Formula["768"])[i*tap:(i+1)*tap]); !(e < 1e-5) {
			t.Errorf("features of image %d, computed together with logits: relative error %g, want below 1e-5", i, e)
		}
		if e := relative(row[tap:], unpack(t, g.Formula["1008"])[i*LogitsTap:(i+1)*LogitsTap]); !(e < 1e-5) {
			t.Errorf("logits of image %d, computed together with features: relative error %g, want below 1e-5", i, e)
		}
	}
}

// Enlarged and reduced images agree with PyTorch and Pillow.
func TestResize(t *testing.T) {
	g := readInception(t)
	for _, how := range resizes {
		for i, im := range []*dataset.Images{patterned(1, 7, 32), patterned(1, 640, 310)} {
			out := make([]float32, 3*inceptionSide*inceptionSide)
			r := resizers{how: how}
			if err := r.image(out, Image{C: 3, H: im.H, W: im.W, Pixels: im.Pixels}); err != nil {
				t.Fatal(err)
			}
			for k, want := range unpack(t, g.Resize[string(how)][i]) {
				if got := float64(out[97*k]); math.Abs(got-want) > 5e-5 { // PyTorch's float32 positions are up to 3e-5 off
					t.Fatalf("%s, image %d: element %d is %v, want %v", how, i, 97*k, got, want)
				}
			}
		}
	}
}

// testFile returns the path of a test data file, which is not part of the project. It skips the test if the file is
// missing.
func testFile(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("VAPO_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is missing; VAPO_TESTDATA names its folder", name)
	}
	return path
}

// cifar64 returns the first 64 test images of CIFAR-10.
func cifar64(t *testing.T) *dataset.Images {
	t.Helper()
	archive := testFile(t, "cifar-10-binary.tar.xz")
	const n = 64
	raw, err := exec.Command("tar", "-xJOf", archive, "cifar-10-batches-bin/test_batch.bin").Output()
	if err != nil {
		t.Skipf("unpacking %s requires tar and xz: %v", archive, err)
	}
	im := &dataset.Images{Name: "cifar10", Split: "test", N: n, C: 3, H: 32, W: 32}
	for i := range n {
		im.Pixels = append(im.Pixels, raw[3073*i+1:3073*(i+1)]...)
	}
	return im
}

// agree compares features with PyTorch's: those of the first images, and the sum over all images.
func agree(t *testing.T, name string, net *Network, im *dataset.Images, first, sum string) {
	t.Helper()
	d := net.Dim
	got := make([]float32, im.N*d)
	if err := net.Features(Of(im), 0, im.N, got); err != nil {
		t.Fatal(err)
	}
	total := make([]float64, d)
	for i, v := range got {
		total[i%d] += float64(v)
	}
	head := unpack(t, first)
	if e := max(relative(got[:len(head)], head), relative(total, unpack(t, sum))); !(e < 1e-5) {
		t.Errorf("%s: relative error %g, want below 1e-5", name, e)
	} else {
		t.Logf("%s: relative error %.1g", name, e)
	}
}

// Every tap agrees with PyTorch on 64 images of CIFAR-10, for weights computed by formula.
func TestInceptionOnCIFAR(t *testing.T) {
	im, g, source := cifar64(t), readInception(t), formulaWeights(t)
	for _, tap := range Taps {
		net, err := NewInception(fastEngine(t), source, Options{Tap: tap, Resize: PyTorchFID})
		if err != nil {
			t.Fatal(err)
		}
		want := g.Many[strconv.Itoa(tap)]
		agree(t, "tap "+strconv.Itoa(tap), net, im, want[0], want[1])
	}
}

// The published weights up to Mixed_7a agree with PyTorch on 64 images of CIFAR-10, for every resize convention.
func TestInceptionTrunkOnCIFAR(t *testing.T) {
	source, err := OpenWeights(testFile(t, "inception-2015-12-05-trunk.pth"))
	if err != nil {
		t.Fatal(err)
	}
	im, g := cifar64(t), readInception(t)
	for _, how := range resizes {
		for tap, want := range g.Trunk[string(how)] {
			k, err := strconv.Atoi(tap)
			if err != nil {
				t.Fatal(err)
			}
			if how != PyTorchFID && k != 768 {
				continue // one tap is enough to test a convention
			}
			net, err := NewInception(fastEngine(t), source, Options{Tap: k, Resize: how})
			if err != nil {
				t.Fatal(err)
			}
			agree(t, fmt.Sprintf("%s, tap %d", how, k), net, im, want[0], want[1])
		}
	}
	// The error lists the layers that the file lacks and the taps that it serves.
	_, err = NewInception(fastEngine(t), source, Options{Tap: 2048, Resize: PyTorchFID})
	var missing *missingLayersError
	taps := []int{64, 192, 768, 1280}
	if !errors.As(err, &missing) || len(missing.layers) != 18 || missing.layers[0] != "Mixed_7b.branch3x3_1" ||
		!slices.Equal(missing.served, taps) {
		t.Errorf("tap 2048 of the trunk: error %v, want one that lists 18 missing layers and the taps %v", err, taps)
	}
	_, err = NewInception(fastEngine(t), source, Options{Tap: 768, Resize: PyTorchFID, Logits: true})
	if !errors.As(err, &missing) || missing.tap != LogitsTap || len(missing.layers) != 19 ||
		!slices.Equal(missing.served, taps) {
		t.Errorf("logits of the trunk: error %v, want one that lists 19 missing layers and the taps %v", err, taps)
	}
}

func TestInceptionRefuses(t *testing.T) {
	if _, err := NewInception(fastEngine(t), formulaWeights(t), Options{Tap: 100, Resize: PyTorchFID}); err == nil {
		t.Error("tap 100 was accepted")
	}
	if _, err := NewInception(fastEngine(t), formulaWeights(t), Options{Tap: 64, Resize: "lanczos"}); err == nil {
		t.Error("an unknown resize convention was accepted")
	}
}
