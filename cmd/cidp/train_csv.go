package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// trainTable is the flags of training on a table.
type trainTable struct {
	CSV       string   `name:"csv" help:"Train on this table, packed by gzip or not, instead of the simulated fleet." placeholder:"FILE"`
	Label     string   `help:"Column of labels, 0 or 1." placeholder:"COL"`
	Group     string   `help:"Column that names the asset of each row: no asset is both learnt from and tested on." placeholder:"COL"`
	Time      string   `help:"Column of times: with it and without --group, folds learn from the past and test on the future." placeholder:"COL"`
	Gap       int64    `help:"Folds by time: rows up to this long before a fold's first train nothing for it; at least the label's horizon, in the time column's unit (ms for dates)."`
	Drop      []string `help:"Columns that are no features." placeholder:"COL,COL"`
	Keep      []string `help:"Columns that are features though they look like a clock or tell the label exactly." placeholder:"COL,COL"`
	Test      string   `help:"Table of other assets that the model is measured on." placeholder:"FILE"`
	Folds     int      `help:"Folds that measure the training; 0 for none." default:"5"`
	Calibrate string   `help:"auto: probabilities go through an isotonic map where that lowers the Brier score of rows not learnt from; off: never." enum:"auto,off" default:"auto"`
	Split     string   `help:"How folds part the rows: group or time, whichever column is given; row is refused." placeholder:"HOW"`

	Criterion      string  `help:"What a split lowers: gini or entropy." default:"gini"`
	PerNode        int     `help:"Features tried at a node; 0: the square root of their number."`
	PositiveWeight float64 `help:"Negative rows that a positive one counts as. Other than 1, the result is no probability of what happens." default:"1"`
	Name           string  `help:"The model's name, for people." placeholder:"NAME"`
	JSON           bool    `name:"json" help:"Print one JSON document."`

	IndependentRows bool `help:"Your word that no two rows are of one asset or one time, which allows --split row."`
}

// trained is what --json prints.
type trained struct {
	Model        string         `json:"model"`
	File         string         `json:"file"`
	Features     []string       `json:"features"`
	LeftOut      []string       `json:"left_out"`
	TrainSeconds float64        `json:"train_seconds"`
	History      *labelled      `json:"history,omitempty"`
	Manifest     model.Manifest `json:"manifest"`
}

// trainedOn is what there is to say of the data beside the manifest.
type trainedOn struct {
	left    []string  // columns that were left out
	history *labelled // nil: not a warehouse's
}

// runTable trains on a table, measures by folds and on the test table, and writes the model.
func (c *trainCmd) runTable(ctx context.Context, t *terminal) error {
	folds, err := c.foldConfig()
	if err != nil {
		return usageError{err}
	}
	read, err := readTraining(c.CSV, c.trainTable, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.CSV, err)
	}
	data, left, err := c.features(read)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.CSV, err)
	}
	for _, l := range left {
		fmt.Fprintf(t.err, "left out: %s\n", l)
	}
	cfg := model.TrainConfig{Trees: c.Trees, MaxDepth: c.Depth, MinLeaf: c.MinLeaf, PerNode: c.PerNode, Seed: c.Seed, Threads: c.Threads,
		Criterion: model.Criterion(c.Criterion), PositiveWeight: c.PositiveWeight, Name: c.Name,
		Source: fmt.Sprintf("cidp train --csv %s --label %s --group %s", filepath.Base(c.CSV), c.Label, c.Group)}
	if c.Name == "" {
		cfg.Name = filepath.Base(c.CSV)
	}
	if c.Folds > 0 {
		if err := c.crossValidate(ctx, t, data, &cfg, folds); err != nil {
			return err
		}
		if cfg.Trial, err = c.trial(data, *cfg.Folds, folds, cfg.Source); err != nil {
			return err
		}
	}
	from := time.Now()
	forest, err := c.grow(ctx, t, data, cfg, "train")
	if err != nil {
		return err
	}
	took := time.Since(from)
	if c.Test != "" {
		if forest, err = c.measure(forest); err != nil {
			return fmt.Errorf("measure on %s: %w", c.Test, err)
		}
	}
	size, err := writeModel(c.Out, forest)
	if err != nil {
		return err
	}
	return c.say(t, forest, size, trainedOn{left: left}, took)
}

