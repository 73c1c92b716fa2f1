package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"vapo/lib/failure"
)

// jsonFlag is the flag of commands that can print a document for other programs instead of text for people. README.md
// describes the documents. Later versions may add fields; renaming, removing or redefining one needs a new schema.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print one JSON document instead of a table."`
}

// document holds the fields with which every document begins.
type document struct {
	Schema int `json:"schema"`
}

// version1 is the current schema of all documents.
var version1 = document{Schema: 1}

// print prints a document as JSON if the flag is set. Otherwise it prints what table writes, with columns aligned at
// tabs.
func (f jsonFlag) print(a *app, document any, table func(w io.Writer)) error {
	if !f.JSON {
		var text bytes.Buffer // because a tabwriter writes every cell separately
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		table(w)
		_ = w.Flush() // writing to a buffer cannot fail
		_, err := a.stdout.Write(text.Bytes())
		return err
	}
	data, err := encode(document, "")
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(data, '\n'))
	return err
}

// printList prints a document as JSON. The last field of the document is a list that may not fit into memory. empty is
// the document with an empty list; each passes the items of the list to a function, one by one.
func (a *app) printList(empty any, each func(item func(any) error) error) error {
	frame, err := encode(empty, "")
	if err != nil {
		return err
	}
	head, end := bytes.CutSuffix(frame, []byte("]\n}"))
	if !end {
		return failure.New(failure.Bug, "", "the document %s does not end with a list", frame)
	}
	_, err = a.stdout.Write(head)
	between := "\n    "
	if err == nil {
		err = each(func(item any) error {
			data, err := encode(item, "    ")
			if err == nil {
				_, err = fmt.Fprintf(a.stdout, "%s%s", between, data)
			}
			between = ",\n    "
			return err
		})
	}
	if err == nil && between[0] == ',' {
		_, err = fmt.Fprint(a.stdout, "\n  ")
	}
	if err == nil {
		_, err = fmt.Fprint(a.stdout, "]\n}\n")
	}
	return err
}

// encode returns v as JSON. All lines but the first begin with indent.
func encode(v any, indent string) ([]byte, error) {
	data, err := json.MarshalIndent(v, indent, "  ")
	// encoding/json does not escape DEL. a.stdout would, but not in the form that JSON requires.
	return bytes.ReplaceAll(data, []byte{0x7f}, []byte(`\u007f`)), err
}

// local formats a time for people.
func local(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
