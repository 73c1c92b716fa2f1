package stage

import (
	"encoding/json"
	"strings"
	"testing"

	"vapo/lib/failure"
)

type onlyParams struct {
	Model  string          `help:"Model." default:"mlp" enum:"mlp,unet,auto"`
	Width  int             `help:"Width." default:"3" only:"model=mlp"`
	Levels json.RawMessage `help:"Levels." default:"[1]" only:"model=unet|auto"`
	Labels bool            `help:"Labels." default:"false" negatable:""`
	Drop   float64         `help:"Drop." default:"0.1" only:"labels=true"`
}

// A parameter of no effect is refused where it differs from its default, and described as what it is.
func TestOnly(t *testing.T) {
	noStore(t)
	spec := echo[onlyParams]()
	for _, c := range []struct{ args, says string }{
		{"", ""},
		{"--width=4", ""},
		{"--model=unet --levels=[2]", ""},
		{"--model=auto --levels=[2]", ""},
		{"--model=unet --width=3", ""}, // the default
		{"--levels=[1]", ""},
		{"--labels --drop=0.5", ""},
		{"--model=unet --width=4", "parameter width is 4, but it has no effect while model is unet"},
		{"--levels=[1,2]", "parameter levels is [1,2], but it has no effect while model is mlp"},
		{"--drop=0.5", "parameter drop is 0.5, but it has no effect while labels is false"},
	} {
		code, says := echoes(t, spec, strings.Fields(c.args)...)
		if c.says == "" && code != 0 || c.says != "" && (code != failure.Usage || !strings.Contains(says, c.says) || !strings.Contains(says, "leave it out")) {
			t.Errorf("%s: exit %d, want a word about %q:\n%s", c.args, code, c.says, says)
		}
	}
	if p, ok := describe(&spec).Param("levels"); !ok || p.Only != "model=unet|auto" {
		t.Errorf("levels is described as %+v", p)
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
					t.Error("a tag that breaks the contract is taken")
				}
			}()
			broken()
		}()
	}
}
