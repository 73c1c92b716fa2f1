// Package condition reads the conditions under which steps run, such as
//
//	score.*.value < 100 and data.source == 'mnist'
//
// The language should stay small: a condition only compares parameters and scores with constants, so it can be checked
// before a run and shown with the compared values after the run. A decision that needs more belongs in a command.
//
//	condition  = comparison { "and" comparison } .
//	comparison = STEP "." [ "*" "." ] NAME ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) ( NUMBER | 'TEXT' | "TEXT" ) .
package condition

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Value is the name of a step's score. Any other name is that of a parameter.
const Value = "value"

// Comparison is one comparison of a condition.
type Comparison struct {
	Step   string
	All    bool   // written with *: the comparison must hold for every instance of the step
	Name   string // Value or a parameter
	Op     string
	Const  any // an int64, a uint64 above the largest int64, a float64 or a string
	Text   string
	Offset int // of the comparison in the condition, in bytes
}

// Error is a mistake in a condition.
type Error struct {
	Offset int // in bytes
	Text   string
}

func (e *Error) Error() string { return e.Text }

var (
	term   = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]*)\.(\*\.)?([A-Za-z0-9_-]+)`)
	sign   = regexp.MustCompile(`^(<=|>=|==|!=|<|>)`)
	number = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`)
	quoted = regexp.MustCompile(`^('[^']*'|"[^"]*")`)
	and    = regexp.MustCompile(`^and(\s|$)`)
)

// Parse reads a condition. An error is an *Error.
func Parse(text string) ([]Comparison, error) {
	r := reader{text: text}
	var out []Comparison
	for {
		c, err := r.comparison()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if r.space(); r.at == len(text) {
			return out, nil
		}
		if r.take(and) == "" {
			return nil, r.error("expected the word and, or the end of the condition")
		}
	}
}

type reader struct {
	text string
	at   int
}

func (r *reader) error(format string, args ...any) error {
	return &Error{r.at, fmt.Sprintf(format, args...)}
}

func (r *reader) space() { r.at = len(r.text) - len(strings.TrimLeft(r.text[r.at:], " \t\r\n")) }

// take skips white space and then what pattern matches, which it returns.
func (r *reader) take(pattern *regexp.Regexp) string {
	r.space()
	found := pattern.FindString(r.text[r.at:])
	r.at += len(found)
	return found
}

func (r *reader) comparison() (Comparison, error) {
	r.space()
	c := Comparison{Offset: r.at}
	m := term.FindStringSubmatch(r.text[r.at:])
	if m == nil {
		return c, r.error("expected STEP.value or STEP.PARAMETER")
	}
	r.at += len(m[0])
	c.Step, c.All, c.Name = m[1], m[2] != "", m[3]
	if c.Op = r.take(sign); c.Op == "" {
		return c, r.error("expected one of < <= > >= == !=")
	}
	if text := r.take(quoted); text != "" {
		if c.Op != "==" && c.Op != "!=" {
			return c, r.error("text can only be compared with == and !=")
		}
		c.Const = text[1 : len(text)-1]
	} else {
		v, err := constant(r.take(number))
		if err != nil {
			return c, r.error("expected a number, or text in quotes")
		}
		c.Const = v
	}
	c.Text = r.text[c.Offset:r.at]
	return c, nil
}

// constant returns the value of a number. Integers stay exact, because a float64 has only 53 bits.
func constant(text string) (any, error) {
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return v, nil
	}
	if v, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 64); err == nil {
		return v, nil
	}
	return strconv.ParseFloat(text, 64)
}

// exact returns a number without rounding it, or nil if v is not a number.
func exact(v any) *big.Float {
	switch v := v.(type) {
	case int64:
		return new(big.Float).SetInt64(v)
	case uint64:
		return new(big.Float).SetUint64(v)
	case float64:
		return new(big.Float).SetFloat64(v)
	}
	return nil
}

// Holds reports whether the comparison holds for v, the value of the score or parameter. It returns an error if v
// cannot be compared with the constant.
func (c Comparison) Holds(v any) (bool, error) {
	if text, ok := c.Const.(string); ok {
		s, ok := v.(string)
		if !ok {
			return false, fmt.Errorf("%s is %v, which is not text", c.Name, v)
		}
		return (s == text) == (c.Op == "=="), nil
	}
	if x, ok := v.(float64); ok && math.IsNaN(x) {
		return false, nil
	}
	x := exact(v)
	if x == nil {
		return false, fmt.Errorf("%s is %v, which is not a number", c.Name, v)
	}
	order := x.Cmp(exact(c.Const))
	switch c.Op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	case "==":
		return order == 0, nil
	}
	return order != 0, nil
}
