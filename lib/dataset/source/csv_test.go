package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
)

func csvFile(t testing.TB, text string) string { return writeArchive(t, "x.csv", []byte(text)) }

// TestCSVAgainstNumPy reads a file that Python's csv module wrote. The values equal those that Python reads, and the
// means and deviations equal NumPy's.
func TestCSVAgainstNumPy(t *testing.T) {
	raw, err := os.ReadFile("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		X         [][]float64
		Labels    []int64
		Classes   []string
		Mean, Std []float64
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/table.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"testdata/table.csv",
		writeArchive(t, "t.csv.gz", gz(t, text)),
		csvFile(t, "\ufeff"+string(text)),
	} {
		table, err := decode(t, path, CSVOptions{Path: path, Label: "kind"})
		if err != nil {
			t.Fatal(err)
		}
		all := make([]int, len(want.X))
		for i, x := range want.X {
			all[i] = i
			if !slices.Equal(table.rows[4*i:4*i+4], x) || table.labels[i] != want.Classes[want.Labels[i]] {
				t.Fatalf("%s: row %d is %v %q, want %v %q", path, i, table.rows[4*i:4*i+4], table.labels[i], x,
					want.Classes[want.Labels[i]])
			}
		}
		columns, err := table.moments(all)
		if err != nil {
			t.Fatal(err)
		}
		for j, c := range columns {
			meanOff, stdOff := math.Abs(c.Mean-want.Mean[j]), math.Abs(c.Std-want.Std[j])
			if meanOff > 1e-14*math.Abs(want.Mean[j])+1e-24 || stdOff > 1e-13*want.Std[j] {
				t.Errorf("%s: mean %v, std %v, NumPy has %v and %v", c.Name, c.Mean, c.Std, want.Mean[j], want.Std[j])
			}
		}
		if got := classesOf(table.labels); !slices.Equal(got, want.Classes) {
			t.Errorf("classes %q, want %q", got, want.Classes)
		}
	}
}

func decode(t testing.TB, path string, o CSVOptions) (*table, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return decodeTable(f, info.Size(), o)
}

// TestCSVSplit: every row is in one split, training rows have mean 0 and deviation 1, and Columns converts the points
// back to the values in the file.
func TestCSVSplit(t *testing.T) {
	var text strings.Builder
	text.WriteString("id,a,b\n")
	for i := range 50 {
		fmt.Fprintf(&text, "%d,%.2f,%d\n", i, 5+math.Sin(float64(i)), i*i)
	}
	o := CSVOptions{Path: csvFile(t, text.String()), TestFraction: 0.2, Seed: 5}
	l, err := LoadCSV(o)
	if err != nil {
		t.Fatal(err)
	}
	if l.Train.N != 40 || l.Test.N != 10 || l.Train.D != 3 || l.Train.Labels != nil ||
		l.Train.Split != "train" || l.Test.Split != "test" {
		t.Fatalf("train %+v, test %+v, want 40 and 10 points of 3 columns without labels", l.Train, l.Test)
	}
	for j := range 3 {
		var values []float64
		for i := range l.Train.N {
			values = append(values, float64(l.Train.Point(i)[j]))
		}
		mean, std := stat.PopMeanStdDev(values, nil)
		if math.Abs(mean) > 1e-7 || math.Abs(std-1) > 1e-6 {
			t.Errorf("column %d: mean %v, std %v, want 0 and 1", j, mean, std)
		}
	}
	var rows []string
	for _, p := range []*dataset.Points{l.Train, l.Test} {
		var b bytes.Buffer
		if err := dataset.WriteCSV(&b, p, p.Columns); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if lines[0] != "id,a,b" {
			t.Errorf("header %q, want \"id,a,b\"", lines[0])
		}
		rows = append(rows, lines[1:]...)
	}
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("%d,%v,%d", i, math.Round(100*(5+math.Sin(float64(i))))/100, i*i))
	}
	slices.Sort(rows)
	slices.Sort(want)
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("points converted back to the values in the file (-want +got):\n%s", d)
	}
	again, err := LoadCSV(o)
	if d := cmp.Diff(l, again); d != "" || err != nil {
		t.Errorf("a second reading differs: %v %s", err, d)
	}
	o.Seed++
	if other, err := LoadCSV(o); err != nil || slices.Equal(other.Test.X, l.Test.X) {
		t.Errorf("another seed gives the same split (%v)", err)
	}
	o.Columns, o.Label, o.Train, o.Test = []string{"b", "a"}, "id", 7, 2
	some, err := LoadCSV(o)
	if err != nil || some.Train.N != 7 || some.Test.N != 2 ||
		some.Train.Columns[0].Name != "b" || some.Train.D != 2 ||
		len(some.Train.Classes) != 50 || some.Train.Classes[10] != "10" {
		t.Errorf("7 and 2 rows of the columns b and a, labelled by id: %+v (%v), want 50 classes", some, err)
	}
	if digest, err := Digest("csv", o.Path); err != nil || digest != l.Digest {
		t.Errorf("Digest returns %s (%v), LoadCSV %s, want the same", digest, err, l.Digest)
	}
}

