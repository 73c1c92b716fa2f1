package watch

import (
	"fmt"
	"io"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/potential"
	"vapo/lib/preview"
)

// shownSnapshots limits the number of snapshots in the picture, not counting the last, which is always shown.
const shownSnapshots = 40

// SnapshotLog records the snapshots taken so far.
type SnapshotLog struct {
	Done     int64      `json:"done"` // step of the last snapshot
	Score    *float64   `json:"score,omitempty"`
	Shown    []Snapshot `json:"shown"`
	Stride   int64      `json:"stride"` // every Stride-th snapshot is shown
	Last     *Snapshot  `json:"last,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
}

// Snapshot holds the samples drawn at one step, which form one row of the picture: uint8 pixels [n, C, H, W], or
// float32 points [n, D].
type Snapshot struct {
	Step   int64     `json:"step"`
	Pixels []byte    `json:"pixels,omitempty"`
	Points []float32 `json:"points,omitempty"`
}

// add adds a snapshot. If more than shownSnapshots would be shown, it drops every second one. Which snapshots remain
// depends only on the steps so far, not on the length of the training.
func (l *SnapshotLog) add(next Snapshot, every int64) {
	l.Last = &next
	l.Stride = max(1, l.Stride)
	if next.Step%(every*l.Stride) != 0 {
		return
	}
	l.Shown = append(slices.Clone(l.Shown), next)
	if len(l.Shown) > shownSnapshots {
		l.Stride *= 2
		l.Shown = slices.DeleteFunc(l.Shown, func(v Snapshot) bool { return v.Step%(every*l.Stride) != 0 })
	}
}

// warn adds a warning unless the list already has it.
func (l *SnapshotLog) warn(text string) {
	if !slices.Contains(l.Warnings, text) {
		l.Warnings = append(slices.Clone(l.Warnings), text)
	}
}

// rows returns the snapshots to be shown.
func (l *SnapshotLog) rows() []Snapshot {
	if l.Last == nil || len(l.Shown) > 0 && l.Shown[len(l.Shown)-1].Step == l.Last.Step {
		return l.Shown
	}
	return append(slices.Clone(l.Shown), *l.Last)
}

// picture draws the snapshots: one row per snapshot for images, one panel per snapshot for points.
func picture(w io.Writer, c potential.Config, shown []Snapshot) error {
	var rows []preview.Row
	var panels []preview.Panel
	for _, s := range shown {
		label := fmt.Sprintf("step %d", s.Step)
		if len(c.Shape) == 1 {
			points := &dataset.Points{N: len(s.Points) / c.Dim(), D: c.Dim(), X: s.Points}
			panels = append(panels, preview.Panel{Title: label, Points: points})
			continue
		}
		images := &dataset.Images{
			N: len(s.Pixels) / c.Dim(), C: c.Shape[0], H: c.Shape[1], W: c.Shape[2], Pixels: s.Pixels,
		}
		rows = append(rows, preview.Row{Label: label, Images: images})
	}
	if panels != nil {
		return preview.Panels(w, panels)
	}
	return preview.Table(w, nil, rows)
}
