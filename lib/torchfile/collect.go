package torchfile

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/nlpodyssey/gopickle/types"
)

// Limits for dictionaries and lists, which may contain themselves.
const (
	maxEntries = 1 << 20 // in all dictionaries and lists together
	maxDepth   = 12
	maxName    = 500 // bytes
)

// collector fills a File from the object that a pickle made.
type collector struct {
	*File
	entries int // visited so far
}

// collect finds the tensors and integers in nested dictionaries and lists. It names each by its keys, joined with dots;
// the keys of list entries are their indices, from 0.
func (c *collector) collect(name string, v any, depth int) error {
	switch v := v.(type) {
	case *tensor:
		if depth == 0 {
			return nil // it has no name
		}
		if c.tensors[name] == nil {
			c.order = append(c.order, name)
		}
		c.tensors[name] = v
	case *types.Dict:
		return c.dict(name, *v, depth)
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			if entry, ok := e.Value.(*types.OrderedDictEntry); ok {
				if err := c.entry(name, entry.Key, entry.Value, depth); err != nil {
					return err
				}
			}
		}
	case *types.List:
		return c.list(name, *v, depth)
	case *types.Tuple:
		return c.list(name, types.List(*v), depth)
	case *object:
		if len(v.entries)+len(v.items) == 0 {
			c.skip(name, v.class)
			return nil
		}
		return errors.Join(c.dict(name, v.entries, depth), c.list(name, v.items, depth))
	case int:
		c.numbers[name] = int64(v)
		c.skip(name, "number")
	case bool, float64, *big.Int:
		c.skip(name, "number")
	case string:
		c.skip(name, "text")
	case nil:
		c.skip(name, "None")
	default:
		c.skip(name, "value")
	}
	return nil
}

func (c *collector) dict(name string, d types.Dict, depth int) error {
	for _, e := range d {
		if err := c.entry(name, e.Key, e.Value, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) list(name string, l types.List, depth int) error {
	if !slices.ContainsFunc(l, nested) { // for example, a list of the losses of all steps
		if len(l) > 0 {
			c.skip(name, fmt.Sprintf("list of %d", len(l)))
		}
		return nil
	}
	for i, v := range l {
		if err := c.entry(name, i, v, depth); err != nil {
			return err
		}
	}
	return nil
}

// nested reports whether v is a tensor or may contain one.
func nested(v any) bool {
	switch v.(type) {
	case *tensor, *types.Dict, *types.OrderedDict, *types.List, *types.Tuple, *object:
		return true
	}
	return false
}

// entry collects one value of the dictionary or list called parent.
func (c *collector) entry(parent string, key, v any, depth int) error {
	if c.entries++; c.entries > maxEntries {
		return fmt.Errorf("more than %d entries in dictionaries and lists", maxEntries)
	}
	name := "?" // for a key that cannot name a tensor, such as a tuple
	switch k := key.(type) {
	case string:
		name = k
	case int:
		name = strconv.Itoa(k)
	}
	if depth > 0 {
		name = parent + "." + name
	}
	switch {
	case len(name) > maxName:
		c.skip(name[:maxName], "a name that is too long")
	case depth == maxDepth:
		c.skip(name, "nested too deeply")
	default:
		return c.collect(name, v, depth+1)
	}
	return nil
}

// skip records a value that is not a tensor.
func (c *collector) skip(name, what string) {
	if name != "" {
		c.skipped = append(c.skipped, fmt.Sprintf("%s (%.80s)", name, what))
	}
}