func TestCSVRefuses(t *testing.T) {
	const good = "1,2\n3,4\n5,7\n"
	for name, c := range map[string]struct {
		text string
		o    CSVOptions
		want string
	}{
		"empty":         {"", CSVOptions{}, "it is empty"},
		"only a header": {"a,b\n", CSVOptions{}, "3 or more"},
		"missing": {"a,b\n1,2\n3,\n", CSVOptions{},
			`line 3, column b (character 3): the value is missing (the cell is "")`},
		"NA": {"a,b\n1,2\nNA,3\n", CSVOptions{},
			`line 3, column a (character 1): the value is missing (the cell is "NA")`},
		"text":     {"a,b\n1,2\n3, x4\n", CSVOptions{}, `line 3, column b (character 3): "x4" is not a number`},
		"infinite": {"a,b\n1,2\n3,inf\n", CSVOptions{}, "is not a number"},
		"huge":     {"a,b\n1,2\n3,1e200\n", CSVOptions{}, "is not a number from -"},
		"no label": {
			"a,b\n1,2\n3, \n", CSVOptions{Label: "b"},
			"line 3, column b (character 3): the label is missing",
		},
		"ragged":     {"a,b\n1,2\n3\n", CSVOptions{}, "line 3, character 1: expected a row"},
		"bare quote": {"a,b\n1,2\n3,4\"5\n", CSVOptions{}, "line 3, character 4"},
		"open quote": {"a,b\n1,\"2\n3,4\n", CSVOptions{}, "line 3"},
		"constant":   {"a,b\n1,2\n1,4\n1,7\n", CSVOptions{}, "column a: expected values that differ"},
		"nearly constant": {
			"a,b\n1,1e-170\n2,3e-170\n3,5e-170\n", CSVOptions{},
			"column b: expected values whose standard deviation can be represented, got values from ",
		},
		"two of a name":  {"a,a\n" + good, CSVOptions{}, `"a" 2 times`},
		"nameless":       {"a,\n" + good, CSVOptions{}, "column 2: expected a name"},
		"unknown column": {"a,b\n" + good, CSVOptions{Columns: []string{"c"}}, `a column "c"`},
		"unknown label":  {"a,b\n" + good, CSVOptions{Label: "c"}, `a column "c"`},
		"label as number": {
			"a,b\n" + good, CSVOptions{Columns: []string{"a", "b"}, Label: "b"}, "columns other than the label",
		},
		"column twice": {"a,b\n" + good, CSVOptions{Columns: []string{"a", "a"}}, `"a" twice`},
		"only a label": {"a\n1\n2\n3\n", CSVOptions{Label: "a"}, "none"},
		"cut gzip":     {string(gz(t, []byte("a,b\n"+good))[:20]), CSVOptions{}, "truncated"},
		"few rows":     {"a,b\n" + good, CSVOptions{Train: 3}, "n-train is 3, but the train split has 2 samples"},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Path = csvFile(t, c.text)
			l, err := LoadCSV(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || failure.ClassOf(err) == failure.Bug {
				t.Errorf("%+v, error %v, want one that has a class and contains %q", l, err, c.want)
			}
		})
	}
	if _, err := LoadCSV(CSVOptions{Path: t.TempDir()}); err == nil {
		t.Error("a directory is accepted")
	}
}

func TestCSVDropMissing(t *testing.T) {
	text := "a,b,c\n1,2,x\n3,,y\n4,oops,y\n5,6,\n7,8,y\n9,1,x\n"
	l, err := LoadCSV(CSVOptions{Path: csvFile(t, text), Label: "c", DropMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	if l.Dropped.N != 3 || !strings.Contains(l.Dropped.First, "line 3, column b (character 3)") ||
		l.Train.N+l.Test.N != 3 || !slices.Equal(l.Train.Classes, []string{"x", "y"}) {
		t.Errorf("%+v with %d + %d rows, want 3 rows of classes x and y, and 3 dropped, the first in line 3, column b",
			l, l.Train.N, l.Test.N)
	}
}

// FuzzCSV: a table is either rejected with a classified error, or its splits have all its rows and can be written.
func FuzzCSV(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "table.csv"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, "kind", true)
	f.Add(gz(f, text), "", true)
	f.Add([]byte("\ufeffa,b\r\n1,2\r\n3,-4e9\r\n0x1p-3,nan\r\n7,8"), "", false)
	f.Add([]byte("a\n1\n2\n\"3\"\n"), "", false)
	f.Fuzz(func(t *testing.T, data []byte, label string, drop bool) {
		o := CSVOptions{Path: "x", Label: label, DropMissing: drop, TestFraction: 0.3}
		table, err := decodeTable(bytes.NewReader(data), int64(len(data)), o)
		var train, test *dataset.Points
		if err == nil {
			train, test, err = table.split(o)
		}
		if err != nil {
			if class := failure.ClassOf(err); class != failure.Input && class != failure.Integrity {
				t.Errorf("error %v of class %v, want an input or integrity error", err, class)
			}
			return
		}
		for _, p := range []*dataset.Points{train, test} {
			if len(p.X) != p.N*p.D || len(p.Columns) != p.D || (train.N+test.N)*p.D != len(table.rows) {
				t.Errorf("%d points of %d dimensions with %d values and %d columns, from a table of %d values",
					p.N, p.D, len(p.X), len(p.Columns), len(table.rows))
			}
			if err := dataset.WriteCSV(&bytes.Buffer{}, p, p.Columns); err != nil {
				t.Error(err)
			}
		}
	})
}
