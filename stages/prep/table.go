package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// tableCmd leads from points back to a table: standardised coordinates say nothing to who brought the table.
type tableCmd struct {
	Points string `arg:"" name:"points" help:"Points or samples: a path, ref:name or sha256:…"`
	File   string `arg:"" name:"file" help:"CSV file to write." type:"path"`
	Like   string `help:"Data set made of source csv, whose columns and units the points have: a path, ref:name or sha256:…; empty: the points' own." placeholder:"REF"`
	Force  bool   `help:"Write over a file that is there."`
}

// tabled is the JSON line.
type tabled struct {
	File    string   `json:"file"`
	N       int      `json:"n"`
	Columns []string `json:"columns"`
}

// Run writes the table and prints what it is.
func (c *tableCmd) Run(ctx context.Context, con *stage.Console) error {
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return failure.New(failure.Usage, "--force writes over it", "%s is there already", c.File)
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
			return failure.New(failure.Input, "give the train output of prep --source=csv", "%s has no named columns", c.Like)
		}
		// Samples of a class know its number; the names are the data's.
		if points.Classes == nil && !slices.ContainsFunc(points.Labels, func(l int64) bool { return l < 0 || l >= int64(len(like.Classes)) }) {
			points.Classes = like.Classes
		}
	}
	if len(columns) != points.D {
		return failure.New(failure.Input, "name the data set that they are like: --like", "%s has %d coordinates and %d named columns", c.Points, points.D, len(columns))
	}
	if err := program.WriteFile(c.File, func(w io.Writer) error { return dataset.WriteCSV(w, points, columns) }); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	out := tabled{File: c.File, N: points.N}
	for _, column := range columns {
		out.Columns = append(out.Columns, column.Name)
	}
	return json.NewEncoder(con.Stdout).Encode(out)
}

func readPoints(ctx context.Context, con *stage.Console, ref string) (*dataset.Points, error) {
	path, err := con.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, "points are what prep makes of a table, or sample of a potential of points", "%s: %w", ref, err)
	}
	points, ok := set.(*dataset.Points)
	if !ok {
		return nil, failure.New(failure.Input, "give points", "%s holds images", ref)
	}
	return points, nil
}
