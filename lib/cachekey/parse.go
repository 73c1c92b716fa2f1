package cachekey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Parse reads a preimage back into an action with the same key. It accepts only what [Action.Preimage] writes, apart
// from white space and escapes for HTML. Unknown fields are refused, because they might affect the outputs.
func Parse(preimage []byte) (Action, error) {
	if _, err := decodeJSON(preimage); err != nil {
		return Action{}, fmt.Errorf("%w: preimage: %w", errAction, err)
	}
	var doc struct {
		Format   string                                `json:"format"`
		Contract int                                   `json:"contract"`
		Stage    string                                `json:"stage"`
		Version  int                                   `json:"version"`
		Backend  string                                `json:"backend"`
		Params   map[string]map[string]json.RawMessage `json:"params"`
		Inputs   map[string]string                     `json:"inputs"`
	}
	dec := json.NewDecoder(bytes.NewReader(preimage))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return Action{}, fmt.Errorf("%w: preimage: %w", errAction, err)
	}
	if doc.Format != format {
		return Action{}, fmt.Errorf("%w: preimage has format %q; this program reads %q", errAction, doc.Format, format)
	}
	a := Action{
		Contract: doc.Contract, Stage: doc.Stage, Version: doc.Version, Backend: doc.Backend,
		Params: make(map[string]any, len(doc.Params)), Inputs: doc.Inputs,
	}
	for name, typed := range doc.Params {
		if len(typed) != 1 {
			return Action{}, fmt.Errorf("%w: preimage: parameter %s has %d types", errAction, name, len(typed))
		}
		for typ, text := range typed {
			v, err := parseTyped(typ, text)
			if err != nil {
				return Action{}, fmt.Errorf("%w: preimage: parameter %s: %w", errAction, name, err)
			}
			a.Params[name] = v
		}
	}
	canonical, err := a.Preimage()
	if err != nil {
		return Action{}, err
	}
	if !equalJSON(canonical, preimage) {
		return Action{}, fmt.Errorf("%w: preimage is not in canonical form", errAction)
	}
	return a, nil
}

func parseTyped(typ string, text json.RawMessage) (any, error) {
	switch typ {
	case "int":
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return i, nil
		}
		return strconv.ParseUint(string(text), 10, 64)
	case "float":
		return strconv.ParseFloat(string(text), 64)
	case "bool":
		return strconv.ParseBool(string(text))
	case "string":
		var s string
		err := json.Unmarshal(text, &s)
		return s, err
	case "json":
		return text, nil
	}
	return nil, fmt.Errorf("unknown type %q", typ)
}

// equalJSON compares two JSON texts but ignores white space, which a store or an editor may have changed. It also
// ignores whether characters such as < are escaped, because encoding/json escapes them in a preimage that is part of
// another document.
func equalJSON(a, b []byte) bool {
	var texts [2]bytes.Buffer
	for i, text := range [][]byte{a, b} {
		var compact bytes.Buffer
		if json.Compact(&compact, text) != nil {
			return false
		}
		json.HTMLEscape(&texts[i], compact.Bytes())
	}
	return bytes.Equal(texts[0].Bytes(), texts[1].Bytes())
}