func (c *trainCmd) say(t *terminal, f *model.Forest, size int, on trainedOn, took time.Duration) error {
	m := f.Manifest()
	if c.JSON {
		out := trained{Model: f.ID(), File: c.Out, LeftOut: on.left, TrainSeconds: took.Seconds(), History: on.history, Manifest: m}
		for _, s := range f.Schema() {
			out.Features = append(out.Features, s.Name)
		}
		return printJSON(t.out, out)
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("describe model: %w", err)
	}
	fmt.Fprintf(t.out, "%s\n", manifest)
	if m.RowOOB != nil {
		fmt.Fprintf(t.out, "out of bag by row (flatters, decides nothing): ROC-AUC %.4f, Brier %.5f\n", m.RowOOB.ROCAUC, m.RowOOB.Brier)
	}
	if m.Folds != nil {
		fmt.Fprintf(t.out, "folds by %s: %s; calibration error %.4f\n", m.Folds.Split, inWords(m.Folds.Pooled), m.Folds.Reliability.ECE)
	}
	if m.Trial != nil {
		ok, why := f.MayGoLive()
		against := "the best column alone"
		if on.history != nil {
			against = "the rules of physics"
		}
		fmt.Fprintf(t.out, "trial against %s: %s: %s\n", against, map[bool]string{true: "passed", false: "not passed"}[ok], why)
	}
	if m.Calibration != nil {
		fmt.Fprintf(t.out, "calibration %s: %s\n", map[bool]string{true: "applied", false: "left out"}[m.Calibration.Applied], m.Calibration.Why)
	}
	if m.HeldOut != nil {
		fmt.Fprintf(t.out, "test %s: %s\n", filepath.Base(c.Test), inWords(*m.HeldOut))
	}
	fmt.Fprintf(t.out, "trained in %.2f s\nmodel %s, %d bytes: %s\n", took.Seconds(), f.ID(), size, c.Out)
	return nil
}

func inWords(e model.Evaluation) string {
	return fmt.Sprintf("ROC-AUC %.4f, PR-AUC %.4f, Brier %.5f on %d rows of %d assets, %d positive", e.ROCAUC, e.PRAUC, e.Brier, e.Rows, e.Groups, e.Positives)
}

// foldConfig checks how rows are to be parted. Nothing but a word about the rows allows a random split, and without a column to split by nothing is trained.
func (c *trainCmd) foldConfig() (model.FoldConfig, error) {
	folds := model.FoldConfig{Split: model.Split(c.Split), Folds: c.Folds, Seed: c.Seed, Gap: c.Gap, IndependentRows: c.IndependentRows}
	switch {
	case c.Label == "":
		return folds, errors.New("training on a table needs --label: the column of 0 and 1 to learn")
	case folds.Split == "" && c.Group != "":
		folds.Split = model.ByGroup
	case folds.Split == "" && c.Time != "":
		folds.Split = model.ByTime
	}
	switch {
	case folds.Split == "":
		return folds, errors.New("training on a table needs --group (the column that names the asset) or --time: a random split of rows is refused, " +
			"since it would test on rows of assets it learnt from")
	case folds.Split == model.ByRow && !c.IndependentRows:
		return folds, errors.New("--split row is refused: a random split of rows tests on rows of assets it learnt from; use --group or --time, " +
			"or say --independent-rows when no two rows are of one asset or one time")
	case folds.Split == model.ByGroup && c.Group == "":
		return folds, errors.New("--split group needs --group, the column that names the asset")
	case folds.Split == model.ByTime && c.Time == "":
		return folds, errors.New("--split time needs --time, the column of times")
	case folds.Split != model.ByGroup && folds.Split != model.ByTime && folds.Split != model.ByRow:
		return folds, fmt.Errorf("--split %s is not known: group or time", c.Split)
	}
	return folds, nil
}

// features leaves out what is no measurement: columns that are dropped, and clocks. It refuses a column that tells the label exactly.
func (c *trainCmd) features(d model.Dataset) (model.Dataset, []string, error) {
	var left []string
	out := map[string]bool{}
	for _, name := range c.Drop {
		left = append(left, name+" (--drop)") // readTraining has left it out
	}
	for _, name := range model.Clocks(d) {
		if !slices.Contains(c.Keep, name) {
			out[name] = true
			left = append(left, name+" (rises or falls with every row of every asset, like a clock; --keep "+name+" to learn from it)")
		}
	}
	d = without(d, out)
	for _, name := range model.Leaks(d) {
		if !slices.Contains(c.Keep, name) {
			return d, nil, fmt.Errorf("the column %q tells the label exactly, as only something written down after the event does: --drop %s, or --keep %s if it was known before", name, name, name)
		}
	}
	return d, left, d.Check()
}

// without is the data without some columns.
func without(d model.Dataset, out map[string]bool) model.Dataset {
	var keep []int
	schema := d.Schema
	d.Schema = nil
	for j, f := range schema {
		if !out[f.Name] {
			keep = append(keep, j)
			d.Schema = append(d.Schema, f)
		}
	}
	if len(keep) == len(schema) {
		return d
	}
	for i, row := range d.X {
		for k, j := range keep {
			row[k] = row[j] // k is at most j
		}
		d.X[i] = row[:len(keep):len(keep)]
	}
	return d
}

