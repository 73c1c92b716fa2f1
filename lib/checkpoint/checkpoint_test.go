package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/tensorfile"
)

func example() *Checkpoint {
	tensor := func(name string, shape ...int) Named {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		rng := rand.New(rand.NewPCG(uint64(len(name)), 1))
		for i := range data {
			data[i] = float32(rng.NormFloat64())
		}
		return Named{Name: name, Shape: shape, Data: data}
	}
	return &Checkpoint{
		Kind: Potential, Config: json.RawMessage(`{"model":"mlp","width":128}`), Step: 1234,
		Tensors: []Named{
			tensor("adam.m/dense0/w", 4, 3), tensor("adam.v/dense0/w", 4, 3),
			tensor("ema/dense0/b", 3), tensor("ema/dense0/w", 4, 3),
			tensor("param/dense0/b", 3), tensor("param/dense0/w", 4, 3), tensor("param/scale"),
		},
		Extra: map[string]json.RawMessage{
			"data": json.RawMessage(`"sha256:00"`), "optimiser": json.RawMessage(`{"lr":0.001}`),
		},
	}
}

func encode(t testing.TB, c *Checkpoint) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(b []byte) (*Checkpoint, error) {
	t, err := tensorfile.Decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return fromTable(t)
}

// TestAverages: each average has its own group; the prefixes do not overlap.
func TestAverages(t *testing.T) {
	c := example()
	var all []string
	for k, want := range []string{"ema/", "ema.1/", "ema.2/"} {
		if got := Average(k); got != want {
			t.Errorf("average %d is in %s, want %s", k, got, want)
		}
		if k > 0 {
			bias := Named{Name: Average(k) + "dense0/b", Shape: []int{3}, Data: []float32{1, 2, float32(k)}}
			c.Tensors = append(c.Tensors, bias)
		}
		all = append(all, Average(k))
	}
	for k, want := range []int{2, 1, 1} {
		if got := c.Group(all[k]); len(got) != want {
			t.Errorf("group %s has %d tensors, want %d", all[k], len(got), want)
		}
	}
	back, err := decode(encode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	w, err := back.Weights(Average(2), map[string][]int{"dense0/b": {3}})
	if err != nil || !slices.Equal(w["dense0/b"], []float32{1, 2, 2}) {
		t.Errorf("weights of average 2 are %v (%v), want dense0/b as 1 2 2", w, err)
	}
}

func TestRoundTrip(t *testing.T) {
	want := example()
	path := filepath.Join(t.TempDir(), "c.arrow")
	if err := os.WriteFile(path, encode(t, want), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-written +read)\n%s", d)
	}
	none := example()
	none.Extra = nil
	if got, err = decode(encode(t, none)); err != nil || got.Extra != nil {
		t.Errorf("without extra: extra %s (%v), want none", got.Extra, err)
	}
}

