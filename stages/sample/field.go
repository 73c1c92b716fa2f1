package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/sampling"
	"vapo/lib/stage"
)

// fieldCmd evaluates Phi and grad Phi at points from a CSV file.
type fieldCmd struct {
	Points string     `help:"CSV file with the header x1,…,xd; - for standard input." required:""`
	T      float64    `name:"t" help:"Time in [0, 1]." required:""`
	Model  modelFlags `embed:""`
}

// Run prints a CSV with the header phi,g1,…,gd and a row for each point, in the order of the input.
func (f *fieldCmd) Run(ctx context.Context, c *stage.Console) error {
	if !(f.T >= 0 && f.T <= 1) {
		return failure.New(failure.Usage, "", "--t is %v, expected a time in [0, 1]", f.T)
	}
	m, label, err := f.Model.open(ctx, c)
	if err != nil {
		return err
	}
	if err := m.config.HasPotential("sample field"); err != nil {
		return fmt.Errorf("checkpoint %s: %w", f.Model.Checkpoint, err)
	}
	in := io.Reader(os.Stdin)
	if f.Points != "-" {
		file, err := os.Open(f.Points)
		if err != nil {
			return failure.New(failure.Input, "", "points: %w", err)
		}
		defer file.Close()
		in = file
	}
	d := m.config.Dim()
	x, err := readPoints(in, f.Points, d)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.Stdout)
	fmt.Fprint(out, "phi")
	for k := range d {
		fmt.Fprintf(out, ",g%d", k+1)
	}
	fmt.Fprintln(out)
	n, block := len(x)/d, sampling.Block(m.config, m.be.Promises())
	field, err := potential.NewGuidedField(m.be, m.config, m.weights, block, m.guidance)
	if err != nil {
		return err
	}
	xb, t := make([]float32, block*d), make([]float32, block)
	phi, grad := make([]float32, block), make([]float32, block*d)
	labels := make([]int, block)
	for i := range t {
		t[i] = float32(f.T)
	}
	for at := 0; at < n; at += block {
		count := min(block, n-at)
		clear(xb)
		copy(xb, x[at*d:(at+count)*d])
		if label != nil {
			for i := range labels {
				labels[i] = label(at + i)
			}
			if err := field.SetLabels(labels); err != nil {
				return err
			}
		}
		if err := field.Eval(xb, t, phi, grad); err != nil {
			return err
		}
		for i := range count {
			fmt.Fprintf(out, "%.9g", phi[i])
			for _, g := range grad[i*d : (i+1)*d] {
				fmt.Fprintf(out, ",%.9g", g)
			}
			fmt.Fprintln(out)
		}
	}
	return out.Flush()
}

// readPoints reads the points [n, d] of a CSV file with the header x1,…,xd.
func readPoints(r io.Reader, name string, d int) ([]float32, error) {
	bad := func(format string, args ...any) error {
		hint := fmt.Sprintf("the file must have the header x1..x%d and one point per row", d)
		return failure.New(failure.Input, hint, "points %s: %w", name, fmt.Errorf(format, args...))
	}
	rows := csv.NewReader(bufio.NewReader(r))
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, bad("the file is empty")
	}
	if err != nil {
		return nil, bad("%w", err)
	}
	if len(header) != d {
		return nil, bad("the header has %d columns, the potential has %d dimensions", len(header), d)
	}
	for k, h := range header {
		if want := fmt.Sprintf("x%d", k+1); h != want {
			return nil, bad("column %d is %q, expected %q", k+1, h, want)
		}
	}
	var x []float32
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) && len(x) == 0 {
			return nil, bad("there are no points under the header")
		}
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err != nil {
			return nil, bad("%w", err)
		}
		for k, s := range row {
			v, err := strconv.ParseFloat(s, 32)
			line, _ := rows.FieldPos(k)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, bad("line %d, column x%d is %q, expected a finite number", line, k+1, s)
			}
			x = append(x, float32(v))
		}
	}
}
