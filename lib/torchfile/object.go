package torchfile

import "github.com/nlpodyssey/gopickle/types"

// object stands for a class or function, or for what a pickle makes with it: a NumPy scalar, a device, command-line
// options, an optimiser. Nothing is constructed or called. An object keeps the entries that the pickle adds to it,
// because subclasses of dict and list may hold tensors. It drops everything else.
type object struct {
	class   string // name with its module, such as "argparse.Namespace"
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
