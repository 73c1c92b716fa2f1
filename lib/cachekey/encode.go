package cachekey

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// The hash covers a binary encoding, in which every item is
//
//	tag (1 byte) | length (8 bytes, big endian) | length bytes or items
//
// The length of a leaf counts bytes; the length of a list or map counts entries. A reader can therefore always find the
// end of an item, which makes the encoding injective.

func putLeaf(b []byte, k kind, text string) []byte { return append(putCount(b, k, len(text)), text...) }

func putCount(b []byte, k kind, n int) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(k)), uint64(n))
}

func (n node) put(b []byte) []byte {
	switch n.kind {
	case kindList, kindJSON, kindMap:
		b = putCount(b, n.kind, len(n.items))
		for i, item := range n.items {
			if n.kind == kindMap {
				b = putLeaf(b, kindString, n.names[i])
			}
			b = item.put(b)
		}
		return b
	}
	return putLeaf(b, n.kind, n.text)
}

// encode appends the six fields of the action. The order of the fields is part of the format.
func (t *tree) encode(b []byte) []byte {
	b = putLeaf(b, kindInt, strconv.Itoa(t.action.Contract))
	b = putLeaf(b, kindString, t.action.Stage)
	b = putLeaf(b, kindInt, strconv.Itoa(t.action.Version))
	b = putLeaf(b, kindString, t.action.Backend)
	b = putCount(b, kindMap, len(t.params))
	for _, name := range sortedKeys(t.params) {
		b = putLeaf(b, kindString, name)
		b = t.params[name].put(b)
	}
	b = putCount(b, kindMap, len(t.action.Inputs))
	for _, name := range sortedKeys(t.action.Inputs) {
		b = putLeaf(b, kindString, name)
		b = putLeaf(b, kindString, t.action.Inputs[name])
	}
	return b
}

// json returns the preimage.
func (t *tree) json() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"format\": %s,\n  \"contract\": %d,\n", quote(format), t.action.Contract)
	fmt.Fprintf(&b, "  \"stage\": %s,\n  \"version\": %d,\n", quote(t.action.Stage), t.action.Version)
	fmt.Fprintf(&b, "  \"backend\": %s,\n", quote(t.action.Backend))
	object := func(name string, keys []string, value func(string) string) {
		fmt.Fprintf(&b, "  %q: {", name)
		for i, key := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "\n    %s: %s", quote(key), value(key))
		}
		if len(keys) > 0 {
			b.WriteString("\n  ")
		}
		b.WriteByte('}')
	}
	object("params", sortedKeys(t.params), func(k string) string {
		n := t.params[k]
		return fmt.Sprintf("{%q: %s}", n.kind, n.inline())
	})
	b.WriteString(",\n")
	object("inputs", sortedKeys(t.action.Inputs), func(k string) string { return quote(t.action.Inputs[k]) })
	b.WriteString("\n}\n")
	return b.Bytes()
}

// inline returns the value as JSON on one line, without its type.
func (n node) inline() string {
	switch n.kind {
	case kindString:
		return quote(n.text)
	case kindNull:
		return "null"
	case kindJSON:
		return n.items[0].inline()
	case kindList, kindMap:
		open, end := "[", "]"
		if n.kind == kindMap {
			open, end = "{", "}"
		}
		var b bytes.Buffer
		b.WriteString(open)
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			if n.kind == kindMap {
				b.WriteString(quote(n.names[i]) + ": ")
			}
			b.WriteString(item.inline())
		}
		b.WriteString(end)
		return b.String()
	}
	return n.text
}

// quote returns s as a JSON string without HTML escapes.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // cannot happen: a string always encodes
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
