package stage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// condition is what the tag only:"parameter=value|value" says: that a parameter has an effect with these values of another
// one alone. With other values it must be left at its default, since whoever sets it believes that it does something, and
// two runs that differ in it would be keyed as two while they are one.
type condition struct {
	on     *kong.Flag
	values []string
}

// conditions reads the tags; flags holds all parameters. It panics on one that breaks the contract.
func conditions(flags []*kong.Flag) map[string]condition {
	out := map[string]condition{}
	for _, f := range flags {
		text := f.Tag.Get("only")
		if text == "" {
			continue
		}
		name, values, ok := strings.Cut(text, "=")
		i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == name })
		if !ok || i < 0 {
			panic(fmt.Sprintf("stage: parameter %s has only:%q, expected PARAMETER=VALUE|VALUE of another parameter", f.Name, text))
		}
		c := condition{flags[i], strings.Split(values, "|")}
		if enum := c.on.EnumSlice(); c.on.Enum != "" {
			for _, v := range c.values {
				if !slices.Contains(enum, v) {
					panic(fmt.Sprintf("stage: parameter %s has only:%q, but %s is never %s", f.Name, text, name, v))
				}
			}
		}
		out[f.Name] = c
	}
	return out
}

// idle refuses parameters that were set and have no effect with the others as they are. defaults are those of describe.
func (s *paramSet[P]) idle(defaults []contract.Param) error {
	conditions := conditions(s.flags)
	for i, f := range s.flags {
		c, ok := conditions[f.Name]
		if !ok {
			continue
		}
		is := fmt.Sprint(valueOf(c.on))
		if v := valueOf(f); !slices.Contains(c.values, is) && !sameValue(v, defaults[i].Default) {
			return failure.New(failure.Usage, fmt.Sprintf("leave it out, or set %s to %s", c.on.Name, strings.Join(c.values, " or ")),
				"parameter %s is %s, but it has no effect while %s is %s", f.Name, contract.Show(v), c.on.Name, is)
		}
	}
	return nil
}
