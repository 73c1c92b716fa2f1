// Package cachekey computes the cache key of a step: two actions with the same key must produce interchangeable
// outputs.
//
// The package decides what an action contains (the contract version, the stage and its semantic version, every resolved
// parameter, every input digest and the engine class) and what it leaves out (paths, times, host names, thread counts).
// It also decides how an action is encoded. If two different actions had the same encoding, one would silently get the
// other's results. So the encoding is injective by construction: every value carries its type and a length, map entries
// are sorted, and the encoding starts with its version.
//
// An action also has a readable form, [Action.Preimage], which is stored with the record. With it, [Diff] can explain a
// cache miss field by field, which two hashes cannot. [Parse] reads a preimage back to an action with the same key.
//
// Note: hashing the JSON text itself was rejected. JSON has only one number type, and its text depends on the encoder's
// choice of escapes and exponents. The key would depend on that choice.
package cachekey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// format names the encoding; every preimage starts with it. Any change to the encoding needs a new format, which
// changes every key.
const format = "vapo.action/1"

// keyLength is the length of a key in characters: SHA-256 in lower-case hexadecimal.
const keyLength = 2 * sha256.Size

// errAction is wrapped by every error about an action that cannot have a key, for example because a parameter is NaN.
var errAction = errors.New("invalid action")

// Action is everything that determines the outputs of one step.
type Action struct {
	// Contract is the version of the stage contract.
	Contract int
	// Stage is the name of the stage, and Version is the semantic version of its outputs. A stage must raise Version when
	// equal parameters give different outputs than before.
	Stage   string
	Version int
	// Params are the resolved parameters by name. The Go type of a value decides its type in the key: signed and unsigned
	// integers are int, float32 and float64 are float, string and bool keep their types, and map[string]any, []any and
	// json.RawMessage are json. So 1, 1.0 and "1" differ, and the caller must convert each value to the declared type of
	// its parameter.
	//
	// Within a json value all numbers have one type, as in JSON: 1, 1.0 and 1e0 are equal there.
	Params map[string]any
	// Inputs are the digests of the inputs by name. An optional input that was not given has no entry.
	Inputs map[string]string
	// Backend is the class of the engine that computes the step, for example "tape". It is empty for a stage that uses no
	// engine. The caller must resolve "auto".
	Backend string
}

// Key returns the key of the action, 64 lower-case hexadecimal digits.
func (a Action) Key() (string, error) {
	n, err := a.node()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(n.encode([]byte(format + "\n")))
	return hex.EncodeToString(sum[:]), nil
}

// Preimage returns the action as canonical JSON: fields in a fixed order, names sorted, each parameter wrapped in its
// type, one parameter per line. Two actions have the same preimage exactly if they have the same key.
func (a Action) Preimage() ([]byte, error) {
	n, err := a.node()
	if err != nil {
		return nil, err
	}
	return n.json(), nil
}

// ValidKey reports whether s has the form of a key.
func ValidKey(s string) bool { return len(s) == keyLength && strings.Trim(s, "0123456789abcdef") == "" }

// tree is an action whose parameters are converted to typed nodes.
type tree struct {
	action Action
	params map[string]node
}

func (a Action) node() (*tree, error) {
	if a.Stage == "" {
		return nil, fmt.Errorf("%w: it names no stage", errAction)
	}
	for field, s := range map[string]string{"stage": a.Stage, "backend": a.Backend} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("%w: %s %q is not UTF-8", errAction, field, s)
		}
	}
	t := &tree{action: a, params: make(map[string]node, len(a.Params))}
	for _, name := range slices.Sorted(maps.Keys(a.Params)) {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%w: parameter name %q is not UTF-8", errAction, name)
		}
		n, err := normalise(a.Params[name])
		if err != nil {
			return nil, fmt.Errorf("%w: parameter %s: %w", errAction, name, err)
		}
		t.params[name] = n
	}
	for name, digest := range a.Inputs {
		if !utf8.ValidString(name) || !utf8.ValidString(digest) {
			return nil, fmt.Errorf("%w: input %q is not UTF-8", errAction, name)
		}
		if digest == "" {
			return nil, fmt.Errorf("%w: input %s has no digest", errAction, name)
		}
	}
	return t, nil
}
