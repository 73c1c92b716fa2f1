package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentsForPrograms checks that every command with --json prints one document with the fields that README.md
// shows.
func TestDocumentsForPrograms(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples [][]byte
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(readme, -1) {
		examples = append(examples, m[1])
	}
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.write("data.json", `{"link": "outside"}`)
	w.must("put", "data.json", "--ref", "odd")
	w.must("run", "chain.yaml")
	w.must("run", "chain.yaml", "--fresh", "--set", "one.random=true") // gives a warning
	warned := strings.Fields(strings.Split(w.must("ls", "runs"), "\n")[1])[0]
	w.must("run", "chain.yaml", "--input", "one.data=ref:odd")
	complete := strings.Fields(strings.Split(w.must("ls", "runs"), "\n")[1])[0]
	w.fails(6, nil, "run", "chain.yaml", "--set", "two.fail=numeric", "--set", "two.salt=9")

	documents := []struct {
		into     func() any
		commands [][]string
	}{
		{func() any { return &runPlan{} }, [][]string{{"plan", "chain.yaml", "--verbose", "--set", "two.steps=5"},
			{"plan", "chain.yaml", "--set", "two.salt=0.25"}}},
		{func() any { return &runStatus{} }, [][]string{{"status"}, {"status", warned}}},
		{func() any { return &outputList{} }, [][]string{{"ls"}}},
		{func() any { return &runList{} }, [][]string{{"ls", "runs"}}},
		{func() any { return &refList{} }, [][]string{{"ls", "refs"}}},
		{func() any { return &actionList{} }, [][]string{{"ls", "actions"}}},
		{func() any { return &lineage{} }, [][]string{{"lineage", "three.out", "--run", complete}}},
		{func() any { return &spaceReport{} }, [][]string{{"store", "du"}}},
		{func() any { return &gcReport{} }, [][]string{{"store", "gc", "--keep-last=0", "--grace=0s"}}},
	}
	if len(examples) != len(documents) {
		t.Fatalf("README.md has %d examples of documents, want %d", len(examples), len(documents))
	}
	for i, d := range documents {
		shown, printed := fields(t, examples[i], d.into()), map[string]bool{}
		for _, args := range d.commands {
			out := w.must(append(args, "--json")...)
			maps.Copy(printed, fields(t, []byte(out), d.into()))
		}
		delete(shown, "steps.changes.note") // rare
		delete(shown, "actions.warnings")   // the toy stage gives none
		if !maps.Equal(shown, printed) {
			t.Errorf("%v: README.md shows\n%v\nbut the command prints\n%v", d.commands[0],
				slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(printed)))
		}
	}
}

// fields returns the names of all fields in a document, as paths. The document must decode into v without unknown
// fields, and nothing may follow it.
func fields(t *testing.T, data []byte, v any) map[string]bool {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%v:\n%s", err, data)
	}
	if dec.More() {
		t.Errorf("more than one document:\n%s", data)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	var walk func(prefix string, node any)
	walk = func(prefix string, node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(prefix, child)
			}
		case map[string]any:
			for name, child := range node {
				names[prefix+name] = true
				if _, byName := child.(map[string]any); !byName { // the entries of a map have no field names
					walk(prefix+name+".", child)
				}
			}
		}
	}
	walk("", tree)
	if !names["schema"] {
		t.Errorf("the document has no field schema:\n%s", data)
	}
	return names
}
