package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/preview"
)

var evalPorts = []contract.Port{
	{Name: "score", Media: contract.MediaJSON, Score: true},
	{Name: "neighbours", Media: contract.MediaPNG, Help: "samples above their neighbours"},
	{Name: "reference", Media: contract.MediaPNG, Beside: "grid"},
}

// pngGrid draws a PNG grid of n small images, some with discs and some with squares.
func pngGrid(t testing.TB, n, cols, kind int) []byte {
	t.Helper()
	const side = 28
	pixels := make([]uint8, n*side*side)
	for k := range n {
		for y := range side {
			for x := range side {
				dx, dy := float64(x)-13.5, float64(y)-13.5
				r := math.Hypot(dx, dy)
				if (k+kind)%2 == 0 {
					r = math.Max(math.Abs(dx), math.Abs(dy))
				}
				if r < 5+float64(k%7) {
					pixels[(k*side+y)*side+x] = uint8(120 + 19*(k%7))
				}
			}
		}
	}
	var buf bytes.Buffer
	if err := preview.Grid(&buf, &dataset.Images{N: n, C: 1, H: side, W: side, Pixels: pixels}, cols, 2); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func digest(s string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", len(s)*37%256), 28) + fmt.Sprintf("%08x", len(s)*7919)
}

func mustManifest(t testing.TB, m map[string]any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// imageRun returns a run like that of the demo recipe.
func imageRun(t testing.TB) *Run {
	var metrics, accuracy bytes.Buffer
	for i := range 1000 {
		loss := 2.2*math.Exp(-float64(i)/120) + 0.31 + 0.05*math.Sin(float64(i)*1.7)
		fmt.Fprintf(&metrics, `{"step":%d,"loss":%g,"lr":0.001,"grad_norm":%g}`+"\n", i+1, loss, 1+loss)
		if i%50 == 0 {
			fmt.Fprintf(&accuracy, `{"step":%d,"loss":%g,"accuracy":%g,"test_accuracy":%g}`+"\n", i+1, loss/2,
				0.93-0.8*math.Exp(-float64(i)/90), 0.9-0.78*math.Exp(-float64(i)/90))
		}
	}
	manifest := func(stage string, wall float64, params, results map[string]any, inputs map[string]string,
		warnings ...string) json.RawMessage {
		return mustManifest(t, map[string]any{
			"contract": 1, "stage": stage, "version": 1, "params": params, "inputs": inputs, "results": results,
			"warnings": warnings, "backend": map[bool]string{true: "tape"}[stage != "prep"],
			"units": map[string]string{"steps": "steps", "lr": "1/step"}, "wall_seconds": wall,
			"versions": map[string]string{"go": "go1.26.0", "gorgonia.org/gorgonia": "v0.9.18",
				"github.com/apache/arrow/go/v15": "v15.0.2", "openblas": "0.3.21"},
		})
	}
	const arrow = "application/vnd.apache.arrow.file"
	score := `{"headline":"16 times nearer to the data than per-pixel noise",
"metric":"Fréchet distance in classifier features","value":12.8437,"n":[1000,60000],"reference":"fashion-mnist train",
"features":"classifier sha256:5a3c0ffee1d2",
"baselines":{"per-pixel Gaussian of the training set":205.91,"floor: train against test":0.8121},
"warnings":["1000 images for 512 features: the distance is biased upward, compare only at this N"],
"nearest_training_distance":{"samples":1480.2,"test":1391.7}}`
	return &Run{
		Name: "demo", About: "Fashion-MNIST, end to end: train a potential, sample it, and measure the samples.",
		RecipeYAML: []byte("name: demo\nabout: Fashion-MNIST, end to end\nsteps:\n" +
			"  data:       {stage: prep,  params: {source: fashion-mnist}}\n  potential:  # the generator\n    stage: train\n" +
			"    inputs: {data: data.train}\n    params:\n      steps: 1000\n" +
			"  classifier: {stage: train, inputs: {data: data.train, test: data.test}, params: {model: classifier}}\n" +
			"  samples:    {stage: sample, inputs: {checkpoint: potential.checkpoint}, params: {n: 1000}}\n" +
			"  score:      {stage: eval,  inputs: {samples: samples.samples, reference: data.train, test: data.test, " +
			"features: classifier.checkpoint}}\n"),
		Started: time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC), Wall: 9*time.Minute + 12*time.Second,
		Store: "s3://vapo/demo, the embedded gateway on .vapo/store",
		Steps: []Step{
			{Name: "data", Stage: "prep", Cached: true, Seconds: 0.021, Key: digest("k1")[7:],
				Manifest: manifest("prep", 6.4, map[string]any{"source": "fashion-mnist", "seed": 0},
					map[string]any{"train": 60000, "test": 10000}, nil),
				Outputs: []Output{{"train", digest("train"), arrow, 47_300_000, nil},
					{"test", digest("test"), arrow, 7_900_000, nil}, {"preview", digest("preview"), contract.MediaPNG, 31000,
						pngGrid(t, 40, 10, 0)}, {"summary", digest("summary"), contract.MediaJSON, 812, []byte(`{"train":60000}`)}}},
			{Name: "potential", Stage: "train", Seconds: 403.2, Key: digest("k22")[7:], Needs: []string{"data"},
				Manifest: manifest("train", 403.2, map[string]any{"steps": 1000, "model": "unet", "lr": 1e-3,
					"objective": "matching", "seed": 1}, map[string]any{"images_per_second": 158.8, "final_loss": 0.3107,
					"parameters": 125185}, map[string]string{"data": digest("train")}),
				Outputs: []Output{{"checkpoint", digest("checkpoint"), arrow, 2_004_118, nil},
					{"metrics", digest("metrics"), contract.MediaNDJSON, int64(metrics.Len()), metrics.Bytes()}}},
			{Name: "classifier", Stage: "train", Seconds: 58.3, Key: digest("k333")[7:], Needs: []string{"data"},
				Manifest: manifest("train", 58.3, map[string]any{"steps": 600, "model": "classifier"},
					map[string]any{"test_accuracy": 0.9012}, map[string]string{"data": digest("train"), "test": digest("test")}),
				Outputs: []Output{{"checkpoint", digest("ckpt2"), arrow, 804_118, nil},
					{"metrics", digest("metrics2"), contract.MediaNDJSON, int64(accuracy.Len()), accuracy.Bytes()}}},
			{Name: "samples", Stage: "sample", Seconds: 61.5, Key: digest("k4444")[7:], Needs: []string{"potential"},
				Manifest: manifest("sample", 61.5, map[string]any{"n": 1000, "solver": "heun", "steps": 30},
					map[string]any{"nfe_mean": 60}, map[string]string{"checkpoint": digest("checkpoint")}),
				Outputs: []Output{{"samples", digest("samples"), arrow, 790_000, nil},
					{"grid", digest("grid"), contract.MediaPNG, 40000, pngGrid(t, 100, 10, 1)}}},
			{Name: "score", Stage: "eval", Ports: evalPorts, Seconds: 22.9, Key: digest("k55555")[7:],
				Needs: []string{"samples", "data", "classifier"}, Subject: "samples",
				Manifest: manifest("eval", 22.9, map[string]any{"neighbours": 3},
					map[string]any{"value": 12.84}, map[string]string{"samples": digest("samples"), "reference": digest("train"),
						"test": digest("test"), "features": digest("ckpt2")}, "1000 images for 512 features: the distance is biased "+
						"upward, compare only at this N"),
				Outputs: []Output{{"score", digest("score"), contract.MediaJSON, int64(len(score)), []byte(score)},
					{"neighbours", digest("neighbours"), contract.MediaPNG, 9000, pngGrid(t, 64, 16, 0)},
					{"reference", digest("reference"), contract.MediaPNG, 40000, pngGrid(t, 100, 10, 0)}}},
		},
	}
}

// mixtureRun returns a run with two training steps to compare, and a failed step.
func mixtureRun(t testing.TB) *Run {
	r := &Run{Name: "mixture2d", About: "Two objectives on eight Gaussians.", RecipeYAML: []byte("name: mixture2d\n"),
		Started: time.Date(2026, 3, 4, 1, 2, 3, 0, time.UTC), Wall: 131 * time.Second, Store: "s3://vapo"}
	r.Steps = append(r.Steps, Step{Name: "data", Stage: "prep", Seconds: 0.3, Key: digest("d")[7:],
		Manifest: mustManifest(t, map[string]any{"wall_seconds": 0.3})})
	for k, name := range []string{"matching", "energy"} {
		var timeline []map[string]any
		for i := range 30 {
			s := float64(2 * (i + 1))
			e := func(floor float64) float64 { return (1 + float64(k)) * (floor + 0.8*math.Exp(-s/9)) }
			timeline = append(timeline, map[string]any{"step": i * 400, "seconds": s,
				"field_error": map[string]float64{"0.2": e(0.011), "0.5": e(0.05), "0.8": e(0.2)}})
		}
		r.Steps = append(r.Steps,
			Step{Name: name, Stage: "train", Seconds: 60, Key: digest(name)[7:], Needs: []string{"data"},
				Host: "node-" + name, Job: "10" + name, Queued: 60 * float64(9+k),
				Manifest: mustManifest(t, map[string]any{"wall_seconds": 60,
					"results": map[string]any{"timeline": timeline, "steps_per_second": 211.3}})},
			Step{Name: "samples-" + name, Stage: "sample", Seconds: 3, Key: digest(name + "s")[7:], Needs: []string{name},
				Manifest: mustManifest(t, map[string]any{"wall_seconds": 3})},
			Step{Name: "score-" + name, Stage: "eval", Ports: evalPorts, Seconds: 2, Key: digest(name + "sc")[7:],
				Needs: []string{"samples-" + name, "data"}, Manifest: mustManifest(t, map[string]any{"wall_seconds": 2}),
				Outputs: []Output{{"score", digest("sc"), contract.MediaJSON, 1,
					[]byte(fmt.Sprintf(`{"headline":"%g times data against data","metric":"sliced W2","value":%g,"n":[10000,10000],`+
						`"reference":"fresh draws of the mixture","baselines":{"data against data":0.0131},"warnings":[]}`,
						1.4+float64(k), 0.0183*(1+float64(k))))}}})
	}
	r.Steps = append(r.Steps, Step{Name: "extra", Stage: "train", Seconds: 1.2, Needs: []string{"data"},
		Error: "loss is NaN at step 412; the last good checkpoint is kept\nhint: lower --lr"},
		Step{Name: "extra-samples", Stage: "sample", Needs: []string{"extra"}})
	return r
}
