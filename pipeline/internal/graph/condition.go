package graph

import (
	"slices"

	"vapo/lib/contract"
	"vapo/pipeline/internal/condition"
	"vapo/pipeline/internal/recipe"
)

// condition checks the terms of the step's condition: each must name a parameter, or the score of a step that has one.
// It adds the steps whose scores are compared to n.Needs.
func (n *Node) condition(r *recipe.Recipe, nodes []*Node) error {
	for _, term := range n.Step.When {
		for _, name := range term.Steps {
			i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name() == name })
			if i < 0 {
				return recipe.Error(term.Pos, recipe.Suggest(name, r.StepNames(), "the steps are"),
					"step %s: when: the recipe has no step %s", n.Name(), name)
			}
			n.Mentions[name] = nodes[i]
			if err := n.term(term, nodes[i]); err != nil {
				return err
			}
			if term.Name == condition.Value && !slices.Contains(n.Needs, name) {
				n.Needs = append(n.Needs, name)
			}
		}
	}
	return nil
}

// term checks one comparison. of is the step whose score or parameter is compared.
func (n *Node) term(term recipe.Term, of *Node) error {
	d := of.Stage.Description
	if of.Step.Command != nil {
		return recipe.Error(term.Pos, "compare a parameter or the score of a step that runs a stage",
			"step %s: when: step %s is a command, which has neither parameters nor a score", n.Name(), of.Name())
	}
	_, isText := term.Const.(string)
	if term.Name == condition.Value {
		if _, ok := Score(d); !ok {
			return recipe.Error(term.Pos, "only a step with a score has a value",
				"step %s: when: step %s (stage %s) has no score", n.Name(), of.Name(), d.Stage)
		}
		if isText {
			return recipe.Error(term.Pos, "", "step %s: when: a score is a number, not text", n.Name())
		}
		return nil
	}
	p, ok := d.Param(term.Name)
	if !ok {
		var all []string
		if _, ok := Score(d); ok {
			all = append(all, condition.Value)
		}
		for _, p := range d.Params {
			all = append(all, p.Name)
		}
		return recipe.Error(term.Pos, recipe.Suggest(term.Name, all, "its values are"),
			"step %s: when: step %s (stage %s) has no parameter %s", n.Name(), of.Name(), d.Stage, term.Name)
	}
	if number := p.Type == "int" || p.Type == "float"; number == isText || !number && p.Type != "string" {
		return recipe.Error(term.Pos, "compare int and float parameters with numbers, and string parameters with quoted text",
			"step %s: when: parameter %s is of type %s", n.Name(), p.Name, p.Type)
	}
	return nil
}

// Score returns the output that holds the score of a stage; ok is false if the stage has none.
func Score(d contract.Description) (p contract.Port, ok bool) {
	i := slices.IndexFunc(d.Outputs, func(p contract.Port) bool { return p.Score && p.Media == contract.MediaJSON })
	if i < 0 {
		return p, false
	}
	return d.Outputs[i], true
}
