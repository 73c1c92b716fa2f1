package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// tableCmd writes standardised points as a table in the units of the table that they came from.
type tableCmd struct {
	Points string `arg:"" name:"points" help:"Points or samples: a path, ref:name or sha256:…"`
	File   string `arg:"" name:"file" help:"CSV file to write." type:"path"`
	Like   string `help:"Data set that has the column names and units; empty: the points themselves." placeholder:"REF"`
	Force  bool   `help:"Overwrite an existing file."`
}

// tabled is the JSON line that the command prints.
type tabled struct {
	File    string   `json:"file"`
	N       int      `json:"n"`
	Columns []string `json:"columns"`
}

// Run writes the table and prints a JSON line.
func (c *tableCmd) Run(ctx context.Context, con *stage.Console) error {
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return failure.New(failure.Usage, "--force overwrites it", "%s already exists", c.File)
	}
	points, err := readPoints(ctx, con, c.Points)
	if err != nil {
		return err
	}
	columns := points.Columns
	if c.Like != "" {
		like, err := readPoints(ctx, con, c.Like)
		if err != nil {
			return err
		}
		if columns = like.Columns; columns == nil {
			return failure.New(failure.Input, "give the train output of prep --source=csv",
				"%s has no named columns", c.Like)
		}
		// Samples have the indices of their classes; the data set also has the names.
		unknown := func(l int64) bool { return l < 0 || l >= int64(len(like.Classes)) }
		if points.Classes == nil && !slices.ContainsFunc(points.Labels, unknown) {
			points.Classes = like.Classes
		}
	}
	if len(columns) != points.D {
		return failure.New(failure.Input, "give as --like the data set that prep made from the table",
			"%s has %d coordinates, but %s has %d named columns", c.Points, points.D, cmp.Or(c.Like, c.Points), len(columns))
	}
	write := func(w io.Writer) error { return dataset.WriteCSV(w, points, columns) }
	if err := program.WriteFile(c.File, write); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	out := tabled{File: c.File, N: points.N}
	for _, column := range columns {
		out.Columns = append(out.Columns, column.Name)
	}
	return con.Print(out)
}

const pointsHint = "give points: those that prep made from a table, or samples of a potential trained on points"

func readPoints(ctx context.Context, con *stage.Console, ref string) (*dataset.Points, error) {
	path, err := con.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, pointsHint, "%s: %w", ref, err)
	}
	points, ok := set.(*dataset.Points)
	if !ok {
		return nil, failure.New(failure.Input, pointsHint, "%s holds images", ref)
	}
	return points, nil
}
