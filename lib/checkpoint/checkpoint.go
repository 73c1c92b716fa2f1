// Package checkpoint is the form in which networks leave training: named float32 tensors with the configuration that
// gives them meaning and the step they belong to.
//
// Tensors are grouped by the first part of their name: param/ (the weights as trained), ema/ (their exponential moving
// average, what one samples with; ema.1/, ema.2/, ... are further averages, of other half-lives), adam.m/ and adam.v/
// (the optimiser's moments, needed to resume). A checkpoint is a tensorfile with one row and one column per tensor, so
// any Arrow implementation opens it, and its bytes are a function of its content: a run that was killed and resumed ends
// in a checkpoint of the same digest.
package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/tensorfile"
)

// Prefixes of the groups.
const (
	Param = "param/"
	EMA   = "ema/"
	AdamM = "adam.m/"
	AdamV = "adam.v/"
)

// Average is the prefix of the k-th moving average of the weights: ema/ for the main one, 0, then ema.1/, ema.2/, ...
func Average(k int) string {
	if k == 0 {
		return EMA
	}
	return fmt.Sprintf("ema.%d/", k)
}

// Kinds of checkpoints.
const (
	Potential  = "potential"
	Classifier = "classifier"
	Inception  = "inception" // package feature's, with weights from elsewhere
)

// Named is one tensor.
type Named struct {
	Name  string // group prefix and name: "param/dense0/w"
	Shape []int  // empty for a scalar
	Data  []float32
}

// Checkpoint is the state of a network.
type Checkpoint struct {
	Kind    string          // Potential, Classifier or Inception
	Config  json.RawMessage // configuration of the network, as its package writes it
	Step    int64           // optimiser steps taken
	Tensors []Named         // in any order; written sorted by name
	Extra   map[string]json.RawMessage
}

// MissingTensorError says that a checkpoint lacks a tensor.
type MissingTensorError struct{ Name string }

func (e *MissingTensorError) Error() string {
	return fmt.Sprintf("checkpoint has no tensor %q", e.Name)
}

// ShapeError says that a tensor has another shape than expected.
type ShapeError struct {
	Name      string
	Want, Got []int
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("tensor %q: expected shape %v, got %v", e.Name, e.Want, e.Got)
}

// FormatError says that a tensor file is not a checkpoint.
type FormatError struct {
	Path   string // empty where the bytes came from no file
	Reason string
}

func (e *FormatError) Error() string {
	if e.Path != "" {
		return e.Path + ": not a checkpoint: " + e.Reason
	}
	return "not a checkpoint: " + e.Reason
}

const (
	metaFormat = "vapo"
	metaKind   = "kind"
	metaConfig = "config"
	metaStep   = "step"
	metaExtra  = "extra." // + name
	format     = "checkpoint/1"
)

// Write writes the checkpoint. Its bytes are a function of its content: tensors and extra values are sorted by name, JSON is
// compacted.
func Write(w io.Writer, c *Checkpoint) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("checkpoint: write: %w", err)
	}
	t := &tensorfile.Table{Rows: 1, Meta: map[string]string{
		metaFormat: format,
		metaKind:   c.Kind,
		metaStep:   strconv.FormatInt(c.Step, 10),
	}}
	if err := setJSON(t.Meta, metaConfig, c.Config); err != nil {
		return err
	}
	for name, v := range c.Extra {
		if err := setJSON(t.Meta, metaExtra+name, v); err != nil {
			return err
		}
	}
	for _, n := range sorted(c.Tensors) {
		t.Columns = append(t.Columns, tensorfile.Column{Name: n.Name, Shape: n.Shape, Data: n.Data})
	}
	if err := tensorfile.Write(w, t); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func setJSON(meta map[string]string, key string, v json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		return fmt.Errorf("checkpoint: write: %s is not JSON: %w", key, err)
	}
	meta[key] = b.String()
	return nil
}

