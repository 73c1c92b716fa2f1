package torchfile

import "github.com/nlpodyssey/gopickle/types"

// object stands for a class, a function, and whatever a pickle makes with them: a NumPy scalar, a device, the options
// of a command line, an optimiser. Nothing is constructed or called. An object keeps the entries that the pickle adds
// to it, because classes derived from dict and list may hold tensors, and forgets the rest.
type object struct {
	class   string // with its module: "argparse.Namespace"
	entries types.Dict
	items   types.List
}

// Call implements types.Callable.
func (o *object) Call(...any) (any, error) { return &object{class: o.class}, nil }

// PyNew implements types.PyNewable.
func (o *object) PyNew(...any) (any, error) { return &object{class: o.class}, nil }

// PySetState implements types.PyStateSettable.
func (*object) PySetState(any) error { return nil }

// Set implements types.DictSetter.
func (o *object) Set(key, value any) { o.entries.Set(key, value) }

// Append implements types.ListAppender.
func (o *object) Append(value any) { o.items.Append(value) }

// Add implements types.SetAdder.
func (*object) Add(any) {}
