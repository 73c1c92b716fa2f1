package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/feature/featuretest"
	"vapo/lib/npz"
	"vapo/lib/objectstore"
	"vapo/lib/safetensors"
	"vapo/lib/tensorfile"
)

// The stage computes the distance and all selected metrics.
func TestMeasures(t *testing.T) {
	dir := t.TempDir()
	samples, train := writeSet(t, dir, "samples", discs("samples", 200)), writeSet(t, dir, "train", discs("train", 300))
	network := writeNetwork(t, dir, 8)
	run := func(out string, more ...string) (failure.Class, score, string) {
		out = filepath.Join(dir, out)
		args := []string{"--input=samples=" + samples, "--input=reference=" + train, "--backend=tape", "--out=" + out}
		code, _, stderr := eval(t, append(args, more...)...)
		if code != 0 {
			return code, score{}, stderr
		}
		return code, readScore(t, out), stderr
	}
	code, s, stderr := run("all", "--input=features="+network)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if i := s.Interval; i == nil || !(i.Low < s.Value && s.Value < i.High) || i.StandardError <= 0 || i.Groups != 10 {
		t.Errorf("interval %+v, want 10 groups, a standard error above 0, and %v inside it", i, s.Value)
	}
	if x := s.Infinity; x == nil || !(math.Abs(x.Value-s.Value) < s.Value) || len(x.Sizes) != 15 {
		t.Errorf("extrapolation %+v, want 15 sizes and a value between 0 and twice the distance %v", x, s.Value)
	}
	if k := s.KID; k == nil || math.Abs(k.Mean) > 1e-2 || k.Size != 200 || k.Subsets != 100 {
		t.Errorf("kid %+v, want 100 subsets of 200 and a mean between -0.01 and 0.01", k)
	}
	if x := s.Inception; x == nil || !(x.Mean >= 1 && x.Mean <= 3) {
		t.Errorf("inception score %+v, want a mean between 1 and 3, the number of classes", x)
	}
	if m := s.Manifold; m == nil || !(m.Precision > 0.8 && m.Recall > 0.8 && m.Coverage > 0.5) ||
		m.N[0] != 200 || m.N[1] != 300 {
		t.Errorf("manifold %+v, want n 200 and 300, precision and recall above 0.8 and coverage above 0.5", m)
	}
	if len(s.Weights) != 64 {
		t.Errorf("weights %q, want 64 digits", s.Weights)
	}

	code, s, stderr = run("none", "--input=features="+network, "--metrics=none", "--no-baselines")
	if code != 0 || s.furtherMetrics != (furtherMetrics{}) || len(s.Baselines) != 0 {
		t.Errorf("no metrics: exit %d, want 0; score %+v, want only the distance, without baselines: %s", code, s, stderr)
	}
	code, s, stderr = run("some", "--input=features="+network, "--metrics=kid, interval")
	if code != 0 || s.KID == nil || s.Interval == nil || s.Manifold != nil {
		t.Errorf("two metrics: exit %d, want 0; score %+v, want kid and interval but not manifold: %s", code, s, stderr)
	}
	if code, _, stderr = run("typo", "--metrics=fid"); code != failure.Usage || !strings.Contains(stderr, "manifold") {
		t.Errorf("an unknown metric: exit %d, want %d and a message that lists the metrics: %s", code, failure.Usage,
			stderr)
	}
}

