package cachekey

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// FieldDiff is one field in which two actions differ.
type FieldDiff struct {
	Field string // for example "version", "params.lr", "params.mixture.components[0].std", "inputs.data"
	Was   string // value in the first action's preimage (a digest without quotes); empty if absent
	Is    string // value in the second action's preimage
}

// String returns, for example, "params.lr: 0.001 -> 0.002".
func (d FieldDiff) String() string {
	return d.Field + ": " + cmp.Or(d.Was, "(absent)") + " -> " + cmp.Or(d.Is, "(absent)")
}

// Diff lists the fields that differ between a and b: contract, stage, version and backend first, then parameters and
// inputs by name. The list is empty exactly when both actions have the same key. A parameter that cannot be keyed, such
// as a NaN, is shown as Go prints it.
func Diff(a, b Action) []FieldDiff {
	var out []FieldDiff
	add := func(field, was, is string) {
		if was != is {
			out = append(out, FieldDiff{Field: field, Was: was, Is: is})
		}
	}
	add("contract", strconv.Itoa(a.Contract), strconv.Itoa(b.Contract))
	add("stage", quote(a.Stage), quote(b.Stage))
	add("version", strconv.Itoa(a.Version), strconv.Itoa(b.Version))
	add("backend", quote(a.Backend), quote(b.Backend))
	for _, name := range unionKeys(a.Params, b.Params) {
		va, inA := a.Params[name]
		vb, inB := b.Params[name]
		out = diffNodes(out, "params."+name, lenient(va, inA), lenient(vb, inB))
	}
	for _, name := range unionKeys(a.Inputs, b.Inputs) {
		add("inputs."+name, a.Inputs[name], b.Inputs[name])
	}
	return out
}

// lenient is normalise for Diff. It returns nil for an absent value. A value that cannot be keyed becomes a node with
// the text that Go prints.
func lenient(v any, present bool) *node {
	if !present {
		return nil
	}
	n, err := normalise(v)
	if err != nil {
		return &node{kind: kindInvalid, text: fmt.Sprint(v)}
	}
	return &n
}

func (n *node) show(withKind bool) string {
	switch {
	case n == nil:
		return ""
	case withKind:
		return n.inline() + " (" + n.kind.String() + ")"
	}
	return n.inline()
}

// diffNodes descends into json values of the same shape, so that a long list in which one number changed is reported as
// one changed element.
func diffNodes(out []FieldDiff, field string, a, b *node) []FieldDiff {
	if a != nil && b != nil && a.kind == b.kind {
		switch {
		case a.kind == kindJSON:
			return diffNodes(out, field, &a.items[0], &b.items[0])
		case a.kind == kindList && len(a.items) == len(b.items):
			for i := range a.items {
				out = diffNodes(out, fmt.Sprintf("%s[%d]", field, i), &a.items[i], &b.items[i])
			}
			return out
		case a.kind == kindMap:
			am, bm := a.byName(), b.byName()
			for _, name := range unionKeys(am, bm) {
				out = diffNodes(out, field+"."+name, am[name], bm[name])
			}
			return out
		}
	}
	retyped := a != nil && b != nil && a.kind != b.kind
	was, is := a.show(retyped), b.show(retyped)
	if was == is {
		return out
	}
	return append(out, FieldDiff{Field: field, Was: was, Is: is})
}

func (n *node) byName() map[string]*node {
	m := make(map[string]*node, len(n.items))
	for i := range n.items {
		m[n.names[i]] = &n.items[i]
	}
	return m
}

func unionKeys[A, B any](a map[string]A, b map[string]B) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
