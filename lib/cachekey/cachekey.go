// Package cachekey names the work of one step: two actions with one key must
// produce interchangeable outputs.
//
// That promise decides what is in an action (the contract version, the stage
// and its semantic version, every resolved parameter, every input digest and
// the backend class that computes) and what is not (paths, times, host names,
// thread counts). It also decides how an action is encoded. A digest over an
// encoding that two different actions share would hand one of them the other's
// results, silently and for good, so the encoding is injective by
// construction: every value carries a tag of its type and a length, map
// entries are sorted, and the whole starts with the version of the encoding.
//
// The same action has a readable form, [Action.Preimage], which is stored
// beside the record so that a miss can be explained field by field ([Diff])
// instead of by two unlike hashes. [Parse] reads it back to the same key.
//
// Note: hashing the JSON text itself was rejected. JSON has one kind of number
// and its text depends on an encoder's taste in escapes and exponents; the key
// would change whenever that taste does.
package cachekey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Format names the encoding. It is the first thing in every preimage; a change
// to any rule below is a new format, and thereby a new key for everything.
const Format = "vapo.action/1"

// KeyLength is the length of a key: SHA-256 in lower-case hexadecimal.
const KeyLength = 2 * sha256.Size

// ErrAction is wrapped by every error about an action that has no key, such as
// one with a parameter that is not a number.
var ErrAction = errors.New("invalid action")

// Action is everything that determines the outputs of one step.
type Action struct {
	// Contract is the version of the stage contract the step was run under.
	Contract int
	// Stage is the stage's name and Version its semantic version: a stage
	// whose output changes for equal parameters must raise it.
	Stage   string
	Version int
	// Params are the resolved parameters by name. The Go type of a value is
	// the type it is keyed as: a signed or unsigned integer is an int, float32
	// and float64 are a float, then string and bool; a map[string]any, []any
	// or json.RawMessage is json. So 1, 1.0 and "1" differ, and the caller
	// converts a value to its parameter's declared type before keying it.
	//
	// Inside json there is one kind of number, as in JSON itself: 1, 1.0 and
	// 1e0 are the same there.
	Params map[string]any
	// Inputs are the digests of the inputs by name. An absent optional input
	// is an absent name, never an empty digest.
	Inputs map[string]string
	// Backend is the class of backend that computes, for example
	// "tape-openblas"; empty for a stage that has none. "auto" is resolved
	// before it gets here.
	Backend string
}

// Key returns the action's key, 64 lower-case hexadecimal digits.
func (a Action) Key() (string, error) {
	n, err := a.node()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(n.encode([]byte(Format + "\n")))
	return hex.EncodeToString(sum[:]), nil
}

// Preimage returns the action as canonical JSON: fields in a fixed order,
// names sorted, each parameter wrapped in its type, one per line. Equal
// actions have equal preimages, and different actions different ones.
func (a Action) Preimage() ([]byte, error) {
	n, err := a.node()
	if err != nil {
		return nil, err
	}
	return n.json(), nil
}

// ValidKey reports whether s has the form of a key.
func ValidKey(s string) bool {
	if len(s) != KeyLength {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// tree is an action with its parameters normalised to typed nodes.
type tree struct {
	action Action
	params map[string]node
}

func (a Action) node() (*tree, error) {
	if a.Stage == "" {
		return nil, fmt.Errorf("%w: it names no stage", ErrAction)
	}
	for field, s := range map[string]string{"stage": a.Stage, "backend": a.Backend} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("%w: %s %q is not UTF-8", ErrAction, field, s)
		}
	}
	t := &tree{action: a, params: make(map[string]node, len(a.Params))}
	for _, name := range slices.Sorted(maps.Keys(a.Params)) {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%w: parameter name %q is not UTF-8", ErrAction, name)
		}
		n, err := normalise(a.Params[name])
		if err != nil {
			return nil, fmt.Errorf("%w: parameter %s: %w", ErrAction, name, err)
		}
		t.params[name] = n
	}
	for name, digest := range a.Inputs {
		if !utf8.ValidString(name) || !utf8.ValidString(digest) {
			return nil, fmt.Errorf("%w: input %q is not UTF-8", ErrAction, name)
		}
		if digest == "" {
			return nil, fmt.Errorf("%w: input %s has no digest", ErrAction, name)
		}
	}
	return t, nil
}
