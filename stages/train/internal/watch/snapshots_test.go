package watch

import "testing"

// If there are many snapshots, the picture shows only some: evenly spaced ones and the last.
func TestShownSnapshots(t *testing.T) {
	for _, c := range [][2]int64{{100, 1}, {100, 3}, {1000, 7}, {40, 1}, {41, 1}, {7, 10}, {10, 10}, {123457, 1000}} {
		steps, every := c[0], c[1]
		var l SnapshotLog
		count := int64(0)
		for step := int64(1); step <= steps; step++ {
			if step%every == 0 || step == steps {
				count++
				before := l.Shown
				l.add(Snapshot{Step: step}, every)
				if len(before) > 0 && before[0].Step == 0 {
					t.Fatal("add changed a list of snapshots that was copied before")
				}
			}
		}
		rows := l.rows()
		if n := int64(len(rows)); n == 0 || n > shownSnapshots+1 || rows[n-1].Step != steps ||
			n < min(count, shownSnapshots/2) || count <= shownSnapshots && n != count {
			t.Errorf("%d steps, every %d: the rows %v of %d snapshots; want all if there are at most %d, otherwise half to "+
				"all of that number, and perhaps one more; the last row must be that of the last step", steps, every, rows,
				count, shownSnapshots)
		}
		for i := 1; i < len(rows)-1; i++ {
			if rows[i].Step-rows[i-1].Step != every*l.Stride {
				t.Errorf("%d steps, every %d: rows for steps %d and %d, want %d steps between rows", steps, every,
					rows[i-1].Step, rows[i].Step, every*l.Stride)
			}
		}
	}
}
