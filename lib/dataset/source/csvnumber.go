package source

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const maxMagnitude = 1e150 // keeps sums of squares finite

// missing lists, in lower case, the cells that stand for a missing value: those that pandas recognises, and some more.
var missing = []string{
	"", "na", "n/a", "nan", "null", "none", "?", "<na>", "#na", "#n/a", "#n/a n/a", "-nan", "1.#ind", "-1.#ind",
	"1.#qnan", "-1.#qnan", "nil", "-",
}

func isMissing(cell string) bool {
	return slices.Contains(missing, strings.ToLower(strings.TrimSpace(cell)))
}

// marks parses numbers. Either the point or the comma is the decimal mark, and the other one may separate thousands. If
// the mark is not given, it is detected from the numbers: 1,5 has a decimal comma and 1,234.5 a decimal point, while
// 1,234 and 1.234 are ambiguous.
type marks struct {
	path    string
	decimal rune // '.' or ','; 0: to be detected
	// The first cells with a decimal point, a decimal comma, and a comma that may be either; "": none.
	point, comma, first string
	open                []openNumber
}

// openNumber is an ambiguous number. Until the decimal mark is known, the mark in the number counts as decimal.
type openNumber struct {
	at    int     // index of the value
	value float64 // the number if the mark separates thousands
	comma bool    // whether the mark is a comma
}

// number parses a cell. at is the index that its value will have. If the cell holds no usable number, reason says why.
// where describes the position of the cell.
func (m *marks) number(cell string, at int, where func() string) (v float64, reason string) {
	cell = strings.TrimSpace(cell)
	if isMissing(cell) {
		return 0, fmt.Sprintf("the value is missing (the cell is %q)", cell)
	}
	var ok bool
	cell = typeset.Replace(cell)
	comma := strings.Contains(cell, ",")
	switch {
	case m.decimal == ',':
		v, ok = parsePoint(swapMarks(cell))
	case m.decimal == '.' || !comma && (m.point != "" || !strings.Contains(cell, ".")):
		v, ok = parsePoint(cell)
	default:
		v, ok = m.weigh(cell, comma, at, where)
	}
	if !ok || !(math.Abs(v) <= maxMagnitude) {
		return 0, fmt.Sprintf("%.100q is not a number from -%g to %g", cell, maxMagnitude, maxMagnitude)
	}
	return v, ""
}

// weigh parses a number with a comma or a point, and records what the number reveals about the decimal mark.
func (m *marks) weigh(cell string, comma bool, at int, where func() string) (v float64, ok bool) {
	withPoint, isPoint := parsePoint(cell)
	withComma, isComma := parsePoint(swapMarks(cell))
	note := func(first *string) {
		if *first == "" {
			*first = fmt.Sprintf("%.50q in %s", cell, where())
		}
	}
	switch {
	case isPoint && isComma && comma:
		note(&m.first)
		m.open = append(m.open, openNumber{at, withPoint, true})
		return withComma, true
	case isPoint && isComma:
		m.open = append(m.open, openNumber{at, withComma, false})
	case isPoint:
		note(&m.point)
	case isComma:
		note(&m.comma)
		return withComma, true
	}
	return withPoint, isPoint
}

// forget drops the open numbers with index n or more, which belong to a row that is left out.
func (m *marks) forget(n int) {
	for len(m.open) > 0 && m.open[len(m.open)-1].at >= n {
		m.open = m.open[:len(m.open)-1]
	}
}

// settle sets the values of open numbers. It returns an error if the decimal mark is ambiguous. 1.234 is read with a
// decimal point unless another number has a decimal comma.
func (m *marks) settle(rows []float64) error {
	const hint = "--decimal=point reads 1,234 as 1234, --decimal=comma reads it as 1.234"
	openComma := slices.ContainsFunc(m.open, func(o openNumber) bool { return o.comma })
	switch {
	case m.comma != "" && m.point != "":
		return fileError(hint, m.path, "numbers", "one decimal mark", "%s and %s", m.comma, m.point)
	case m.comma == "" && m.point == "" && openComma:
		return fileError(hint, m.path, "numbers", "a clear decimal mark", "%s", m.first)
	}
	for _, o := range m.open {
		if o.comma == (m.comma == "") {
			rows[o.at] = o.value
		}
	}
	return nil
}

// typeset replaces the typographic minus sign by a hyphen and drops the spaces that French tables put between
// thousands: no-break space and narrow no-break space.
var typeset = strings.NewReplacer("\u2212", "-", "\u00a0", "", "\u202f", "")

// grouped matches a number with a decimal point whose thousands are separated by commas.
var grouped = regexp.MustCompile(`^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$`)

// parsePoint parses a number with a decimal point.
func parsePoint(s string) (v float64, ok bool) {
	if strings.Contains(s, ",") {
		if !grouped.MatchString(s) {
			return 0, false
		}
		s = strings.ReplaceAll(s, ",", "")
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

func swapMarks(s string) string { return swap.Replace(s) }

var swap = strings.NewReplacer(".", ",", ",", ".")