func sorted(tensors []Named) []Named {
	return slices.SortedFunc(slices.Values(tensors), func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
}

func (c *Checkpoint) validate() error {
	if c.Kind == "" {
		return fmt.Errorf("no kind")
	}
	if c.Step < 0 {
		return fmt.Errorf("step %d", c.Step)
	}
	if len(c.Tensors) == 0 {
		return fmt.Errorf("no tensors")
	}
	for _, n := range c.Tensors {
		if n.Name == "" {
			return fmt.Errorf("a tensor has no name")
		}
	}
	return nil // tensorfile checks shapes against data and names for duplicates
}

// Read reads the checkpoint at path. What is not a tensor file is a *tensorfile.FormatError, a tensor file that is not a
// checkpoint a *FormatError.
func Read(path string) (*Checkpoint, error) {
	t, err := tensorfile.Read(path)
	if err != nil {
		return nil, err
	}
	c, err := FromTable(t)
	if fe, ok := err.(*FormatError); ok {
		fe.Path = path
	}
	return c, err
}

// Decode reads a checkpoint of size bytes; memory is bounded by a small multiple of size.
func Decode(r io.ReaderAt, size int64) (*Checkpoint, error) {
	t, err := tensorfile.Decode(r, size)
	if err != nil {
		return nil, err
	}
	return FromTable(t)
}

// FromTable returns the table as a checkpoint, sharing its memory.
func FromTable(t *tensorfile.Table) (*Checkpoint, error) {
	if got := t.Meta[metaFormat]; got != format {
		return nil, &FormatError{Reason: fmt.Sprintf("metadata %q is %q, expected %q", metaFormat, got, format)}
	}
	if t.Rows != 1 {
		return nil, &FormatError{Reason: fmt.Sprintf("%d rows, expected 1", t.Rows)}
	}
	c := &Checkpoint{Kind: t.Meta[metaKind], Config: json.RawMessage(t.Meta[metaConfig])}
	step, err := strconv.ParseInt(t.Meta[metaStep], 10, 64)
	if err != nil || step < 0 {
		return nil, &FormatError{Reason: fmt.Sprintf("step is %q", t.Meta[metaStep])}
	}
	c.Step = step
	if c.Kind == "" {
		return nil, &FormatError{Reason: "it has no kind"}
	}
	if !json.Valid(c.Config) {
		return nil, &FormatError{Reason: "its configuration is not JSON"}
	}
	for k, v := range t.Meta {
		name, ok := strings.CutPrefix(k, metaExtra)
		if !ok {
			continue
		}
		if !json.Valid([]byte(v)) {
			return nil, &FormatError{Reason: fmt.Sprintf("metadata %q is not JSON", k)}
		}
		if c.Extra == nil {
			c.Extra = map[string]json.RawMessage{}
		}
		c.Extra[name] = json.RawMessage(v)
	}
	for i := range t.Columns {
		col := &t.Columns[i]
		data, err := tensorfile.Values[float32](col)
		if err != nil {
			return nil, &FormatError{Reason: err.Error()}
		}
		c.Tensors = append(c.Tensors, Named{Name: col.Name, Shape: col.Shape, Data: data})
	}
	return c, nil
}

// Tensor returns the tensor of that full name, or a *MissingTensorError.
func (c *Checkpoint) Tensor(name string) (*Named, error) {
	for i := range c.Tensors {
		if c.Tensors[i].Name == name {
			return &c.Tensors[i], nil
		}
	}
	return nil, &MissingTensorError{Name: name}
}

// Group returns the tensors whose name begins with prefix ("ema/"), by the rest of their name, sharing memory.
func (c *Checkpoint) Group(prefix string) map[string]Named {
	g := map[string]Named{}
	for _, n := range c.Tensors {
		if rest, ok := strings.CutPrefix(n.Name, prefix); ok {
			g[rest] = n
		}
	}
	return g
}

// Has tells whether there is any tensor in the group.
func (c *Checkpoint) Has(prefix string) bool {
	return slices.ContainsFunc(c.Tensors, func(n Named) bool { return strings.HasPrefix(n.Name, prefix) })
}

// Weights returns the data of a group's tensors after checking them against what a network expects: every name of
// shapes is there with that shape. A tensor that is missing is a *MissingTensorError, one of another shape a *ShapeError,
// both with the full name; of several, the first by name. Tensors nobody expects are an error too: they mean that
// configuration and weights do not belong together.
func (c *Checkpoint) Weights(prefix string, shapes map[string][]int) (map[string][]float32, error) {
	group := c.Group(prefix)
	out := make(map[string][]float32, len(shapes))
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n, ok := group[name]
		if !ok {
			return nil, &MissingTensorError{Name: prefix + name}
		}
		if !slices.Equal(n.Shape, shapes[name]) {
			return nil, &ShapeError{Name: prefix + name, Want: shapes[name], Got: n.Shape}
		}
		out[name] = n.Data
	}
	for _, n := range sorted(c.Tensors) {
		if rest, ok := strings.CutPrefix(n.Name, prefix); ok {
			if _, want := shapes[rest]; !want {
				return nil, &FormatError{Reason: fmt.Sprintf("tensor %q is no part of the configured network", n.Name)}
			}
		}
	}
	return out, nil
}

// NonFinite returns the name of the first tensor, in order of names, that holds a NaN or an infinity.
func (c *Checkpoint) NonFinite() (name string, found bool) {
	for _, n := range sorted(c.Tensors) {
		for _, v := range n.Data {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return n.Name, true
			}
		}
	}
	return "", false
}
