package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
)

type evaluateCmd struct {
	Model string `help:"Model file, or default for the one that comes with the program." default:"default" placeholder:"MODEL"`
	Data  string `help:"Warehouse whose windows are scored, or its folder." placeholder:"DB|DIR"`
	CSV   string `name:"csv" help:"Table whose rows are scored, packed by gzip or not, in the place of a warehouse." placeholder:"FILE"`
	Label string `help:"Column of labels of the table, 0 or 1." placeholder:"COL"`
	Group string `help:"Column that names the asset of each row of the table." placeholder:"COL"`

	Record bool   `help:"Keep the trial against the rules beside the model in the registry of the warehouse's folder: it counts for its going live."`
	Split  string `help:"With --record, your word of how these windows were kept apart from those that the model learnt from: group (no asset is in both) or time (all of them are later)." placeholder:"HOW" env:"-"`

	reportFlags `embed:""`
}

// reportFlags say how what was foreseen is measured and shown; evaluate and backtest share them.
type reportFlags struct {
	Truth   string        `help:"What was wrong with which sensor (site, asset, sensor, fault), from when (onset_ms) and when it failed (failure_ms)." placeholder:"FILE.csv"`
	Horizon time.Duration `help:"A window is positive when its component fails within so much running time after it." default:"30m"`
	Lead    time.Duration `help:"A failure is warned of in time with at least so much lead." default:"10m"`
	Budget  float64       `help:"False alarms that may be, per 1,000 asset-hours (of a table: per 1,000 negative rows): thresholds are chosen within it. 0: 1, of a table 10." default:"0"`
	Seed    uint64        `help:"Seed of the permutations that importance is measured by." default:"1"`
	Report  string        `help:"Write a report to this file: one HTML page that needs nothing else." placeholder:"OUT.html"`
	JSON    bool          `name:"json" help:"Print one JSON document."`
}

func (evaluateCmd) Help() string {
	return `Example:
  cidp evaluate --data database --truth database/truth.csv --report report.html
Scores the stored windows by the forest, by each rule and by both, raises the alerts that each would have raised, and holds them against what failed.
  cidp evaluate --model engine.cidpmodel --csv others.csv.gz --label fails_within_30 --group engine --report report.html
Scores a table; its columns are found by the model's input names. The document of --json is described in package report.`
}

func (c *evaluateCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	forest, err := openForest(c.Model)
	if err != nil {
		return err
	}
	var r *report.Report
	if c.CSV != "" {
		r, err = c.table(forest)
	} else {
		r, err = c.history(ctx, t, forest)
	}
	if err != nil {
		return err
	}
	return c.say(t, r)
}

func (c *evaluateCmd) check() error {
	switch {
	case c.Data == "" && c.CSV == "":
		return errors.New("an evaluation needs windows: give a warehouse with --data, or a table with --csv")
	case c.CSV != "" && (c.Label == "" || c.Group == ""):
		return errors.New("a table needs --label, the column of 0 and 1, and --group, the column that names the asset of each row")
	case c.CSV != "" && c.Truth != "":
		return errors.New("--truth is for a warehouse, whose windows have event times: a table has its labels in a column")
	case c.CSV == "" && (c.Label != "" || c.Group != ""):
		return errors.New("--label and --group are columns of a table: give it with --csv")
	case c.CSV != "" && c.Record:
		return errors.New("--record is for a warehouse: the rules, which a model must beat, need windows")
	case c.Record && c.Split != string(model.ByGroup) && c.Split != string(model.ByTime):
		return errors.New("--record needs --split group or --split time: your word of how these windows were kept apart from those that the model learnt from")
	case !c.Record && c.Split != "":
		return errors.New("--split goes with --record")
	}
	return c.reportFlags.check()
}

