package stage

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
)

// bound reads a tag min:"…" or max:"…", a number that a value of the parameter may be; nil without one. It panics on a tag
// that breaks the contract.
func bound(f *kong.Flag, tag string) any {
	text := f.Tag.Get(tag)
	if text == "" {
		return nil
	}
	var v any
	var err error
	switch typeOf(f) {
	case "int":
		v, err = strconv.ParseInt(text, 10, 64)
	case "float":
		v, err = strconv.ParseFloat(text, 64)
	default:
		err = fmt.Errorf("it is no number")
	}
	if err != nil {
		panic(fmt.Sprintf("stage: parameter %s has %s:%q: %v", f.Name, tag, text, err))
	}
	return v
}

// within refuses numbers out of their parameters' bounds.
func (s *paramSet[P]) within() error {
	for _, f := range s.flags {
		v := valueOf(f)
		low, high := bound(f, "min"), bound(f, "max")
		if low != nil && compare(v, low) < 0 {
			return failure.New(failure.Usage, "", "parameter %s is %v, expected %v or more", f.Name, v, low)
		}
		if high != nil && compare(v, high) > 0 {
			return failure.New(failure.Usage, "", "parameter %s is %v, expected at most %v", f.Name, v, high)
		}
	}
	return nil
}

// compare compares the value of a parameter with a bound of its type.
func compare(v, bound any) int {
	switch v := v.(type) {
	case float64:
		return cmp.Compare(v, bound.(float64))
	case int64:
		return cmp.Compare(v, bound.(int64))
	}
	return 1 // a uint64 above the range of int64
}
