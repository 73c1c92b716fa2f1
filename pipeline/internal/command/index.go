package command

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"vapo/pipeline/internal/recipe"
)

// indexName is the name of the table of files in the directory of an input that collects the outputs of instances.
const indexName = "index.tsv"

// index returns the table of files and their parameters for such an input. Tabs separate the columns, so that shells
// and spreadsheets can read the table. The order of the rows depends only on the parameters, because the key does not
// contain the order in the recipe.
func index(list []recipe.Input) []byte {
	list = slices.SortedFunc(slices.Values(list), func(a, b recipe.Input) int {
		for i := range min(len(a.Bindings), len(b.Bindings)) {
			if c := compare(a.Bindings[i].Value, b.Bindings[i].Value); c != 0 {
				return c
			}
		}
		return 0
	})
	var out bytes.Buffer
	out.WriteString("file")
	for _, b := range list[0].Bindings {
		out.WriteString("\t" + b.Name)
	}
	for _, in := range list {
		fmt.Fprintf(&out, "\n%s", recipe.Label(in.Bindings))
		for _, b := range in.Bindings {
			out.WriteString("\t" + b.Value)
		}
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// compare orders numbers by value, before text.
func compare(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
