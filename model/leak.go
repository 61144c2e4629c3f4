package model

import (
	"cmp"
	"math"
	"slices"
)

// Leaks names the features that tell the label exactly: all positive rows lie above all negative ones, or below them, missing counting as the
// largest. A measurement hardly does that; a column written down after the event does. Fewer than minLeakRows of a class prove nothing.
func Leaks(d Dataset) []string {
	positives := d.positives()
	if positives < minLeakRows || len(d.Y)-positives < minLeakRows {
		return nil
	}
	var out []string
	for j, f := range d.Schema {
		var lowest, highest [2]float64 // by class
		for c := range lowest {
			lowest[c], highest[c] = math.Inf(1), math.Inf(-1)
		}
		missing := [2]bool{}
		for i, row := range d.X {
			v, c := row[j], d.Y[i]
			if math.IsNaN(v) {
				missing[c] = true
				continue
			}
			lowest[c], highest[c] = min(lowest[c], v), max(highest[c], v)
		}
		if below(highest, lowest, missing, 0) || below(highest, lowest, missing, 1) {
			out = append(out, f.Name)
		}
	}
	return out
}

const minLeakRows = 10

// below says whether all of class c is below all of the other.
func below(highest, lowest [2]float64, missing [2]bool, c int) bool {
	return !missing[c] && highest[c] < lowest[1-c]
}

// Clocks names the features that rise with every row of every asset, or fall with every row: a time, a counter, a time left. They say when a row was
// written, not how the asset is, and learnt on a file of run-to-failure they give its end away. Rows of an asset are taken in the data's order; an unknown asset is one.
// Fewer than minClockSteps steps prove nothing.
func Clocks(d Dataset) []string {
	rows := make([]int, len(d.X))
	for i := range rows {
		rows[i] = i
	}
	if len(d.Group) != 0 {
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(d.Group[a], d.Group[b]) })
	}
	var out []string
	for j, f := range d.Schema {
		rise, fall, other := 0, 0, 0
		for k := 1; k < len(rows) && other == 0; k++ {
			a, b := rows[k-1], rows[k]
			if len(d.Group) != 0 && d.Group[a] != d.Group[b] {
				continue
			}
			switch from, to := d.X[a][j], d.X[b][j]; {
			case to > from:
				rise++
			case to < from:
				fall++
			default: // missing too
				other++
			}
		}
		if other == 0 && min(rise, fall) == 0 && max(rise, fall) >= minClockSteps {
			out = append(out, f.Name)
		}
	}
	return out
}

const minClockSteps = 100
