package recipe

import (
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// CommandStage is what a recipe gives as the stage of a step that runs the user's own program.
const CommandStage = "command"

// Command is the part of a step of stage command that describes the program to run. Package command checks it.
type Command struct {
	Run     []string // the program and its arguments
	Env     []Named
	Outputs []Named // values are paths in the directory in which the program runs
	Version string  // identifies the program in the key; "": the program's digest identifies it
	Pos     Pos     // of the list Run
}

// Named is a name with a value. Pos is the position of the value.
type Named struct {
	Name, Value string
	Pos         Pos
}

// commandKeys are the keys that only steps of stage command may have.
var commandKeys = []string{"run", "outputs", "env", "version"}

// parseCommand reads the keys of a step that describe a command.
func (s *Step) parseCommand(fields []entry) error {
	c := &Command{Pos: s.Pos}
	for _, e := range fields {
		if !slices.Contains(commandKeys, e.key) {
			continue
		}
		if s.Stage != CommandStage {
			return Error(e.pos, "put the parameters of a stage under params:",
				"step %s: the key %s is only for steps of stage: command", s.Name, e.key)
		}
		var err error
		switch e.key {
		case "run":
			c.Pos = e.value.pos
			c.Run, err = e.value.words()
		case "outputs":
			c.Outputs, err = e.value.named("outputs of step " + s.Name)
		case "env":
			c.Env, err = e.value.named("env of step " + s.Name)
		case "version":
			if c.Version = e.value.scalar(); c.Version == "" {
				err = e.value.unexpected("version", "a number or text")
			}
		}
		if err != nil {
			return err
		}
	}
	if s.Stage == CommandStage {
		s.Command = c
	}
	return nil
}

// words reads a list whose elements word accepts.
func (n node) words() ([]string, error) {
	list, ok := n.ast.(*ast.SequenceNode)
	if !ok {
		return nil, n.unexpected("run", "a list: [program, argument, …]")
	}
	var words []string
	for _, e := range list.Values {
		word, err := newNode(e, n.pos.File).word("an element of run")
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

// named reads a mapping whose values word accepts.
func (n node) named(what string) ([]Named, error) {
	entries, err := n.mapping(what)
	if err != nil {
		return nil, err
	}
	var out []Named
	for _, e := range entries {
		word, err := e.value.word(e.key + " in " + what)
		if err != nil {
			return nil, err
		}
		out = append(out, Named{e.key, word, e.value.pos})
	}
	return out, nil
}

// word returns the text of a string, number or boolean. It rejects lists and mappings.
func (n node) word(what string) (string, error) {
	switch v := n.ast.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.BoolNode:
		return strconv.FormatBool(v.Value), nil
	case *ast.IntegerNode, *ast.FloatNode:
		return n.scalar(), nil
	}
	return "", n.unexpected(what, "text or a number")
}
