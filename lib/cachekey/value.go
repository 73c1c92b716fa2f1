package cachekey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the tag of a value and the first byte of its encoding. The constants are part of the format: never reuse or
// renumber one.
type kind byte

const (
	kindInt    kind = 'i'
	kindFloat  kind = 'f'
	kindString kind = 's'
	kindBool   kind = 'b'
	kindJSON   kind = 'j' // a json parameter: contains one value of the kinds below, or a string or bool
	kindNumber kind = 'n' // a number inside json
	kindNull   kind = '0'
	kindList   kind = 'l'
	kindMap    kind = 'm'

	kindInvalid kind = '!' // only in the output of Diff, never encoded
)

var kindNames = map[kind]string{
	kindInt: "int", kindFloat: "float", kindString: "string", kindBool: "bool", kindJSON: "json",
	kindNumber: "number", kindNull: "null", kindList: "list", kindMap: "object",
	kindInvalid: "no value that can be keyed",
}

func (k kind) String() string { return kindNames[k] }

// node is one value in normal form. A leaf has text. A list has items. A map has sorted names, and items in the same
// order. A json parameter has one item.
type node struct {
	kind  kind
	text  string
	names []string
	items []node
}

// maxDepth limits the nesting of a json parameter.
const maxDepth = 64

// normalise converts a parameter to its type and canonical form.
func normalise(v any) (node, error) {
	switch v := v.(type) {
	case nil:
		return node{}, errors.New("it has no value")
	case json.RawMessage:
		tree, err := decodeJSON(v)
		if err != nil {
			return node{}, err
		}
		n, err := normaliseJSON(tree, 0)
		return node{kind: kindJSON, items: []node{n}}, err
	case json.Number:
		return node{}, fmt.Errorf("number %s was not converted to its declared type", v)
	case map[string]any, []any:
		n, err := normaliseJSON(v, 0)
		return node{kind: kindJSON, items: []node{n}}, err
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return node{kind: kindInt, text: strconv.FormatInt(rv.Int(), 10)}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return node{kind: kindInt, text: strconv.FormatUint(rv.Uint(), 10)}, nil
	case reflect.Float32, reflect.Float64:
		text, err := formatFloat(rv.Float())
		return node{kind: kindFloat, text: text}, err
	case reflect.Bool:
		return node{kind: kindBool, text: strconv.FormatBool(rv.Bool())}, nil
	case reflect.String:
		if !utf8.ValidString(rv.String()) {
			return node{}, fmt.Errorf("%q is not UTF-8", rv.String())
		}
		return node{kind: kindString, text: rv.String()}, nil
	}
	return node{}, fmt.Errorf("a value of Go type %T cannot be keyed", v)
}

func normaliseJSON(v any, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("json is nested more than %d levels deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return node{kind: kindNull}, nil
	case json.Number:
		text, err := formatNumber(string(v))
		return node{kind: kindNumber, text: text}, err
	case json.RawMessage:
		tree, err := decodeJSON(v)
		if err != nil {
			return node{}, err
		}
		return normaliseJSON(tree, depth)
	case []any:
		n := node{kind: kindList, items: make([]node, len(v))}
		for i, item := range v {
			var err error
			if n.items[i], err = normaliseJSON(item, depth+1); err != nil {
				return node{}, err
			}
		}
		return n, nil
	case map[string]any:
		n := node{kind: kindMap}
		for _, name := range sortedKeys(v) {
			if !utf8.ValidString(name) {
				return node{}, fmt.Errorf("name %q is not UTF-8", name)
			}
			item, err := normaliseJSON(v[name], depth+1)
			if err != nil {
				return node{}, err
			}
			n.names = append(n.names, name)
			n.items = append(n.items, item)
		}
		return n, nil
	}
	n, err := normalise(v)
	if err != nil {
		return node{}, err
	}
	if n.kind == kindInt || n.kind == kindFloat {
		n.kind = kindNumber
		n.text, err = formatNumber(n.text)
	}
	return n, err
}

// decodeJSON reads one JSON value. If a name occurs twice, Go's decoder keeps the last value, and it replaces invalid
// UTF-8. Either could give the same key to texts that other readers distinguish, so both are refused.
func decodeJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("json is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readValue(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("json: more than one value")
	}
	return v, nil
}

func readValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxDepth)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := readValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name := token.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("name %q occurs twice in one object", name)
			}
			if object[name], err = readValue(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		return object, err
	}
	return token, nil
}

// formatFloat returns the shortest decimal that parses to f. Negative zero keeps its sign, because a stage may
// distinguish it from zero.
func formatFloat(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", fmt.Errorf("%g is not a finite number", f)
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}

// formatNumber returns the canonical text of a JSON number. An integer that fits into 64 bits is written in full, so
// that seeds above 2^53 remain distinct. Any other number is formatted as a float64.
func formatNumber(text string) (string, error) {
	if text != "-0" {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return strconv.FormatInt(i, 10), nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return strconv.FormatUint(u, 10), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", fmt.Errorf("number %s is out of range", strings.TrimSpace(text))
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 && (f != 0 || !math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10), nil
	}
	return formatFloat(f)
}
