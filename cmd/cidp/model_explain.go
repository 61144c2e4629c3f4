package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
)

type modelExplainCmd struct {
	Model string `help:"Model file." placeholder:"MODEL" required:""`
	Rows  string `help:"CSV, packed by gzip or not; its columns are found by the model's input names, or by position when the model has none." placeholder:"FILE.csv" required:""`
	Row   int    `help:"Only this row, counted from 1."`
	Top   int    `help:"Only this many features of each explanation, the largest; 0 for all."`
	JSON  bool   `name:"json" help:"Print one JSON document."`
}

func (modelExplainCmd) Help() string {
	return `Example:
  cidp model explain --model forest.cidpmodel --rows rows.csv --row 7
Says what moved each row's score, twice: by path contributions, which every prediction has, and by exact Shapley values (path-dependent TreeSHAP), which an alert has. Both add up to the score from their base.`
}

// explainedRow is what is said of one row.
type explainedRow struct {
	Row      int            `json:"row"` // from 1
	PFailure float64        `json:"p_failure"`
	RawScore *float64       `json:"raw_score,omitempty"` // what the explanations add up to, where it is not the probability
	Said     []explainedWay `json:"explanations"`
}

// explainedWay is one explanation.
type explainedWay struct {
	Method string          `json:"method"`
	Base   float64         `json:"base"`
	Top    []explainedPart `json:"contributions"`
}

type explainedPart struct {
	Feature      string   `json:"feature"`
	Value        *float64 `json:"value"` // null: missing
	Contribution float64  `json:"contribution"`
	Usual        *float64 `json:"usual,omitempty"`
	Text         string   `json:"text"`
}

func (c *modelExplainCmd) Run(ctx context.Context, t *terminal) error {
	f, err := models.Open(c.Model)
	if err != nil {
		return err
	}
	table := modelPredictCmd{Rows: c.Rows}
	rows, _, err := table.read(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Rows, err)
	}
	first := 1
	switch {
	case c.Row < 0 || c.Row > len(rows):
		return usageError{fmt.Errorf("there is no row %d: %s has %d", c.Row, c.Rows, len(rows))}
	case c.Top < 0:
		return usageError{fmt.Errorf("--top %d: 0 or more", c.Top)}
	case c.Row > 0:
		first, rows = c.Row, rows[c.Row-1:c.Row]
	}
	out := struct {
		Model   string         `json:"model"`
		Missing string         `json:"tree_shap_missing,omitempty"` // why there are no Shapley values
		Rows    []explainedRow `json:"rows"`
	}{Model: f.ID(), Rows: []explainedRow{}}
	if !f.Covered() {
		out.Missing = model.ErrNoRows.Error()
	}
	for i, x := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := c.explain(f, x)
		if err != nil {
			return fmt.Errorf("explain row %d: %w", first+i, err)
		}
		row.Row = first + i
		out.Rows = append(out.Rows, row)
	}
	if c.JSON {
		return printJSON(t.out, out)
	}
	w := bufio.NewWriter(t.out)
	for _, row := range out.Rows {
		row.print(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write explanations: %w", err)
	}
	if out.Missing != "" {
		fmt.Fprintf(t.err, "no Shapley values: %s\n", out.Missing)
	}
	return nil
}

// explain explains one row both ways, as far as the model can.
func (c *modelExplainCmd) explain(f *model.Forest, x []float64) (explainedRow, error) {
	k := c.Top
	if k == 0 {
		k = len(x)
	}
	p, path := f.Explain(x, k)
	all := make([]float64, len(x))
	score := f.Contributions(all, x)
	row := explainedRow{PFailure: p, Said: []explainedWay{wayOf(model.MethodPath, f.Base(), path)}}
	if f.Calibrated() {
		row.RawScore = &score
	}
	_, base, err := f.Shapley(all, x)
	if errors.Is(err, model.ErrNoRows) {
		return row, nil
	}
	if err != nil {
		return row, err
	}
	exact, err := f.ExplainExactly(x, k)
	if err != nil {
		return row, err
	}
	row.Said = append(row.Said, wayOf(model.MethodTreeSHAP, base, exact))
	return row, nil
}

func wayOf(method string, base float64, top []model.Contribution) explainedWay {
	way := explainedWay{Method: method, Base: base, Top: []explainedPart{}}
	for i := range top {
		part := explainedPart{Feature: top[i].Feature, Contribution: top[i].Contribution, Usual: top[i].Usual, Text: top[i].Text()}
		if !math.IsNaN(top[i].Value) {
			part.Value = &top[i].Value
		}
		way.Top = append(way.Top, part)
	}
	return way
}

func (r explainedRow) print(w io.Writer) {
	fmt.Fprintf(w, "row %d: failure probability %.4f", r.Row, r.PFailure)
	if r.RawScore != nil {
		fmt.Fprintf(w, "; the explanations are of the score before calibration, %.4f", *r.RawScore)
	}
	fmt.Fprintln(w)
	for _, way := range r.Said {
		what := "path contributions"
		if way.Method == model.MethodTreeSHAP {
			what = "Shapley values"
		}
		fmt.Fprintf(w, "  %s (%s), from %.4f:\n", what, way.Method, way.Base)
		for _, part := range way.Top {
			fmt.Fprintf(w, "    %+.4f  %s  [%s]\n", part.Contribution, part.Text, part.Feature)
		}
	}
}
