package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"vapo/lib/artifact"
	"vapo/pipeline/internal/condition"
)

// Foreach says that a step stands for several instances: one for each combination of values, or one for each instance
// of another step.
type Foreach struct {
	axes []axis
	Of   string // name of the other step; "" if there are axes
	Pos  Pos
}

// axis is a parameter with the values that it takes.
type axis struct {
	name   string
	values []Param
}

// Binding is a parameter of an instance with its value as written, such as learning-rate and 0.001.
type Binding struct{ Name, Value string }

// Term is one comparison of a condition. Expand sets Steps to the steps whose values are compared: a single step, or
// all instances of a step.
type Term struct {
	condition.Comparison
	Steps []string
	Pos   Pos
}

const (
	maxInstances = 1000 // instances of one step; more are usually a mistake
	maxInstance  = 150  // bytes in the name of an instance, which becomes the name of a file
)

// valueForm matches values that can be part of the name of an instance.
var valueForm = regexp.MustCompile(`^[A-Za-z0-9_.+-]+$`)

func (n node) foreach() (*Foreach, error) {
	f := &Foreach{Pos: n.pos}
	if _, ok := n.ast.(*ast.StringNode); ok {
		var err error
		f.Of, err = n.name("step after foreach")
		return f, err
	}
	entries, err := n.mapping("foreach")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		list, ok := e.value.ast.(*ast.SequenceNode)
		if !ok || len(list.Values) == 0 {
			return nil, Error(e.value.pos, "for example foreach: {seed: [0, 1, 2]}", "foreach needs a list of values for %s",
				e.key)
		}
		a := axis{name: e.key}
		for _, item := range list.Values {
			value := newNode(item, n.pos.File)
			p := Param{Name: e.key, Text: value.scalar(), Pos: value.pos}
			if p.Value, err = value.plain(0); err != nil {
				return nil, err
			}
			if !valueForm.MatchString(p.Text) {
				return nil, Error(value.pos, "values become part of names, so they must be numbers, words, true or false",
					"foreach cannot use this value of %s", e.key)
			}
			if slices.ContainsFunc(a.values, func(o Param) bool { return o.Text == p.Text }) {
				return nil, Error(value.pos, "", "foreach has the value %s of %s twice", p.Text, e.key)
			}
			a.values = append(a.values, p)
		}
		f.axes = append(f.axes, a)
	}
	if len(f.axes) == 0 {
		return nil, Error(n.pos, "for example foreach: {seed: [0, 1, 2]}, or the name of a step", "foreach is empty")
	}
	return f, nil
}

func (n node) when() ([]Term, error) {
	text, err := n.text("when")
	if err != nil {
		return nil, err
	}
	at := func(offset int) Pos {
		pos := n.pos
		if pos.Line > 0 {
			pos.Column += offset
		}
		return pos
	}
	list, err := condition.Parse(text)
	if err != nil {
		offset := 0
		if e, ok := err.(*condition.Error); ok {
			offset = e.Offset
		}
		return nil, Error(at(offset), "for example score.value < 100 and data.source == 'mnist'", "when: %w", err)
	}
	terms := make([]Term, len(list))
	for i, c := range list {
		terms[i] = Term{c, nil, at(c.Offset)}
	}
	return terms, nil
}

// Expand returns the steps of the recipe, but replaces each step that has a foreach by its instances. The inputs and
// conditions of the returned steps refer to instances.
func (r *Recipe) Expand() ([]*Step, error) {
	instances := map[string][][]Binding{} // of steps with a foreach
	for _, s := range r.Steps {
		list, err := r.instances(s, nil)
		if err != nil {
			return nil, err
		}
		if s.Foreach != nil {
			instances[s.Name] = list
		}
	}
	var out []*Step
	for _, s := range r.Steps {
		if s.Foreach == nil {
			instance, err := s.instance(nil, instances)
			if err != nil {
				return nil, err
			}
			out = append(out, instance)
		}
		for _, bindings := range instances[s.Name] {
			instance, err := s.instance(bindings, instances)
			if err != nil {
				return nil, err
			}
			out = append(out, instance)
		}
	}
	return out, nil
}

// instances returns the bindings of every instance of a step. seen lists the steps whose foreach led to s; if s is
// among them, the references form a cycle.
func (r *Recipe) instances(s *Step, seen []string) ([][]Binding, error) {
	f := s.Foreach
	switch {
	case f == nil:
		return nil, nil
	case slices.Contains(seen, s.Name):
		return nil, Error(f.Pos, "give one of these steps values, for example foreach: {seed: [0, 1, 2]}",
			"foreach of step %s leads back to itself", s.Name)
	case f.Of != "":
		of, ok := r.Step(f.Of)
		if !ok {
			return nil, Error(f.Pos, Suggest(f.Of, r.StepNames(), "the steps are"),
				"step %s: foreach: the recipe has no step %s", s.Name, f.Of)
		}
		if of.Foreach == nil {
			return nil, Error(f.Pos, "give "+f.Of+" a foreach, or remove this one", "step %s: foreach: step %s has no instances",
				s.Name, f.Of)
		}
		return r.instances(of, append(seen, s.Name))
	}
	list := [][]Binding{nil}
	for _, a := range f.axes {
		if i := slices.IndexFunc(s.Params, func(p Param) bool { return p.Name == a.name }); i >= 0 {
			return nil, Error(s.Params[i].Pos, "remove one", "step %s: parameter %s is set here and by foreach", s.Name, a.name)
		}
		if len(list)*len(a.values) > maxInstances {
			return nil, Error(f.Pos, "split the recipe", "step %s: foreach makes more than %d instances", s.Name, maxInstances)
		}
		var longer [][]Binding
		for _, bindings := range list {
			for _, v := range a.values {
				longer = append(longer, append(slices.Clone(bindings), Binding{a.name, v.Text}))
			}
		}
		list = longer
	}
	for _, bindings := range list {
		if name := instanceName(s.Name, bindings); len(name) > maxInstance {
			return nil, Error(f.Pos, "use fewer parameters or shorter values", "step %s: the name %s is too long", s.Name, name)
		}
	}
	return list, nil
}