func (f *reportFlags) check() error {
	switch {
	case f.Horizon <= 0:
		return fmt.Errorf("horizon is %s: it must be above 0", f.Horizon)
	case f.Lead < 0 || f.Lead > model.DefaultMatchConfig().Horizon:
		return fmt.Errorf("lead is %s: it must be between 0 and %s", f.Lead, model.DefaultMatchConfig().Horizon)
	case !(f.Budget >= 0 && f.Budget <= 1e6):
		return fmt.Errorf("budget is %v: it must be 0 or more", f.Budget)
	}
	return nil
}

// openForest reads a model file; empty or default is the one that comes with the program.
func openForest(path string) (*model.Forest, error) {
	if path == "" || path == "default" {
		return model.Default()
	}
	return models.Open(path)
}

// warehousePath is the database that a path means: its own file, or the one in a folder.
func warehousePath(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, platform.DatabaseName)
	}
	return path
}

// history evaluates a model on a warehouse's windows, and keeps its trial when it is to.
func (c *evaluateCmd) history(ctx context.Context, t *terminal, forest *model.Forest) (*report.Report, error) {
	rules, err := t.settings.applyRules()
	if err != nil {
		return nil, usageError{err}
	}
	path := warehousePath(c.Data)
	r, err := c.warehouse(ctx, t, evaluation{forest: forest, rules: rules, path: path, source: "windows of " + filepath.Base(path), split: model.Split(c.Split)})
	if err != nil || !c.Record {
		return r, err
	}
	if r.Trial == nil {
		return nil, errors.New("there is no trial to record: the windows have labels of one class")
	}
	return r, recordTrial(filepath.Dir(path), r.Trial)
}

// recordTrial writes a trial where the registry looks for it, all of it or nothing.
func recordTrial(data string, trial *model.Trial) error {
	folder := filepath.Join(data, "models")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("record trial: %w", err)
	}
	text, err := json.MarshalIndent(trial, "", "  ")
	if err != nil {
		return fmt.Errorf("record trial: %w", err)
	}
	name := filepath.Join(folder, trial.ModelID+".trial.json")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("record trial: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("record trial: %w", err)
	}
	return nil
}

// input is what every report has.
func (f *reportFlags) input(forest *model.Forest) report.Input {
	in := report.Input{Model: report.Model{ID: forest.ID(), Name: forest.Manifest().Name, Trees: forest.Trees(), Nodes: forest.Nodes()},
		Schema: forest.Schema(), Budget: f.Budget, Predict: forest.Predict, Seed: f.Seed}
	if in.Budget == 0 {
		in.Budget = 1
	}
	return in
}

// simulated says whether every fault has a name of the simulator's; nil when none has, since then nobody knows.
func simulated(failures []model.Failure) *bool {
	known := append(simulator.MachineFaults(), simulator.SensorFaults()...)
	n := 0
	for i := range failures {
		if slices.Contains(known, failures[i].Fault) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	all := n == len(failures)
	return &all
}

// say writes the report where it is asked for, and what was found to the terminal.
func (f *reportFlags) say(t *terminal, r *report.Report) error {
	if f.Report != "" {
		if err := writeReport(f.Report, r); err != nil {
			return err
		}
	}
	if f.JSON {
		return printJSON(t.out, r)
	}
	return f.tell(t, r)
}

// tell prints what was found, and where the report lies.
func (f *reportFlags) tell(t *terminal, r *report.Report) error {
	text := r.Verdict + "\n"
	if r.Trial != nil {
		text += trialWords(r.Trial) + "\n"
	}
	if f.Report != "" {
		text += "report: " + f.Report + "\n"
	}
	if _, err := fmt.Fprint(t.out, text); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}

// trialWords says how a trial went.
func trialWords(trial *model.Trial) string {
	if trial.Passed {
		return "trial against the rules: passed, " + trial.Why
	}
	return "trial against the rules: not passed, " + trial.Why
}

// writeReport writes the page.
func writeReport(path string, r *report.Report) error {
	var page bytes.Buffer
	if err := report.WriteHTML(&page, r); err != nil {
		return err
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
