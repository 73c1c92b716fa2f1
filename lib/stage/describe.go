package stage

import (
	"encoding/json"
	"io"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

type describeCmd struct {
	Check string `help:"Validate these parameters and print them resolved." placeholder:"JSON"`
}

// runDescribe prints the description. With --check it also resolves the given parameters; if they are invalid, it
// prints {"error":…,"hint":…} instead.
func runDescribe[P any](spec *Stage[P], cmd *describeCmd, stdout io.Writer) error {
	if cmd.Check == "" {
		return writeJSON(stdout, describeHere(spec))
	}
	d := describe(spec)
	if err := check(spec, &d, cmd.Check); err != nil {
		// The error is also returned, so it is reported even if this write fails.
		_ = writeJSON(stdout, map[string]string{"error": err.Error(), "hint": failure.HintOf(err)})
		return err
	}
	return writeJSON(stdout, d)
}

func describe[P any](spec *Stage[P]) contract.Description {
	return contract.Description{
		Contract: contract.Contract, Stage: spec.Name, Version: spec.Version, About: spec.About, Length: spec.Length,
		Params: newParams[P]().describe(), Inputs: spec.Inputs, Outputs: spec.Outputs, Pure: true,
		Shards: spec.Shard != nil,
	}
}

// describeHere is describe plus the meaning of "auto" on this machine, which may take a while to determine.
func describeHere[P any](spec *Stage[P]) contract.Description {
	d := describe(spec)
	if spec.Resolve == nil {
		return d
	}
	s := newParams[P]()
	d.Params = s.describe()
	_ = spec.Resolve(&s.holder.P, Given{params: s.params}) // the defaults alone need not be valid, so the error is ignored
	for i, p := range s.params {
		if v := p.value(); d.Params[i].Default == "auto" && v != "auto" {
			d.Params[i].Auto = v
		}
	}
	return d
}

// check resolves parameters given as a JSON object and adds them to the description.
func check[P any](spec *Stage[P], d *contract.Description, text string) (err error) {
	var object map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return failure.New(failure.Usage, "", "--check expects a JSON object: %w", err)
	}
	params := make(map[string]any, len(object))
	for name, v := range object {
		p, ok := d.Param(name)
		if !ok {
			return failure.New(failure.Usage, "see "+spec.Name+" --help", "unknown parameter %s", name)
		}
		value, err := p.Value(v)
		if err != nil {
			return failure.Default(failure.Usage, "", err)
		}
		params[name] = value
	}
	s := newParams[P]()
	kctx, err := s.parser.Parse(contract.Flags(params))
	if err != nil {
		return failure.Default(failure.Usage, "", err)
	}
	s.given = given(kctx)
	d.Pure = spec.Resolve == nil || spec.Pure != nil && spec.Pure(&s.holder.P)
	d.Resolved, err = resolve(spec, s)
	return err
}
