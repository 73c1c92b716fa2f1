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

// echo is a stage that writes its parameters.
func echo[P any]() Stage[P] {
	return Stage[P]{
		Name: "echo", About: "Write the parameters.", Version: 1,
		Outputs: []contract.Port{{Name: "out", Media: contract.MediaJSON}},
		Run: func(ctx context.Context, job *Job, p *P) error {
			return job.Output(ctx, "out", func(w io.Writer) error { return json.NewEncoder(w).Encode(p) })
		},
	}
}

// echoes runs such a stage and returns its exit code and what it said.
func echoes[P any](t *testing.T, s Stage[P], args ...string) (code failure.Class, says string) {
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

// A preset's values are those of the run, of its record and of what the runner resolves, and only what was given counts
// as given: a default that differs does not, another value does, an equal one does not.
func TestExpand(t *testing.T) {
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
		{[]string{"--preset=big", "--width=3"}, nil, "width is 3, but the preset big has it at 30"}, // the default, but given
		{[]string{"--preset=big", "--levels=[1]"}, nil, "levels is [1]"},
		{[]string{"--preset=big", "--time"}, nil, "time is true"},
		{[]string{"--preset=small"}, nil, "small is not known"},
	} {
		var out, errs bytes.Buffer
		code := Main(presetStage(), append(c.args, "--out="+t.TempDir()), &out, &errs)
		if c.says != "" {
			if code != failure.Usage || !strings.Contains(errs.String(), c.says) {
				t.Errorf("%v: exit %d, want a word about %q: %s", c.args, code, c.says, errs.String())
			}
			continue
		}
		m, err := contract.DecodeManifest(out.Bytes())
		if code != 0 || err != nil {
			t.Fatalf("%v: exit %d, %v\n%s", c.args, code, err, errs.String())
		}
		raw, err := json.Marshal(m.Params["width"])
		if err != nil || string(raw) != fmt.Sprint(c.width) {
			t.Errorf("%v: the record says width %s, want %v", c.args, raw, c.width)
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
		t.Errorf("resolved %v", values)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if again, say := resolve(string(raw)); fmt.Sprint(again) != fmt.Sprint(values) {
		t.Errorf("resolved again %v, %s", again, say)
	}
	if _, say := resolve(`{"preset": "big", "width": 3}`); !strings.Contains(say, "width is 3") {
		t.Errorf("the runner is told %q", say)
	}
}
