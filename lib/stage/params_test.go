package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

type presetParams struct {
	Preset string          `help:"A set of the others." default:"none" keyed:"false"`
	Width  int             `help:"Width." default:"3"`
	Rate   float64         `help:"Rate." default:"0.5"`
	Levels json.RawMessage `help:"Levels." default:"[1]"`
	Time   bool            `help:"Time." default:"true" negatable:""`
}

// echo returns a stage that writes its parameters as its output.
func echo[P any]() Stage[P] {
	return Stage[P]{
		Name: "echo", About: "Write the parameters.", Version: 1,
		Outputs: []contract.Port{{Name: "out", Media: contract.MediaJSON}},
		Run: func(ctx context.Context, job *Job, p *P) error {
			return job.Output(ctx, "out", func(w io.Writer) error { return json.NewEncoder(w).Encode(p) })
		},
	}
}

func runEcho[P any](t *testing.T, s Stage[P], args ...string) (code failure.Class, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(s, append(args, "--out="+t.TempDir()), &out, &errs)
	return code, errs.String()
}

func presetStage() Stage[presetParams] {
	s := echo[presetParams]()
	s.Resolve = func(p *presetParams, given Given) error {
		switch p.Preset {
		case "none":
			return nil
		case "big":
			return given.Preset("the preset big", map[string]string{"width": "30", "levels": "[1, 2]", "time": "false"})
		}
		return fmt.Errorf("preset %s is not known", p.Preset)
	}
	return s
}

