package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/contract"
	"vapo/lib/potential"
	"vapo/lib/stage"
)

// resolved returns the parameters as `describe --check` completes them, or the error that it prints.
func resolved(t *testing.T, given string) (map[string]any, string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := stage.Main(spec, []string{"describe", "--check", given}, &out, &errs); code != 0 {
		return nil, errs.String()
	}
	d, err := contract.DecodeDescription(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return d.Resolved, ""
}

// Every preset selects the network that it names.
func TestPresets(t *testing.T) {
	for name, want := range potential.Presets() {
		values, say := resolved(t, fmt.Sprintf(`{"preset": %q}`, name))
		if say != "" {
			t.Errorf("%s: %s", name, say)
			continue
		}
		p := &params{
			Model: values["model"].(string), Schedule: "linear", PriorStd: 1,
			Width: int(values["width"].(int64)), Depth: int(values["depth"].(int64)), Fourier: int(values["fourier"].(int64)),
			Channels: int(values["channels"].(int64)), ChannelMult: values["channel-mult"].(json.RawMessage),
			ResBlocks: int(values["res-blocks"].(int64)), Groups: int(values["groups"].(int64)),
			Attention: values["attention"].(json.RawMessage), Dropout: values["dropout"].(float64),
			HeadChannels: int(values["head-channels"].(int64)), Resample: values["resample"].(string),
			TimeInput: values["time-input"].(string),
			WRNDepth:  int(values["wrn-depth"].(int64)), WRNWidth: int(values["wrn-width"].(int64)), Time: values["time"].(bool),
		}
		got, err := p.potentialConfig(want.Shape)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want.Schedule, want.PriorStd = "linear", 1
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(want)
		if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s trains %s, want %s", name, a, b)
		}
	}
	// A preset and the same network written out resolve to the same parameters, and therefore to the same cache key.
	by, _ := resolved(t, `{"preset": "mlp-2d"}`)
	spelled, _ := resolved(t, `{"fourier": 2}`)
	delete(by, "preset")
	delete(spelled, "preset")
	if fmt.Sprint(by) != fmt.Sprint(spelled) {
		t.Errorf("the preset mlp-2d resolves to\n%v\nbut its parameters written out resolve to\n%v", by, spelled)
	}
	for given, message := range map[string]string{
		`{"preset": "unet-small", "channels": 32}`:          "channels is 32",
		`{"preset": "unet-32", "channels": 16}`:             "channels is 16", // equals the default, but was given explicitly
		`{"preset": "unet-32", "model": "mlp"}`:             "model is",
		`{"preset": "unet-32", "channel-mult": [1, 2]}`:     "channel-mult is [1,2]",
		`{"preset": "unet"}`:                                "unet-cifar10",
		`{"preset": "wrn-10-4", "time": false}`:             "time is false",
		`{"preset": "mlp-2d", "width": 128, "fourier": 16}`: "fourier is 16",
	} {
		if _, say := resolved(t, given); !strings.Contains(say, message) {
			t.Errorf("%s: %q, expected a message with %q", given, say, message)
		}
	}
	dir := t.TempDir()
	code, m, stderr := train(t, "--input=data="+points(t), "--out="+dir, "--backend=tape", "--preset=mlp-2d", "--steps=2",
		"--batch=4")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if got := fmt.Sprintf("%v %v %v", m.Params["preset"], m.Params["width"], m.Params["fourier"]); got != "mlp-2d 128 2" {
		t.Errorf("the recorded preset, width and fourier are %s, want mlp-2d 128 2", got)
	}
	ck, err := checkpoint.Read(filepath.Join(dir, "checkpoint.arrow"))
	if err != nil || !strings.Contains(string(ck.Config), `"fourier":2`) {
		t.Errorf("the network is %s (%v), want one with fourier 2", ck.Config, err)
	}
}
