package report

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// number renders an integer with all its digits, such as 60,000, and any other value with about four significant
// digits. It uses an exponent only for very large or very small values.
func number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Sprint(v)
	case v == math.Trunc(v) && a < 1e4: // four digits need no comma
		return strconv.FormatInt(int64(v), 10)
	case v == math.Trunc(v) && a < 1e15:
		return humanize.Comma(int64(v))
	case a >= 1e-3 && a < 1e6:
		digits := max(0, 3-int(math.Floor(math.Log10(a))))
		s := strconv.FormatFloat(v, 'f', digits, 64)
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// shortDigest returns the first 12 hexadecimal digits of a digest or key. The appendix of the page shows all digits.
func shortDigest(d string) string {
	_, hex, ok := strings.Cut(d, ":")
	if !ok {
		hex = d
	}
	if r := []rune(hex); len(r) > 12 {
		return string(r[:12])
	}
	return hex
}

// value renders a decoded JSON value on one line.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case float64:
		return number(v)
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	if m, ok := v.(map[string]any); ok && flat(m) {
		var parts []string
		for _, k := range sorted(m) {
			parts = append(parts, k+" "+value(m[k]))
		}
		return strings.Join(parts, ", ")
	}
	if list, ok := v.([]any); ok && plain(list) {
		var parts []string
		for _, e := range list {
			parts = append(parts, value(e))
		}
		return strings.Join(parts, " ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const long = 400
	if r := []rune(string(b)); len(r) > long {
		return string(r[:long]) + " …"
	}
	return string(b)
}

// flat reports whether m is a short object whose values are scalars or plain lists.
func flat(m map[string]any) bool {
	for _, v := range m {
		switch v := v.(type) {
		case map[string]any:
			return false
		case []any:
			if !plain(v) {
				return false
			}
		}
	}
	return len(m) > 0 && len(m) <= 8
}

// plain reports whether a list is short and holds only scalars.
func plain(list []any) bool {
	for _, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
	}
	return len(list) <= 16
}
