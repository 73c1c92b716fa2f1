package dataset

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"

	"vapo/lib/portable"
)

// WriteCSV writes points as a CSV file with a header line, in the units of the table they came from where columns are
// known: value = x * Std + Mean, with the digits that float32 leaves of it. columns, where not nil, stands for the points' own.
// Labels are written as their classes, in a last column.
func WriteCSV(w io.Writer, p *Points, columns []Column) error {
	if columns == nil {
		columns = p.Columns
	}
	if columns == nil {
		for j := range p.D {
			columns = append(columns, Column{Name: fmt.Sprintf("x%d", j+1), Std: 1})
		}
	}
	if len(columns) != p.D {
		return fmt.Errorf("points of %d coordinates with %d columns", p.D, len(columns))
	}
	out := csv.NewWriter(w)
	record := make([]string, p.D, p.D+1)
	for j, c := range columns {
		record[j] = c.Name
	}
	if p.Labels != nil {
		record = append(record, LabelColumn)
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for i := range p.N {
		for j, v := range p.Point(i) {
			c := columns[j]
			record[j] = inUnits(float64(float64(v)*c.Std)+c.Mean, c.Std)
		}
		if p.Labels != nil {
			record[p.D] = strconv.FormatInt(p.Labels[i], 10)
			if p.Classes != nil {
				record[p.D] = p.Classes[p.Labels[i]]
			}
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// inUnits formats a value of a column of that standard deviation: within 16 of them float32 tells a hundred-thousandth of it apart, so
// that later digits would be noise. 5.1 is written as 5.1 again.
func inUnits(v, std float64) string {
	step := math.Floor(portable.Log10(std)) - 5
	if step < -300 || step > 300 {
		return strconv.FormatFloat(v, 'g', 9, 64)
	}
	if step <= 0 {
		rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', int(-step), 64), 64)
		if err != nil {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		v = rounded
	} else {
		unit := portable.Pow(10, step)
		v = math.Round(v/unit) * unit
	}
	switch size := math.Abs(v); {
	case size == 0:
		return "0" // and not -0
	case size >= 1e-6 && size < 1e15:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