// TestPreset: the values of a preset appear in the manifest and in the resolved parameters. A parameter conflicts with
// the preset only if it was given explicitly with another value.
func TestPreset(t *testing.T) {
	noStore(t)
	for _, c := range []struct {
		args  []string
		width any
		says  string
	}{
		{nil, int64(3), ""},
		{[]string{"--width=7"}, int64(7), ""},
		{[]string{"--preset=big"}, int64(30), ""},
		{[]string{"--preset=big", "--rate=7"}, int64(30), ""},
		{[]string{"--preset=big", "--width=30", "--levels=[1,2]", "--no-time"}, int64(30), ""},
		{[]string{"--preset=big", "--width=3"}, nil, "width is 3, but the preset big sets it to 30"}, // explicit default
		{[]string{"--preset=big", "--levels=[1]"}, nil, "levels is [1]"},
		{[]string{"--preset=big", "--time"}, nil, "time is true"},
		{[]string{"--preset=small"}, nil, "small is not known"},
	} {
		var out, errs bytes.Buffer
		code := Main(presetStage(), append(c.args, "--json", "--out="+t.TempDir()), &out, &errs)
		if c.says != "" {
			if code != failure.Usage || !strings.Contains(errs.String(), c.says) {
				t.Errorf("%v: exit %d, want %d and %q:\n%s", c.args, code, failure.Usage, c.says, errs.String())
			}
			continue
		}
		m, err := contract.DecodeManifest(out.Bytes())
		if code != 0 || err != nil {
			t.Fatalf("%v: exit %d, error %v, want 0 and a manifest\n%s", c.args, code, err, errs.String())
		}
		raw, err := json.Marshal(m.Params["width"])
		if err != nil || string(raw) != fmt.Sprint(c.width) {
			t.Errorf("%v: the manifest has width %s, want %v", c.args, raw, c.width)
		}
	}
	resolve := func(given string) (map[string]any, string) {
		var out, errs bytes.Buffer
		if code := Main(presetStage(), []string{"describe", "--check", given}, &out, &errs); code != 0 {
			return nil, errs.String()
		}
		d, err := contract.DecodeDescription(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return d.Resolved, ""
	}
	values, _ := resolve(`{"preset": "big"}`)
	if fmt.Sprint(values["width"], values["time"]) != "30 false" {
		t.Errorf("resolved %v, want width 30 and time false", values)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if again, stderr := resolve(string(raw)); fmt.Sprint(again) != fmt.Sprint(values) {
		t.Errorf("the resolved values, resolved again, are %v, want %v\n%s", again, values, stderr)
	}
	if _, stderr := resolve(`{"preset": "big", "width": 3}`); !strings.Contains(stderr, "width is 3") {
		t.Errorf("a conflict is not reported: %q", stderr)
	}
}

type boundedParams struct {
	Steps int     `help:"Steps." default:"3" min:"1"`
	Share float64 `help:"Share." default:"0.5" min:"0" max:"1"`
	Seed  uint64  `help:"Seed." default:"0" max:"9"`
}

func TestBounds(t *testing.T) {
	noStore(t)
	spec := echo[boundedParams]()
	for _, c := range []struct{ arg, says string }{
		{"--steps=1", ""},
		{"--share=0", ""},
		{"--share=1", ""},
		{"--seed=9", ""},
		{"--steps=0", "parameter steps is 0, expected 1 or more"},
		{"--steps=-7", "parameter steps is -7, expected 1 or more"},
		{"--share=-1e-9", "parameter share is -1e-09, expected 0 or more"},
		{"--share=1.5", "parameter share is 1.5, expected at most 1"},
		{"--share=NaN", "must be a finite number"},
		{"--seed=18446744073709551615", "parameter seed is 18446744073709551615, expected at most 9"},
	} {
		code, says := runEcho(t, spec, c.arg)
		if c.says == "" && code != 0 || c.says != "" && (code != failure.Usage || !strings.Contains(says, c.says)) {
			t.Errorf("%s: exit %d, want the error %q (none if empty):\n%s", c.arg, code, c.says, says)
		}
	}
	if p, ok := describe(&spec).Param("share"); !ok || p.Min != 0.0 || p.Max != 1.0 {
		t.Errorf("share is described as %+v, want bounds 0 and 1", p)
	}
	defer func() {
		if recover() == nil {
			t.Error("a bound of a string is accepted")
		}
	}()
	newParams[struct {
		Name string `help:"Name." default:"x" min:"1"`
	}]()
}

type onlyParams struct {
	Model  string          `help:"Model." default:"mlp" enum:"mlp,unet,auto"`
	Width  int             `help:"Width." default:"3" only:"model=mlp"`
	Levels json.RawMessage `help:"Levels." default:"[1]" only:"${nets}"`
	Labels bool            `help:"Labels." default:"false" negatable:""`
	Drop   float64         `help:"Drop." default:"0.1" only:"labels=true"`
}

func (onlyParams) Vars() map[string]string { return map[string]string{"nets": "model=unet|auto"} }

// TestOnly: a parameter that has no effect is refused unless it has its default value.
func TestOnly(t *testing.T) {
	noStore(t)
	spec := echo[onlyParams]()
	for _, c := range []struct{ args, says string }{
		{"", ""},
		{"--width=4", ""},
		{"--model=unet --levels=[2]", ""},
		{"--model=auto --levels=[2]", ""},
		{"--model=unet --width=3", ""}, // the default value
		{"--levels=[1]", ""},
		{"--labels --drop=0.5", ""},
		{"--model=unet --width=4", "parameter width is 4, but it has no effect while model is unet"},
		{"--levels=[1,2]", "parameter levels is [1,2], but it has no effect while model is mlp"},
		{"--drop=0.5", "parameter drop is 0.5, but it has no effect while labels is false"},
	} {
		code, says := runEcho(t, spec, strings.Fields(c.args)...)
		if c.says == "" && code != 0 || c.says != "" && (code != failure.Usage || !strings.Contains(says, c.says) ||
			!strings.Contains(says, "leave it out")) {
			t.Errorf("%s: exit %d, want the error %q (none if empty):\n%s", c.args, code, c.says, says)
		}
	}
	if p, ok := describe(&spec).Param("levels"); !ok || p.Only != "model=unet|auto" {
		t.Errorf("levels is described as %+v, want only model=unet|auto", p)
	}
	for _, broken := range []func(){
		func() {
			newParams[struct {
				A int `help:"A." default:"0" only:"model=mlp"`
			}]()
		},
		func() {
			newParams[struct {
				M string `help:"M." default:"x" enum:"x,y"`
				A int    `help:"A." default:"0" only:"m=z"`
			}]()
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a tag that breaks the contract is accepted")
				}
			}()
			broken()
		}()
	}
}