// The distance is the same whether a set is given as images, as features or as moments.
func TestForms(t *testing.T) {
	dir := t.TempDir()
	set := discs("samples", 200)
	samples, train := writeSet(t, dir, "samples", set), writeSet(t, dir, "train", discs("train", 300))
	network := writeNetwork(t, dir, 8)
	run := func(out, samples, reference string, more ...string) score {
		t.Helper()
		out = filepath.Join(dir, out)
		args := []string{
			"--input=samples=" + samples, "--input=reference=" + reference, "--backend=tape", "--no-baselines", "--out=" + out,
		}
		code, _, stderr := eval(t, append(args, more...)...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		return readScore(t, out)
	}
	net := "--input=features=" + network
	want := run("images", samples, train, net, "--keep-features")
	near := func(name string, s score, tolerance float64) {
		t.Helper()
		if !(math.Abs(s.Value-want.Value) <= tolerance*want.Value) {
			t.Errorf("%s: distance %v, expected %v", name, s.Value, want.Value)
		}
	}
	features, moments := filepath.Join(dir, "images", "features.arrow"), filepath.Join(dir, "images", "statistics.npz")

	s := run("features", samples, features, net)
	near("features", s, 0)
	if s.KID == nil || !reflect.DeepEqual(s.KID, want.KID) || s.N[1] != 300 || s.Reference != "discs train" {
		t.Errorf("against features: %+v, want the reference \"discs train\", 300 images and kid %+v", s, want.KID)
	}
	s = run("moments", samples, moments, net)
	near("moments", s, 1e-9)
	if s.KID != nil || s.Interval == nil || s.N[1] != 0 ||
		!strings.Contains(strings.Join(s.Warnings, "\n"), "not measured: kid") {
		t.Errorf("against moments: %+v, want an interval, no kid with a warning that it is not measured, and n[1] 0", s)
	}
	// Without a network and images, the features in one file are compared with the moments in the other.
	run("swapped", train, samples, net, "--keep-features")
	s = run("files", filepath.Join(dir, "swapped", "features.arrow"), moments)
	near("features and moments", s, 1e-9)
	test := []string{
		"--input=samples=" + filepath.Join(dir, "swapped", "features.arrow"), "--input=reference=" + moments,
		"--input=test=" + train, "--out=" + filepath.Join(dir, "test"),
	}
	if code, _, stderr := eval(t, test...); code != failure.Input || !strings.Contains(stderr, "input test holds images") {
		t.Errorf("test images without a network: exit %d, want %d and a message that names the input: %s", code,
			failure.Input, stderr)
	}
	if !strings.Contains(s.Network, "classifier-1x16x16-features8") {
		t.Errorf("the score names the network %q, want that of the features, classifier-1x16x16-features8", s.Network)
	}

	// The set is also read from an .npz of images, as other programs write it.
	archive := writeFile(t, filepath.Join(dir, "samples.npz"), func(w io.Writer) error {
		z := npz.NewWriter(w)
		// With a single channel, the layouts NCHW and NHWC are the same.
		if err := npz.Add(z, "arr_0", []int{set.N, set.H, set.W, set.C}, set.Pixels); err != nil {
			return err
		}
		return z.Close()
	})
	near("npz", run("npz", archive, train, net), 0)

	indefinite := make([]float64, 64)
	for i := range indefinite {
		indefinite[i] = -0.9
		if i%9 == 0 {
			indefinite[i] = 1
		}
	}
	crooked := writeFile(t, filepath.Join(dir, "crooked.npz"), func(w io.Writer) error {
		return npz.WriteStatistics(w, make([]float64, 8), indefinite)
	})
	otherWeights := writeFile(t, filepath.Join(dir, "other.arrow"), func(w io.Writer) error {
		tab, err := tensorfile.Read(features)
		if err != nil {
			return err
		}
		tab.Meta[metaWeights] = "sha256:0"
		return tensorfile.Write(w, tab)
	})
	cut := writeText(t, filepath.Join(dir, "cut.npz"), "PK\x03\x04")
	for _, c := range []struct{ name, samples, reference, network, want string }{
		{"two networks", features, otherWeights, "", "holds features of classifier-1x16x16-features8"},
		{"no covariance", samples, crooked, network, "negative eigenvalues"},
		{"another network", samples, features, writeNetwork(t, t.TempDir(), 9), "8 dimensions, expected the 9 of classifier"},
		{"no network", samples, features, "", "name a feature network"},
		{"moments alone", moments, train, "", "name a feature network"},
		{"not an npz", samples, cut, network, "input reference"},
	} {
		args := []string{
			"--input=samples=" + c.samples, "--input=reference=" + c.reference, "--backend=tape",
			"--out=" + filepath.Join(dir, "refused"),
		}
		if c.network != "" {
			args = append(args, "--input=features="+c.network)
		}
		if code, _, stderr := eval(t, args...); code != failure.Input || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, want %d and a message with %q: %s", c.name, code, failure.Input, c.want, stderr)
		}
	}
	// Metrics that cannot be computed and files that cannot be written are reported before any computation.
	tooFew := writeSet(t, dir, "few", discs("few", 12))
	withNetwork := "--features=" + network
	for _, c := range []struct {
		code failure.Class
		want string
		args []string
	}{
		{failure.Input, "kid cannot be measured", []string{samples, moments, "--features=" + network, "--metrics=kid"}},
		{failure.Input, "interval cannot be measured", []string{tooFew, train, withNetwork, "--metrics=interval"}},
		{failure.Input, "pixels are compared", []string{samples, train, "--metrics=kid"}},
		{failure.Usage, "is not a directory",
			[]string{samples, train, withNetwork, "--save-statistics=" + filepath.Join(dir, "none", "x.npz")}},
		{failure.Usage, "pixels are compared", []string{samples, train, "--save-statistics=" + filepath.Join(dir, "x.npz")}},
		{failure.Usage, "--cache", []string{samples, train, "--features=" + network, "--cache=" + samples}},
	} {
		code, stdout, stderr := eval(t, append([]string{"folders", "--backend=tape"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" || strings.Contains(stderr, "progress") {
			t.Errorf("%v: exit %d, want %d, nothing on standard output, no progress lines and a message with %q: %s",
				c.args[2:], code, c.code, c.want, stderr)
		}
	}
	saved := filepath.Join(dir, "saved.npz")
	for name, args := range map[string][]string{
		"folders": {samples, train, "--save-statistics=" + saved}, "moments of folders": {samples, moments},
	} {
		near(name, score{Value: folderScores(t, append(args, "--features="+network, "--backend=tape")...).Value}, 1e-9)
	}
	if _, err := os.Stat(saved); err != nil {
		t.Error(err)
	}
}

// Inception's features are cached in a directory or the store. Scoring again, or scoring a larger set, computes only
// new features, and the distance is the same with and without cached features.
func TestFeaturesAreCached(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	dir := t.TempDir()
	w, err := featuretest.ReadWeights("../../lib/feature/testdata/inception_shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := w.Tensors("Conv2d_1", "Conv2d_2")
	if err != nil {
		t.Fatal(err)
	}
	weights := writeFile(t, filepath.Join(dir, "stem.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, tensors, nil)
	})
	options := []string{"--weights=" + weights, "--tap=64", "--backend=tape", "--metrics=none"}
	a := writeFolder(t, filepath.Join(dir, "a"), discs("a", 10))
	b := writeFolder(t, filepath.Join(dir, "b"), discs("b", 260))
	cache := filepath.Join(dir, "cache")
	run := func(a, b string, more ...string) (s score, cached int) {
		t.Helper()
		code, stdout, stderr := eval(t, slices.Concat([]string{"folders", a, b}, options, more)...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatalf("%s: %v", stdout, err)
		}
		lines := strings.Split(strings.TrimSpace(stderr[:strings.LastIndex(stderr, "}")+1]), "\n")
		var last struct {
			Kept int `json:"from_cache"`
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatalf("%s: %v", lines[len(lines)-1], err)
		}
		return s, last.Kept
	}
	want, cached := run(a, b)
	if cached != 0 || want.FID == nil || want.Tap != 64 {
		t.Fatalf("score %+v with %d images cached, want an FID at tap 64 and no cached images", want, cached)
	}
	t.Run("directory", func(t *testing.T) {
		for i, n := range []int{0, 270} {
			if s, cached := run(a, b, "--cache="+cache); *s.FID != *want.FID || cached != n {
				t.Errorf("run %d: FID %v with %d images cached, expected %v and %d", i+1, *s.FID, cached, *want.FID, n)
			}
		}
		// The larger set has the same first part of 250 images. These images are cached, and so are the 10 images of a.
		more := writeFolder(t, filepath.Join(dir, "more"), discs("b", 270))
		if _, cached := run(a, more, "--cache="+cache); cached != 260 {
			t.Errorf("%d images of a larger set were cached, want 260", cached)
		}
		if _, cached := run(a, b, "--cache="+cache, "--resize=clean"); cached != 0 {
			t.Errorf("%d images were cached under another resize convention, want 0", cached)
		}
	})
	t.Run("workers", func(t *testing.T) {
		shared := filepath.Join(dir, "shared")
		for _, c := range []struct {
			set, shard string
			want       extractResult
		}{
			{a, "1/1", extractResult{Images: 10, Computed: 10}}, {b, "2/2", extractResult{Images: 260, Computed: 10}},
			{b, "1/2", extractResult{Images: 260, Computed: 250}}, {b, "2/2", extractResult{Images: 260, Cached: 10}},
		} {
			args := slices.Concat([]string{"features", c.set, "--shard=" + c.shard, "--cache=" + shared}, options)
			code, stdout, stderr := eval(t, args...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			var got extractResult
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			c.want.Shard, c.want.Network = c.shard, want.Network
			if len(got.Warnings) != 2 {
				t.Errorf("shard %s of %s: warnings %q, want one about grid.png and one about manifest.json", c.shard, c.set,
					got.Warnings)
			}
			if got.Warnings = nil; !reflect.DeepEqual(got, c.want) {
				t.Errorf("shard %s of %s: %+v, expected %+v", c.shard, c.set, got, c.want)
			}
		}
		if s, cached := run(a, b, "--cache="+shared); *s.FID != *want.FID || cached != 270 {
			t.Errorf("after two workers: FID %v with %d images cached, want %v and 270", *s.FID, cached, *want.FID)
		}
		for _, bad := range []string{"0/2", "3/2", "1", "a/b", "1/9223372036854775807"} {
			code, _, _ := eval(t, "features", a, "--weights="+weights, "--shard="+bad, "--cache="+shared)
			if code != failure.Usage {
				t.Errorf("shard %s: exit %d, want %d", bad, code, failure.Usage)
			}
		}
		code, _, stderr := eval(t, "features", a, "--weights="+weights, "--tap=64")
		if code != failure.Usage || !strings.Contains(stderr, "--cache") {
			t.Errorf("without --cache and VAPO_STORE: exit %d, want %d and a message with --cache: %s", code, failure.Usage,
				stderr)
		}
	})
	t.Run("store", func(t *testing.T) {
		store := ownStore(t)
		if s, cached := run(a, b); *s.FID != *want.FID || cached != 0 {
			t.Errorf("with an empty store: FID %v with %d images cached, want %v and 0", *s.FID, cached, *want.FID)
		}
		// A damaged cached part is recomputed and replaced.
		damaged := 0
		for info, err := range store.Objects().List(t.Context(), "parts/") {
			if err != nil {
				t.Fatal(err)
			}
			if damaged++; damaged == 1 {
				body := "not features"
				o := objectstore.PutOptions{SHA256: digestOf([]byte(body))}
				_, err := store.Objects().Put(t.Context(), info.Key, strings.NewReader(body), int64(len(body)), o)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if damaged != 3 {
			t.Fatalf("the store has %d parts, expected 3", damaged)
		}
		if s, cached := run(a, b); *s.FID != *want.FID || cached == 0 || cached == 270 {
			t.Errorf("with a damaged part: FID %v with %d images cached, want %v and some of the 270 images, but not all",
				*s.FID, cached, *want.FID)
		}
		if s, cached := run(a, b); *s.FID != *want.FID || cached != 270 {
			t.Errorf("after the damaged part was replaced: FID %v with %d images cached, want %v and 270", *s.FID, cached,
				*want.FID)
		}
	})
	t.Run("stage", func(t *testing.T) {
		out := filepath.Join(dir, "out")
		args := []string{
			"--input=samples=" + writeSet(t, dir, "a", discs("a", 10)),
			"--input=reference=" + writeSet(t, dir, "b", discs("b", 260)), "--input=features=" + weights,
			"--tap=64", "--backend=tape", "--metrics=none", "--no-baselines", "--out=" + out,
		}
		if code, _, stderr := eval(t, args...); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		s := readScore(t, out)
		if s.Value != *want.FID || s.Tap != 64 || s.Resize != "pytorch-fid" || s.Weights != want.Weights {
			t.Errorf("the stage's score is %+v, want the FID %v at tap 64, resized as in pytorch-fid, with weights %s", s,
				*want.FID, want.Weights)
		}
	})
}

// TestArchives: other arrays in an .npz of images are ignored, and a reference batch with images and moments works with
// every network and metric. The batch has unusable labels, and it also holds the moments for the spatial FID.
func TestArchives(t *testing.T) {
	dir := t.TempDir()
	set := discs("samples", 60)
	samples, network := writeSet(t, dir, "samples", set), writeNetwork(t, dir, 8)
	batch := func(name string, dim int) string {
		return writeFile(t, filepath.Join(dir, name), func(w io.Writer) error {
			z := npz.NewWriter(w)
			eye := make([]float64, dim*dim)
			for i := range dim {
				eye[i*dim+i] = 1
			}
			return errors.Join(
				npz.Add(z, "arr_0", []int{set.N, set.H, set.W, set.C}, set.Pixels),
				npz.Add(z, "arr_1", []int{set.N, 2}, make([]float64, 2*set.N)),
				npz.Add(z, "mu", []int{dim}, make([]float64, dim)), npz.Add(z, "sigma", []int{dim, dim}, eye),
				npz.Add(z, "mu_s", []int{3}, make([]float64, 3)), npz.Add(z, "sigma_s", []int{3, 3}, make([]float64, 9)),
				z.Close())
		})
	}
	fits, other := batch("fits.npz", 8), batch("other.npz", 5)
	for _, c := range []struct {
		args   []string
		images bool // whether the images of the batch are used, rather than its moments
	}{
		{[]string{samples, fits, "--features=" + network}, false},
		{[]string{samples, other, "--features=" + network}, true},
		{[]string{samples, fits, "--features=" + network, "--metrics=kid"}, true},
		{[]string{other, samples, "--features=" + network}, true},
		{[]string{samples, fits}, true},
		{[]string{fits, fits}, false},
	} {
		code, stdout, stderr := eval(t, append([]string{"folders", "--backend=tape"}, c.args...)...)
		var s score
		if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil {
			t.Errorf("%v: exit %d (%v), %s", c.args, code, err, stderr)
			continue
		}
		if used := s.N[1] == set.N; used != c.images {
			t.Errorf("%v: n is %v; the images of the reference are used: %v, want %v", c.args, s.N, used, c.images)
		}
		if c.images && !(s.Value < 1e-6) {
			t.Errorf("%v: the distance of the images from themselves is %v, want 0", c.args, s.Value)
		}
	}
}