// TestDeterministic pins the bytes of a checkpoint, which do not depend on the order of the tensors or the indentation
// of the JSON. If the pinned digest has to change, raise the versions of the stages that write checkpoints.
func TestDeterministic(t *testing.T) {
	const want = "b12193028d0f6fda26b913feb9b8c75763cc8b8c1129ac3e9a558f08506f5d55"
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		c := example()
		rng.Shuffle(len(c.Tensors), func(i, j int) { c.Tensors[i], c.Tensors[j] = c.Tensors[j], c.Tensors[i] })
		c.Config = json.RawMessage("{\"model\": \"mlp\",\n  \"width\": 128}\n")
		sum := sha256.Sum256(encode(t, c))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Fatalf("digest %s, want %s", got, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Checkpoint)
		want string
	}{
		"no kind":        {func(c *Checkpoint) { c.Kind = "" }, "no kind"},
		"negative step":  {func(c *Checkpoint) { c.Step = -1 }, "step -1"},
		"no tensors":     {func(c *Checkpoint) { c.Tensors = nil }, "no tensors"},
		"no name":        {func(c *Checkpoint) { c.Tensors[0].Name = "" }, "no name"},
		"same name":      {func(c *Checkpoint) { c.Tensors[0].Name = c.Tensors[1].Name }, "appears twice"},
		"wrong size":     {func(c *Checkpoint) { c.Tensors[0].Shape = []int{5} }, `"adam.m/dense0/w" has 12 values`},
		"no config":      {func(c *Checkpoint) { c.Config = nil }, "config is not JSON"},
		"extra not JSON": {func(c *Checkpoint) { c.Extra["data"] = json.RawMessage("{") }, "extra.data is not JSON"},
	} {
		c2 := example()
		c.edit(c2)
		if err := Write(&bytes.Buffer{}, c2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good := func() *tensorfile.Table {
		return &tensorfile.Table{
			Rows:    1,
			Columns: []tensorfile.Column{{Name: "param/w", Data: []float32{1}}},
			Meta:    map[string]string{metaFormat: format, metaKind: Potential, metaConfig: "{}", metaStep: "3"},
		}
	}
	for name, c := range map[string]struct {
		edit func(*tensorfile.Table)
		want string
	}{
		"a data set": {func(t *tensorfile.Table) { t.Meta = nil }, `"vapo" is ""`},
		"two rows": {func(t *tensorfile.Table) {
			t.Rows, t.Columns[0].Data = 2, []float32{1, 2}
		}, "2 rows"},
		"float64":       {func(t *tensorfile.Table) { t.Columns[0].Data = []float64{1} }, "float64, expected float32"},
		"no step":       {func(t *tensorfile.Table) { delete(t.Meta, metaStep) }, "step"},
		"negative step": {func(t *tensorfile.Table) { t.Meta[metaStep] = "-3" }, "step"},
		"no kind":       {func(t *tensorfile.Table) { delete(t.Meta, metaKind) }, "kind"},
		"broken config": {func(t *tensorfile.Table) { t.Meta[metaConfig] = "{" }, "configuration"},
		"broken extra":  {func(t *tensorfile.Table) { t.Meta["extra.x"] = "" }, "extra.x"},
		"later format":  {func(t *tensorfile.Table) { t.Meta[metaFormat] = "checkpoint/2" }, "checkpoint/2"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.arrow")
			var b bytes.Buffer
			table := good()
			c.edit(table)
			if err := tensorfile.Write(&b, table); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			if err == nil || !strings.HasPrefix(err.Error(), path+": not a") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that begins with the file's name and contains %q", err, c.want)
			}
		})
	}
	var te *tensorfile.FormatError
	if _, err := decode([]byte("no arrow file, but long enough to be one")); !errors.As(err, &te) {
		t.Errorf("error %v, want a tensorfile.FormatError", err)
	}
}

func TestGroup(t *testing.T) {
	c := example()
	if g := c.Group(EMA); len(g) != 2 || !slices.Equal(g["dense0/w"].Shape, []int{4, 3}) {
		t.Errorf("group %s has %v, want two tensors and dense0/w of shape [4 3]", EMA, g)
	}
	if !c.Has(AdamM) || c.Has("none/") {
		t.Errorf("Has(adam.m/) is %v and Has(none/) %v, want true and false", c.Has(AdamM), c.Has("none/"))
	}
}

func TestWeights(t *testing.T) {
	c := example()
	shapes := map[string][]int{"dense0/w": {4, 3}, "dense0/b": {3}, "scale": {}}
	w, err := c.Weights(Param, shapes)
	if err != nil || len(w) != 3 || len(w["dense0/w"]) != 12 {
		t.Fatalf("weights %v (%v), want three tensors and 12 values in dense0/w", w, err)
	}
	refused := func(prefix, want string) {
		t.Helper()
		if _, err := c.Weights(prefix, shapes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	refused(EMA, `no tensor "ema/scale"`)
	shapes["dense0/w"] = []int{3, 4}
	refused(Param, `tensor "param/dense0/w": expected shape [3 4], got [4 3]`)
	delete(shapes, "dense0/w")
	refused(Param, `"param/dense0/w" is not part of the configured network`)
}

func TestNonFinite(t *testing.T) {
	c := example()
	if name, found := c.NonFinite(); found {
		t.Errorf("%s is reported, but every value is finite", name)
	}
	c.Tensors[5].Data[7] = float32(math.NaN())
	c.Tensors[6].Data[0] = float32(math.Inf(-1))
	if name, found := c.NonFinite(); !found || name != "param/dense0/w" {
		t.Errorf("found %q (%v), want param/dense0/w", name, found)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, example()))
	tensors := []Named{{Name: "param/w", Data: []float32{1}}}
	f.Add(encode(f, &Checkpoint{Kind: Classifier, Config: json.RawMessage("{}"), Tensors: tensors}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			return
		}
		first := encode(t, c)
		again, err := decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, encode(t, again)) {
			t.Fatal("the file changes when it is read and written again")
		}
	})
}
