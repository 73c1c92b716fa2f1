package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/enginename"
	"vapo/lib/failure"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
)

func csvFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "points.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// sample field prints what the library computes from the averaged or the raw weights, in the order of the input.
func TestFieldCommand(t *testing.T) {
	for _, schedule := range []string{"linear", "vapo"} {
		c := pointsConfig(schedule)
		path := checkpointOf(t, c, nil)
		ck, err := checkpoint.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		const n = 300 // more than one block
		var text strings.Builder
		text.WriteString("x1,x2\n")
		x := make([]float32, 2*n)
		for i := range x {
			x[i] = float32(math.Sin(float64(i * i)))
			fmt.Fprint(&text, x[i], map[bool]string{true: "\n", false: ","}[i%2 == 1])
		}
		be, err := engine.Open(enginename.Tape)
		if err != nil {
			t.Fatal(err)
		}
		for flag, group := range map[string]string{"ema": checkpoint.EMA, "raw": checkpoint.Param} {
			weights := map[string][]float32{}
			for name, v := range ck.Group(group) {
				weights[name] = v.Data
			}
			f, err := potential.NewField(be, c, weights, n)
			if err != nil {
				t.Fatal(err)
			}
			times, phi, grad := make([]float32, n), make([]float32, n), make([]float32, 2*n)
			for i := range times {
				times[i] = 0.3
			}
			if err := f.Eval(x, times, phi, grad); err != nil {
				t.Fatal(err)
			}
			points := csvFile(t, text.String())
			args := []string{"field", "--checkpoint=" + path, "--points=" + points, "--t=0.3", "--backend=tape"}
			if flag != "ema" { // the default
				args = append(args, "--weights="+flag)
			}
			code, stdout, stderr := sample(t, args...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			rows := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if rows[0] != "phi,g1,g2" || len(rows) != n+1 {
				t.Fatalf("header %q and %d rows, want phi,g1,g2 and %d", rows[0], len(rows)-1, n)
			}
			for i, row := range rows[1:] {
				cells := strings.Split(row, ",")
				for k, want := range []float32{phi[i], grad[2*i], grad[2*i+1]} {
					got, err := strconv.ParseFloat(cells[k], 32)
					if err != nil || math.Abs(got-float64(want)) > 1e-5*(1e-3+math.Abs(float64(want))) {
						t.Fatalf("%s, %s: row %d is %s, want %v", schedule, flag, i, row, want)
					}
					if again := fmt.Sprintf("%.9g", float32(got)); again != cells[k] {
						t.Fatalf("%s is not the %%.9g form of a float32 (%s)", cells[k], again)
					}
				}
			}
		}
	}
}

// The field is finite at both ends of the path.
func TestFieldAtTheEnds(t *testing.T) {
	points := csvFile(t, "x1,x2\n0.1,-2\n")
	for _, schedule := range []string{"linear", "vapo"} {
		path := checkpointOf(t, pointsConfig(schedule), nil)
		for _, at := range []string{"0", "1"} {
			code, stdout, stderr := sample(t, "field", "--checkpoint="+path, "--points="+points, "--t="+at)
			if code != 0 || strings.Contains(stdout, "NaN") || strings.Contains(stdout, "Inf") {
				t.Errorf("%s at t = %s: exit %d, want 0 and neither NaN nor infinity\n%s%s", schedule, at, code, stdout, stderr)
			}
		}
	}
}

func TestFieldReadsStandardInput(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	c := exec.Command(binary, "field", "--checkpoint="+ck, "--points=-", "--t=0.5")
	c.Stdin = strings.NewReader("x1,x2\r\n1e-3,2\r\n\r\n\"3\",-4.5E2\r\n")
	out, err := c.Output()
	if rows := strings.Count(string(out), "\n"); err != nil || rows != 3 {
		t.Errorf("%d lines, want a header and 2 rows (%v)\n%s", rows, err, out)
	}
	c = exec.Command(binary, "field", "--checkpoint="+checkpointOf(t, imagesConfig(), nil), "--points=-", "--t=0.5")
	var header, row []string
	for k := range 16 {
		header, row = append(header, fmt.Sprintf("x%d", k+1)), append(row, "0.5")
	}
	c.Stdin = strings.NewReader(strings.Join(header, ",") + "\n" + strings.Join(row, ",") + "\n")
	// An untrained network computes |x|²/2.
	if out, err := c.Output(); err != nil || !strings.HasSuffix(string(out), "\n2"+strings.Repeat(",0.5", 16)+"\n") {
		t.Errorf("want Phi = 2 and a gradient that equals x (%v)\n%s", err, out)
	}
}

func TestFieldRefuses(t *testing.T) {
	velocity := pointsConfig("linear")
	velocity.Output = homotopy.Velocity
	code, _, stderr := sample(t, "field", "--checkpoint="+checkpointOf(t, velocity, nil), "--t=0.5",
		"--points="+csvFile(t, "x1,x2\n1,2\n"))
	if code != failure.Input || !strings.Contains(stderr, "sample field needs a potential") {
		t.Errorf("a network without a potential: exit %d, want %d and a message that asks for one: %s", code, failure.Input,
			stderr)
	}
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	for _, c := range []struct {
		csv, says string
	}{
		{"", "empty"},
		{"x1\n1\n", "1 columns"},
		{"x1,x2,x3\n1,2,3\n", "3 columns"},
		{"x2,x1\n1,2\n", `"x2"`},
		{"1,2\n3,4\n", `"1"`},
		{"x1,x2\n1,2\n3\n", "line 3"},
		{"x1,x2\n1,2,3\n", "line 2"},
		{"x1,x2\n1,two\n", "line 2, column x2"},
		{"x1,x2\n1,2\n3,\n", "line 3, column x2"},
		{"x1,x2\nNaN,2\n", "finite"},
		{"x1,x2\n1,-Inf\n", "finite"},
		{"x1,x2\n1,1e39\n", "finite"},
		{"x1,x2\n\"1,2\n", "line 2"},
	} {
		code, stdout, stderr := sample(t, "field", "--checkpoint="+ck, "--points="+csvFile(t, c.csv), "--t=0.5")
		if code != 3 || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("%q: exit %d and %q on standard output, want 3 and a message with %q:\n%s",
				c.csv, code, stdout, c.says, stderr)
		}
	}
	points := csvFile(t, "x1,x2\n1,2\n")
	for _, c := range []struct {
		code failure.Class
		says string
		args []string
	}{
		{2, "--t", []string{"--checkpoint=" + ck, "--points=" + points, "--t=-0.1"}},
		{2, "--t", []string{"--checkpoint=" + ck, "--points=" + points, "--t=nan"}},
		{2, "--t", []string{"--checkpoint=" + ck, "--points=" + points}},
		{2, "--points", []string{"--checkpoint=" + ck, "--t=0.5"}},
		{3, "nosuch", []string{"--checkpoint=" + ck, "--points=nosuch.csv", "--t=0.5"}},
		{3, "nosuch", []string{"--checkpoint=nosuch.arrow", "--points=" + points, "--t=0.5"}},
		{3, "classifier", []string{"--checkpoint=" + classifier(t), "--points=" + points, "--t=0.5"}},
	} {
		code, _, stderr := sample(t, append([]string{"field"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit %d, want %d and a message with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
	}
}

func FuzzReadPoints(f *testing.F) {
	for _, s := range []string{"x1,x2\n1,2\n", "x1,x2\r\n\"1\",-2e3\r\n", "x1,x2\n1\n", "x1", "\"", "x1,x2\nNaN,0\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := readPoints(strings.NewReader(text), "fuzz", 2)
		if err != nil {
			return
		}
		if len(x)%2 != 0 {
			t.Fatalf("%d numbers, expected pairs", len(x))
		}
		for _, v := range x {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("a point holds %v", v)
			}
		}
	})
}