// instanceName returns the name of an instance, such as potential[seed=0,learning-rate=0.001].
func instanceName(step string, bindings []Binding) string {
	if len(bindings) == 0 {
		return step
	}
	return step + "[" + Label(bindings) + "]"
}

// HasShard reports whether name is that of a shard of the step.
func (s *Step) HasShard(name string) bool {
	for shard := range s.Shards {
		if ShardName(s.Name, shard+1) == name {
			return true
		}
	}
	return false
}

// ShardName returns the name of a shard of a step, such as samples[shard=3] or samples[seed=0,shard=3].
func ShardName(step string, shard int) string {
	if instance, ok := strings.CutSuffix(step, "]"); ok {
		return fmt.Sprintf("%s,shard=%d]", instance, shard)
	}
	return fmt.Sprintf("%s[shard=%d]", step, shard)
}

// Label returns the part of an instance's name in brackets.
func Label(bindings []Binding) string {
	parts := make([]string, len(bindings))
	for i, b := range bindings {
		parts[i] = b.Name + "=" + b.Value
	}
	return strings.Join(parts, ",")
}

var allInstances = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]*)\.\*\.([A-Za-z0-9_-]+)$`)

// instance returns the instance of a step with the given bindings. A step without a foreach has a single instance,
// which has no bindings.
func (s *Step) instance(bindings []Binding, instances map[string][][]Binding) (*Step, error) {
	out := *s
	out.Name, out.Base = instanceName(s.Name, bindings), s.Name
	out.Inputs, out.When = nil, nil
	if s.Foreach != nil {
		out.Params = slices.Clone(s.Params)
		for _, a := range s.Foreach.axes {
			i := slices.IndexFunc(a.values, func(p Param) bool { return slices.Contains(bindings, Binding{a.name, p.Text}) })
			out.Params = append(out.Params, a.values[i])
		}
	}
	for _, in := range s.Inputs {
		list, err := s.connect(in, bindings, instances)
		if err != nil {
			return nil, err
		}
		out.Inputs = append(out.Inputs, list...)
	}
	for _, term := range s.When {
		of := instances[term.Step]
		switch {
		case term.All && of == nil:
			return nil, Error(term.Pos, "write "+term.Step+"."+term.Name, "step %s: when: step %s has no instances", s.Name,
				term.Step)
		case term.All:
			for _, b := range of {
				term.Steps = append(term.Steps, instanceName(term.Step, b))
			}
		case of == nil:
			term.Steps = []string{term.Step}
		default:
			if err := s.same(term.Pos, term.Step, term.Name, bindings, instances); err != nil {
				return nil, err
			}
			term.Steps = []string{instanceName(term.Step, bindings)}
		}
		out.When = append(out.When, term)
	}
	return &out, nil
}

// connect turns an input as written in the file into the inputs of an instance: a single input or, for STEP.*.OUTPUT,
// one input for each instance of STEP.
func (s *Step) connect(in Input, bindings []Binding, instances map[string][][]Binding) ([]Input, error) {
	if m := allInstances.FindStringSubmatch(in.From); m != nil {
		of := instances[m[1]]
		switch {
		case of == nil:
			return nil, Error(in.Pos, "an input from one step is STEP.OUTPUT",
				"step %s: input %s: there is no step %s with a foreach", s.Name, in.Name, m[1])
		case s.Command == nil:
			return nil, Error(in.Pos, "only a step of stage: command can collect outputs; other steps need a foreach",
				"step %s: input %s takes one artifact, but %s stands for %d", s.Name, in.Name, in.From, len(of))
		}
		var list []Input
		for _, b := range of {
			list = append(list, Input{
				Name: instanceName(in.Name, b), From: instanceName(m[1], b) + "." + m[2], Pos: in.Pos, List: in.Name, Bindings: b,
			})
		}
		return list, nil
	}
	ref, err := artifact.ParseReference(in.From)
	if err != nil || instances[ref.Step] == nil { // package graph reports err
		return []Input{in}, nil
	}
	if err := s.same(in.Pos, ref.Step, ref.Output, bindings, instances); err != nil {
		return nil, err
	}
	in.From = instanceName(ref.Step, bindings) + "." + ref.Output
	return []Input{in}, nil
}

// same checks that both steps have the same instances, so that each instance of s has a counterpart among those of
// other.
func (s *Step) same(pos Pos, other, name string, bindings []Binding, instances map[string][][]Binding) error {
	mine, theirs := instances[s.Name], instances[other]
	if len(bindings) > 0 && slices.EqualFunc(mine, theirs, slices.Equal[[]Binding]) {
		return nil
	}
	return Error(pos, fmt.Sprintf("add foreach: %s to this step, or collect all with %s.*.%s", other, other, name),
		"step %s: %s.%s stands for %d instances", s.Name, other, name, len(theirs))
}
