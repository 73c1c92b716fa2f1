package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth limits the nesting of structured parameters.
const maxDepth = 16

// node is a YAML node with its position. Note: decoding into structs with the library's strict mode was tried first. It
// reports the positions of unknown keys, but not of values that parse but make no sense, such as an input from a step
// that does not exist. Walking the tree keeps every position.
type node struct {
	ast ast.Node
	pos Pos
}

type entry struct {
	key   string
	pos   Pos // position of the key
	value node
}

func parseYAML(data []byte, file string) (n node, err error) {
	at := Pos{File: file}
	if len(data) > maxSize {
		return n, Error(at, "", "larger than %d KiB", maxSize>>10)
	}
	if deep(data) {
		return n, Error(at, "", "nested too deeply")
	}
	if bytes.IndexByte(data, 0) >= 0 { // UTF-16 text or a binary file
		return n, Error(at, "save it as UTF-8", "not a text file in UTF-8")
	}
	f, err := parser.ParseBytes(bytes.TrimPrefix(data, []byte("\ufeff")), 0) // a byte order mark is not content
	if err != nil {
		var y yaml.Error
		if errors.As(err, &y) && y.GetToken() != nil {
			return n, Error(position(file, y.GetToken()), syntaxHint(y.GetMessage()), "%s", y.GetMessage())
		}
		return n, Error(at, "the file must be YAML", "%w", err)
	}
	var bodies []ast.Node
	for _, d := range f.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body != nil && !directive { // such as %YAML 1.2
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return n, Error(Pos{file, 1, 1}, "pipeline new writes a recipe for your own data", "the file is empty")
	case 1:
		for _, n := range ast.Filter(ast.StringType, bodies[0]) {
			if strings.ContainsRune(n.(*ast.StringNode).Value, 0) {
				return node{}, Error(position(file, n.GetToken()), "no argument of a program can contain one",
					"the text contains a NUL character (\\0)")
			}
		}
		return newNode(bodies[0], file), nil
	}
	return n, Error(position(file, bodies[1].GetToken()), "use one file per recipe", "a second YAML document starts here")
}

// syntaxHint returns a hint for a message of the YAML parser.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "\t"):
		return "indent with spaces, not with tabs"
	case strings.Contains(message, "already defined"):
		return "names in a mapping must differ; rename or remove one"
	}
	return "the file must be YAML"
}

// deep reports whether flow brackets are nested far beyond maxDepth. Such a file is rejected before parsing, because
// the YAML parser recurses at each bracket.
func deep(data []byte) bool {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > 64*maxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

func position(file string, t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{File: file}
	}
	if strings.HasPrefix(file, "--set ") {
		return Pos{File: file}
	}
	return Pos{file, t.Position.Line, t.Position.Column}
}

func newNode(n ast.Node, file string) node {
	pos := position(file, n.GetToken())
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		pos = position(file, m.Values[0].Key.GetToken()) // the mapping's own position is that of its first colon
	}
	return node{n, pos}
}

// mapping returns the entries of a mapping. If known is not empty, a key that is not in known is an error.
func (n node) mapping(what string, known ...string) ([]entry, error) {
	var values []*ast.MappingValueNode
	switch v := n.ast.(type) {
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	case *ast.NullNode, nil:
		return nil, nil
	default:
		return nil, n.unexpected(what, "a mapping (name: value)")
	}
	var out []entry
	for _, mv := range values {
		pos := position(n.pos.File, mv.Key.GetToken())
		key, ok := mv.Key.(*ast.StringNode)
		if !ok {
			return nil, Error(pos, "a key must be plain text; recipes have no anchors or merges",
				"%q cannot be a key of %s", mv.Key.String(), what)
		}
		if len(known) > 0 && !slices.Contains(known, key.Value) {
			return nil, Error(pos, Suggest(key.Value, known, "the possible keys are"), "unknown key %s in %s", key.Value, what)
		}
		if slices.ContainsFunc(out, func(e entry) bool { return e.key == key.Value }) {
			return nil, Error(pos, "", "key %s occurs twice in %s", key.Value, what)
		}
		out = append(out, entry{key.Value, pos, newNode(mv.Value, n.pos.File)})
	}
	return out, nil
}

func (n node) unexpected(what, want string) error {
	switch n.ast.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return Error(n.pos, "write the value out", "anchors, aliases and tags are not part of a recipe")
	}
	return Error(n.pos, "", "%s must be %s", what, want)
}

func (n node) text(what string) (string, error) {
	switch v := n.ast.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return strings.TrimSpace(v.Value.Value), nil
	}
	return "", n.unexpected(what, "text")
}

func (n node) name(what string) (string, error) {
	s, err := n.text(what)
	if err == nil && !nameForm.MatchString(s) {
		return "", Error(n.pos, nameHint, "%q cannot be a %s", s, what)
	}
	return s, err
}

// decimal matches numbers as YAML 1.2 and JSON define them. The YAML library reads 1e-3 as text and 010 as octal, but
// recipes mean 0.001 and ten.
var decimal = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// plain converts the node to one of the Go values listed for Param.
func (n node) plain(depth int) (any, error) {
	if depth > maxDepth {
		return nil, Error(n.pos, "", "nested more than %d levels deep", maxDepth)
	}
	switch v := n.ast.(type) {
	case *ast.NullNode, nil:
		return nil, nil
	case *ast.BoolNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.StringNode:
		if v.Token.Type == token.StringType && decimal.MatchString(v.Value) {
			return n.number(v.Value)
		}
		return v.Value, nil
	case *ast.IntegerNode:
		if decimal.MatchString(v.Token.Value) {
			return n.number(v.Token.Value)
		}
		if u, ok := v.Value.(uint64); ok && u <= math.MaxInt64 {
			return int64(u), nil
		}
		return v.Value, nil
	case *ast.FloatNode:
		return v.Value, nil
	case *ast.SequenceNode:
		out := make([]any, 0, len(v.Values))
		for _, e := range v.Values {
			x, err := newNode(e, n.pos.File).plain(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	case *ast.MappingNode, *ast.MappingValueNode:
		entries, err := n.mapping("this mapping")
		if err != nil {
			return nil, err
		}
		out := make(map[string]any, len(entries))
		for _, e := range entries {
			if out[e.key], err = e.value.plain(depth + 1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *ast.InfinityNode, *ast.NanNode:
		return nil, Error(n.pos, "", "a parameter must be a finite number")
	}
	return nil, n.unexpected("a parameter", "a plain value")
}

// argument returns the value as it would be written on a command line; see Param.
func (n node) argument() string {
	switch v := n.ast.(type) {
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return n.ast.GetToken().Value
	case *ast.StringNode:
		return v.Value
	case *ast.SequenceNode:
		var elements []string
		for _, e := range v.Values {
			text := newNode(e, n.pos.File).argument()
			if _, nested := e.(*ast.SequenceNode); nested || text == "" || strings.Contains(text, ",") {
				return ""
			}
			elements = append(elements, text)
		}
		return strings.Join(elements, ",")
	}
	return ""
}

func (n node) number(text string) (any, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, Error(n.pos, "", "%s is out of range", text)
	}
	return x, nil
}

// Suggest returns a hint for an unknown name: the most similar name or, if none is similar, the list of all names.
func Suggest(got string, names []string, all string) string {
	best, least := "", len(got)/3+2
	for _, name := range names {
		if d := distance(got, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if len(names) == 0 {
		return all + ": none"
	}
	return all + ": " + strings.Join(names, ", ")
}

// distance returns the Levenshtein distance between a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
