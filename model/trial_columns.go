package model

import (
	"cmp"
	"math"
	"slices"
)

// ColumnRules makes each column of a table stand for a rule: a threshold on it alone. Whether high or low is worse is learnt from the rows that a fold trains on, by the area under the
// ROC curve; a missing value is silent. Scores are those of the rows that test, fold by fold, as CrossValidation.Rows has them.
func ColumnRules(d Dataset, folds []Fold) []Candidate {
	var out []Candidate
	for j, f := range d.Schema {
		c := Candidate{Name: f.Name}
		for _, fold := range folds {
			sign := direction(d, fold.Train, j)
			for _, i := range fold.Test {
				v := float64(sign * d.X[i][j])
				if math.IsNaN(v) {
					v = Silent
				}
				c.Score = append(c.Score, v)
			}
		}
		out = append(out, c)
	}
	return out
}

// direction is 1 where high values of a column go with positive rows, -1 where low ones do.
func direction(d Dataset, rows []int, column int) float64 {
	var v []float64
	var y []uint8
	for _, i := range rows {
		if !math.IsNaN(d.X[i][column]) {
			v, y = append(v, d.X[i][column]), append(y, d.Y[i])
		}
	}
	if e, err := Evaluate(v, y); err == nil && e.ROCAUC < 0.5 { // the only error left is one class
		return -1
	}
	return 1
}

// timeBlocks is how many stretches of time stand for groups where rows have a time and no asset.
const timeBlocks = 50

// TrialOf gives the rows that folds tested as the rows of a trial: a failure is a group with a positive row. Without groups the rows are cut into stretches of time of as many rows
// (non-overlapping blocks, Carlstein 1986), and a failure is a run of positive rows in time. The columns stand for the rules.
func TrialOf(d Dataset, cv CrossValidation, folds []Fold) TrialRows {
	tested := d.Pick(cv.Rows)
	rows := TrialRows{Y: tested.Y, P: cv.P, Group: tested.Group, Rules: ColumnRules(d, folds)}
	if len(tested.Group) != 0 {
		return rows
	}
	order := make([]int, len(tested.Y))
	for i := range order {
		order[i] = i
	}
	if len(tested.Time) != 0 {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tested.Time[a], tested.Time[b]) })
	}
	rows.Group, rows.Failure = make([]int32, len(order)), make([]int32, len(order))
	run, before := int32(0), uint8(0)
	for k, i := range order {
		rows.Group[i] = int32(k * timeBlocks / len(order))
		if tested.Y[i] == 1 && before == 0 {
			run++
		}
		before = tested.Y[i]
		rows.Failure[i] = run
	}
	return rows
}
