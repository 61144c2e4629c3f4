package main

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
)

// table scores the rows of a table, and lets the columns that rank best alone stand beside the forest.
func (c *evaluateCmd) table(forest *model.Forest) (*report.Report, error) {
	d, err := readTraining(c.CSV, trainTable{Label: c.Label, Group: c.Group}, forest.Schema())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.CSV, err)
	}
	if len(d.X) == 0 {
		return nil, fmt.Errorf("read %s: there is no row", c.CSV)
	}
	in := c.input(forest)
	if c.Budget == 0 {
		in.Budget = 10
	}
	in.Title = "How well rows were told apart"
	in.Data = report.Data{Source: "table " + filepath.Base(c.CSV), Labels: "column " + c.Label, Unit: report.Rows}
	for i, x := range d.X {
		in.Rows = append(in.Rows, report.Row{Place: report.Place{Asset: strconv.Itoa(int(d.Group[i]))}, X: x, Y: d.Y[i], Known: true, Group: d.Group[i]})
	}
	in.Candidates = []report.Candidate{{Name: report.Forest, What: "the forest", Probability: true, Scores: forest.PredictBatch(nil, d.X)}}
	columns, err := bestColumns(d)
	if err != nil {
		return nil, err
	}
	in.Candidates = append(in.Candidates, columns...)
	return report.Make(in)
}

// columnsShown is how many columns stand beside the forest.
const columnsShown = 3

// bestColumns are the columns that rank the rows best alone, upwards or downwards.
func bestColumns(d model.Dataset) ([]report.Candidate, error) {
	type column struct {
		report.Candidate
		precision float64
	}
	var all []column
	for j, f := range d.Schema {
		var best column
		for _, sign := range []float64{1, -1} {
			c := column{Candidate: report.Candidate{Name: f.Name, What: "this column alone, high is bad"}}
			if sign < 0 {
				c.What = "this column alone, low is bad"
			}
			for _, x := range d.X {
				v := sign * x[j]
				if math.IsNaN(v) {
					v = -math.MaxFloat64
				}
				c.Scores = append(c.Scores, v)
			}
			e, err := model.Evaluate(c.Scores, d.Y)
			if err != nil {
				return nil, err
			}
			if c.precision = e.PRAUC; sign > 0 || c.precision > best.precision {
				best = c
			}
		}
		all = append(all, best)
	}
	slices.SortStableFunc(all, func(a, b column) int { return cmp.Compare(b.precision, a.precision) })
	var out []report.Candidate
	for _, c := range all[:min(columnsShown, len(all))] {
		out = append(out, c.Candidate)
	}
	return out, nil
}
