package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
)

// Import finds weights and averages in the layouts of public training loops (testdata/loops.py), reports their names,
// and lists what it skips.
func TestImportLoops(t *testing.T) {
	like := checkpointOf(t, smallMLP())
	for _, c := range []struct {
		name, model, ema string
		args             []string
		first, firstEMA  float32 // first value of each set
		ignored, skipped []string
	}{
		{"litema", "state_dict.model.diffusion_model.", "state_dict.model_ema.diffusion_model", []string{"--ignore-extra"},
			0, 0.5, []string{"state_dict.betas"},
			[]string{"callbacks.ModelCheckpoint.best_model_score", "epoch (number)", "global_step (number)",
				"hyper_parameters (argparse.Namespace)", "lr_schedulers.0.last_epoch (number)", "optimizer_states.* (29 values)",
				"pytorch-lightning_version (text)", "state_dict.model_ema.decay", "state_dict.model_ema.num_updates"}},
		{"online", "model.model.", "ema.ema_model.model.", nil, 0, 0.5, nil, nil},
		{"timm", "state_dict.", "state_dict_ema.", nil, 0, 0.5, nil, []string{"amp_scaler.scale (number)", "arch (text)",
			"args (argparse.Namespace)", "epoch (number)", "metric (numpy.core.multiarray.scalar)", "optimizer.* (29 values)",
			"version (number)"}},
		{"swa", "model.", "swa_model.module.", nil, 0, 0.5, nil, []string{"swa_model.n_averaged"}},
		{"basicsr", "params.", "params_ema.", nil, 0, 0.5, nil, nil},
		{"list", "model.module.", "ema.shadow_params", nil, 0, 0.5, nil, nil},
		{"list", "", "ema.shadow_params", []string{"--weights=ema"}, 0.5, 0.5, nil, nil},
		{"two", "net_b.", "", []string{"--prefix=net_b."}, 0.5, 0.5, nil, nil},
	} {
		out := filepath.Join(t.TempDir(), "out.arrow")
		args := append([]string{"import", "testdata/loop-" + c.name + ".pth", "--like", like, "--out", out}, c.args...)
		code, stdout, stderr := command(t, args...)
		l := importLine(t, code, stdout, stderr)
		if text(l.Found.Model) != c.model || text(l.Found.EMA) != c.ema {
			t.Errorf("%s: found %q and %q, expected %q and %q", c.name, text(l.Found.Model), text(l.Found.EMA), c.model, c.ema)
		}
		if c.ema != "" && !strings.Contains(stderr, "--weights=ema") {
			t.Errorf("%s: the log does not name the flag --weights=ema: %s", c.name, stderr)
		}
		if !slices.Equal(l.Ignored, c.ignored) || c.skipped != nil && !slices.Equal(l.Skipped, c.skipped) {
			t.Errorf("%s: ignored %q, skipped %q, expected %q and %q", c.name, l.Ignored, l.Skipped, c.ignored, c.skipped)
		}
		ck, err := checkpoint.Read(out)
		if err != nil {
			t.Fatal(err)
		}
		for group, first := range map[string]float32{checkpoint.Param: c.first, checkpoint.EMA: c.firstEMA} {
			at := first
			for _, name := range []string{
				"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "out.weight", "out.bias",
			} {
				for _, v := range ck.Group(group)[name].Data {
					if v != at {
						t.Fatalf("%s: %s%s has %v, expected %v", c.name, group, name, v, at)
					}
					at++
				}
			}
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// If the weights are not where they are expected, the error names the flag that helps.
func TestImportHints(t *testing.T) {
	like := checkpointOf(t, smallMLP())
	write := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile("testdata/loop-swa.pth")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"testdata/loop-two.pth"}, []string{`"net_a.", "net_b."`, "hint: --prefix"}},
		{[]string{"testdata/loop-litema.pth"}, []string{"state_dict.betas", "hint: --ignore-extra"}},
		{[]string{"testdata/loop-two.pth", "--prefix=net_a.", "--weights=ema"},
			[]string{"only weights such as net_a.layers.0.weight", "hint: --weights=model"}},
		{[]string{"testdata/loop-litema.pth", "--prefix=state_dict.model_ema.", "--weights=model"},
			[]string{"only moving averages such as state_dict.model_ema.diffusion_modellayers0weight", "hint: --weights=ema"}},
		{[]string{"testdata/loop-list.pth", "--prefix=ema.", "--weights=model"},
			[]string{"the list ema.shadow_params", "hint: --weights=ema"}},
		{[]string{write("a.pth", "version https://git-lfs.github.com/spec/v1\n")}, []string{"Git LFS", "hint: git lfs pull"}},
		{[]string{write("b.pth", "<!doctype html>")}, []string{"a web page", "hint: get the file from its direct address"}},
		{[]string{write("c.pth", string(whole[:len(whole)-100]))}, []string{"truncated", "hint: get a complete copy"}},
		{[]string{write("d.pth", string(whole[:100]))}, []string{"truncated", "hint: get a complete copy"}},
		{[]string{write("e.safetensors", "\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":")},
			[]string{"truncated", "hint: get a complete copy"}},
	} {
		out := filepath.Join(t.TempDir(), "out.arrow")
		code, stdout, stderr := command(t, append([]string{"import", "--like", like, "--out", out}, c.args...)...)
		if code != failure.Input || stdout != "" {
			t.Errorf("%v: exit %d, want %d and nothing on standard output, not %q", c.args, code, failure.Input, stdout)
		}
		for _, w := range c.want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%v: the message lacks %q: %s", c.args, w, stderr)
			}
		}
	}
}
