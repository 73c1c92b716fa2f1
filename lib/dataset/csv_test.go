package dataset

import (
	"bytes"
	"strings"
	"testing"

	"vapo/lib/failure"

	"github.com/google/go-cmp/cmp"
)

func TestWriteCSVUnits(t *testing.T) {
	p := &Points{N: 2, D: 2, X: []float32{1, -0.5, 0, 1e-9}, Labels: []int64{1, 0}}
	var b bytes.Buffer
	const plain = "x1,x2,label\n1,-0.5,1\n0,0,0\n"
	if err := WriteCSV(&b, p, []Column{{"x1", 0, 1}, {"x2", 0, 1}}); err != nil || b.String() != plain {
		t.Errorf("CSV %q (%v), want %q", b.String(), err, plain)
	}
	b.Reset()
	p.Classes, p.Labels = []string{"so, so", "good"}, []int64{0, 1}
	const want = "big,small,label\n1001000000000,-5e-13,\"so, so\"\n1000000000000,0,good\n"
	if err := WriteCSV(&b, p, []Column{{"big", 1e12, 1e9}, {"small", 0, 1e-12}}); err != nil || b.String() != want {
		t.Errorf("CSV %q (%v), want %q", b.String(), err, want)
	}
	// No two columns have the same name.
	for other, want := range map[string]string{"x2": "label,x2,label2\n", "label2": "label,label2,label3\n"} {
		b.Reset()
		err := WriteCSV(&b, p, []Column{{"label", 0, 1}, {other, 0, 1}})
		if err != nil || !strings.HasPrefix(b.String(), want) {
			t.Errorf("CSV %q (%v), want the header %q", b.String(), err, want)
		}
	}
	if err := WriteCSV(&b, p, []Column{{"one", 0, 1}}); err == nil {
		t.Error("one column for two coordinates is accepted")
	}
}

func TestColumnsInTables(t *testing.T) {
	sound := &Points{
		N: 1, D: 1, X: []float32{2}, Columns: []Column{{"a", 1, 2}},
		Labels: []int64{0}, Classes: []string{"x"},
	}
	if d := cmp.Diff(Set(sound), reread(t, sound)); d != "" {
		t.Error(d)
	}
	for name, meta := range map[string][2]string{
		"two columns":  {MetaColumns, `[{"name":"a","mean":0,"std":1},{"name":"b","mean":0,"std":1}]`},
		"no deviation": {MetaColumns, `[{"name":"a","mean":0,"std":0}]`},
		"no name":      {MetaColumns, `[{"mean":0,"std":1}]`},
		"no list":      {MetaColumns, `{}`},
		"few classes":  {MetaClasses, `[]`},
	} {
		table := sound.Table()
		table.Meta[meta[0]] = meta[1]
		if _, err := FromTable(table); failure.ClassOf(err) != failure.Input {
			t.Errorf("%s: error %v, want an input error", name, err)
		}
	}
}
