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

// The binary encoding that is hashed. Every item is
//
//	tag (1 byte) | length (8 bytes, big endian) | length bytes or items
//
// where the length of a leaf counts bytes and that of a list or map counts
// entries. A reader can therefore always tell where an item ends, which is
// what makes the encoding injective.

func putLeaf(b []byte, k kind, text string) []byte {
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
	return append(b, text...)
}

func putCount(b []byte, k kind, n int) []byte {
	b = append(b, byte(k))
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

func (n node) put(b []byte) []byte {
	switch n.kind {
	case kindList, kindJSON:
		b = putCount(b, n.kind, len(n.items))
		for _, item := range n.items {
			b = item.put(b)
		}
		return b
	case kindMap:
		b = putCount(b, n.kind, len(n.items))
		for i, item := range n.items {
			b = putLeaf(b, kindString, n.names[i])
			b = item.put(b)
		}
		return b
	}
	return putLeaf(b, n.kind, n.text)
}

// encode appends the six fields of the action, in an order that is part of the
// format.
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

// json writes the readable form.
func (t *tree) json() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"format\": %s,\n  \"contract\": %d,\n  \"stage\": %s,\n  \"version\": %d,\n  \"backend\": %s,\n",
		quote(Format), t.action.Contract, quote(t.action.Stage), t.action.Version, quote(t.action.Backend))
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

// inline is the value as JSON on one line, without its type.
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

// quote writes s as a JSON string without the escapes that only HTML needs.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
