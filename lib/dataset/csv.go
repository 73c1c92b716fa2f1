package dataset

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"vapo/lib/portable"
)

// WriteCSV writes points as a CSV file with a header line. columns gives the name and unit of each coordinate. Each
// value is converted back to the unit of the original table: value = x * Std + Mean. Values are rounded to the digits
// that float32 preserves. If there are labels, the last column holds them, as class names if p.Classes is not nil. Its
// name is LabelColumn, or LabelColumn with a number if a coordinate has that name.
func WriteCSV(w io.Writer, p *Points, columns []Column) error {
	if len(columns) != p.D {
		return fmt.Errorf("points have %d coordinates, but %d columns are given", p.D, len(columns))
	}
	out := csv.NewWriter(w)
	record := make([]string, p.D, p.D+1)
	for j, c := range columns {
		record[j] = c.Name
	}
	if p.Labels != nil {
		name := LabelColumn
		for i := 2; slices.Contains(record, name); i++ {
			name = LabelColumn + strconv.Itoa(i)
		}
		record = append(record, name)
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for i := range p.N {
		for j, v := range p.Point(i) {
			c := columns[j]
			record[j] = formatValue(float64(float64(v)*c.Std)+c.Mean, c.Std)
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

// formatValue formats a value of a column whose standard deviation is std. It rounds the value to about 1e-5 std.
// Within 16 std of the mean, float32 resolves 1e-5 std, so further digits would be noise: a 5.1 in a table is written
// as 5.1 again.
func formatValue(v, std float64) string {
	exponent := math.Floor(portable.Log10(std)) - 5
	if exponent < -300 || exponent > 300 {
		return strconv.FormatFloat(v, 'g', 9, 64)
	}
	if exponent <= 0 {
		rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', int(-exponent), 64), 64)
		if err != nil {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		v = rounded
	} else {
		unit := portable.Pow(10, exponent)
		v = math.Round(v/unit) * unit
	}
	switch size := math.Abs(v); {
	case size == 0:
		return "0" // not -0
	case size >= 1e-6 && size < 1e15:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