// crossValidate measures by folds, and tries a calibration on what they say. Both go into the configuration.
func (c *trainCmd) crossValidate(ctx context.Context, t *terminal, d model.Dataset, cfg *model.TrainConfig, folds model.FoldConfig) error {
	bar := newProgress(t, int64(cfg.Trees*folds.Folds), "measure by "+string(folds.Split))
	defer bar.close()
	of := *cfg
	of.Progress = func(done, _ int) { bar.set(int64(done)) }
	measured, err := model.CrossValidate(ctx, d, of, folds)
	if err != nil {
		return err
	}
	cfg.Folds = &measured
	if c.Calibrate == "off" {
		return nil
	}
	cfg.Calibration, err = model.Calibrate(&measured, d.Y)
	return err
}

// trial holds the folds' forests against each column of the table alone.
func (c *trainCmd) trial(d model.Dataset, measured model.CrossValidation, how model.FoldConfig, source string) (*model.Trial, error) {
	folds, err := model.Folds(d, how)
	if err != nil {
		return nil, err
	}
	cfg := model.DefaultTrialConfig()
	cfg.Source, cfg.Split, cfg.Seed = "folds of "+source, how.Split, c.Seed
	t, err := model.HoldTrial(model.TrialOf(d, measured, folds), cfg)
	return &t, err
}

// measure scores the test table and puts the figures into the manifest.
func (c *trainCmd) measure(f *model.Forest) (*model.Forest, error) {
	test, err := readTraining(c.Test, c.trainTable, f.Schema())
	if err != nil {
		return nil, err
	}
	e, err := model.Evaluate(f.PredictBatch(nil, test.X), test.Y)
	if err != nil {
		return nil, err
	}
	e.Groups = test.Groups()
	m := f.Manifest()
	m.HeldOut = &e
	return f.WithManifest(m)
}

// readTraining reads a table: the features of a schema, or every column that is not label, group, time or dropped.
func readTraining(path string, c trainTable, schema []stream.Feature) (model.Dataset, error) {
	var d model.Dataset
	in, done, err := openPlain(path)
	if err != nil {
		return d, err
	}
	defer done()
	t, err := openTable(in)
	if err != nil {
		return d, err
	}
	r := tableRows{table: t, groups: map[string]int32{}, group: -1, time: -1}
	if r.label, err = t.column(c.Label); err != nil {
		return d, err
	}
	if c.Group != "" {
		if r.group, err = t.column(c.Group); err != nil {
			return d, err
		}
	}
	if c.Time != "" {
		if r.time, err = t.column(c.Time); err != nil {
			return d, err
		}
	}
	for _, name := range c.Drop {
		if _, err := t.column(name); err != nil && schema == nil {
			return d, fmt.Errorf("--drop: %w", err)
		}
	}
	for i, name := range t.header {
		if schema == nil && i != r.label && i != r.group && i != r.time && !slices.Contains(c.Drop, name) {
			d.Schema = append(d.Schema, stream.Feature{Name: name})
		}
	}
	if schema != nil {
		d.Schema = schema
	}
	for _, f := range d.Schema {
		at, err := t.column(f.Name)
		if err != nil {
			return d, err
		}
		r.columns = append(r.columns, at)
	}
	err = r.all(&d)
	return d, err
}

// tableRows reads the rows of a training table.
type tableRows struct {
	*table
	columns            []int
	label, group, time int // -1: not asked for
	groups             map[string]int32
}

func (r *tableRows) all(d *model.Dataset) error {
	var block []float64 // rows are cut from blocks: one allocation for many
	for {
		fields, line, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(r.columns); len(block) < n {
			block = make([]float64, n*1024)
		}
		y, err := label(fields[r.label])
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		row := block[:len(r.columns):len(r.columns)]
		block = block[len(r.columns):]
		for i, at := range r.columns {
			if row[i], err = number(fields[at]); err != nil {
				return fmt.Errorf("line %d, column %q: %w; leave the column out with --drop if it is no feature", line, r.header[at], err)
			}
		}
		d.X, d.Y = append(d.X, row), append(d.Y, y)
		if r.group >= 0 {
			d.Group = append(d.Group, r.groupOf(fields[r.group]))
		}
		if r.time >= 0 {
			at, err := when(fields[r.time])
			if err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
			d.Time = append(d.Time, at)
		}
	}
}

// groupOf numbers the groups as they come.
func (r *tableRows) groupOf(name string) int32 {
	name = strings.TrimSpace(name)
	id, ok := r.groups[name]
	if !ok {
		id = int32(len(r.groups))
		r.groups[strings.Clone(name)] = id // the fields are the reader's
	}
	return id
}

// when reads a time for ordering: a whole number as it is, a date as epoch milliseconds.
func when(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(v) < 1<<53 && v == math.Trunc(v) {
		return int64(v), nil
	}
	return parseTime(s, time.UTC)
}
