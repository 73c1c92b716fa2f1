// Package cachekey computes the cache key of a step: two actions with the same key must produce interchangeable
// outputs.
//
// This decides what an action contains (the contract version, the stage and its semantic version, every resolved
// parameter, every input digest and the backend class) and what it leaves out (paths, times, host names, thread
// counts). It also decides how an action is encoded. If two different actions shared an encoding, one would silently
// get the other's results, so the encoding is injective by construction: every value carries its type and a length, map
// entries are sorted, and the encoding starts with its version.
//
// The same action has a readable form, [Action.Preimage], which is stored with the record so that a cache miss can be
// explained field by field ([Diff]) instead of by two different hashes. [Parse] reads it back to the same key.
//
// Note: hashing the JSON text itself was rejected. JSON has one kind of number, and its text depends on an encoder's
// choice of escapes and exponents; the key would change with that choice.
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

// format names the encoding; every preimage starts with it. A change to any rule below needs a new format, and so gives
// everything a new key.
const format = "vapo.action/1"

// keyLength is the length of a key: SHA-256 in lower-case hexadecimal.
const keyLength = 2 * sha256.Size

// errAction is wrapped by every error about an action that has no key, for example one with a NaN among its parameters.
var errAction = errors.New("invalid action")

// Action is everything that determines the outputs of one step.
type Action struct {
	// Contract is the version of the stage contract.
	Contract int
	// Stage is the stage's name and Version its semantic version: a stage whose output changes for equal parameters must
	// raise it.
	Stage   string
	Version int
	// Params are the resolved parameters by name. The Go type of a value decides its type in the key: signed and unsigned
	// integers are int, float32 and float64 are float, string and bool are themselves, and map[string]any, []any and
	// json.RawMessage are json. So 1, 1.0 and "1" differ, and the caller must convert a value to its parameter's declared
	// type before keying it.
	//
	// Inside json there is one kind of number, as in JSON itself: 1, 1.0 and 1e0 are equal there.
	Params map[string]any
	// Inputs are the digests of the inputs by name. An absent optional input has no entry, not an empty digest.
	Inputs map[string]string
	// Backend is the class of backend that computes, for example "tape"; empty for a stage that uses none. The caller must
	// resolve "auto".
	Backend string
}

// Key returns the action's key, 64 lower-case hexadecimal digits.
func (a Action) Key() (string, error) {
	n, err := a.node()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(n.encode([]byte(format + "\n")))
	return hex.EncodeToString(sum[:]), nil
}

// Preimage returns the action as canonical JSON: fields in a fixed order, names sorted, each parameter wrapped in its
// type, one per line. Equal actions have equal preimages, and different actions different ones.
func (a Action) Preimage() ([]byte, error) {
	n, err := a.node()
	if err != nil {
		return nil, err
	}
	return n.json(), nil
}

// ValidKey reports whether s has the form of a key.
func ValidKey(s string) bool { return len(s) == keyLength && strings.Trim(s, "0123456789abcdef") == "" }

// tree is an action whose parameters are normalised to typed nodes.
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
