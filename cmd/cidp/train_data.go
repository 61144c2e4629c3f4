package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// trainHistory is the flags of training on a warehouse's own history. A configured data folder must not turn each training into one of these: only the command line gives them.
type trainHistory struct {
	Data  string `help:"Train on the history of this warehouse, a data folder or a database, instead of the simulated fleet: what workshops found (verdicts on MQTT) is its labels." placeholder:"DIR|DB" env:"-" config:"-"`
	Truth string `aliases:"maintenance" help:"With --data: failures that are known besides: CSV with site, asset, sensor, failure_ms, and as far as known fault, onset_ms and sound_ms (when it was sound again)." placeholder:"FILE.csv" env:"-" config:"-"`
}

// labelled counts what became of a warehouse's windows.
type labelled struct {
	Sensors     int `json:"sensors"`
	Assets      int `json:"assets"`
	Failures    int `json:"failures"`         // distinct ones that are known of its sensors
	Learnt      int `json:"failures_learnt"`  // of them those with a window that tells of them
	Strangers   int `json:"unknown_sensors"`  // sensors that something is known of, and the warehouse has never heard
	Windows     int `json:"windows"`          // that train
	Failing     int `json:"failing"`          // of them those of a component that fails within the horizon
	Quarantined int `json:"left_quarantined"` // left out: bad data
	Down        int `json:"left_failed"`      // left out: after a failure and before the repair
	Unclear     int `json:"left_unclear"`     // left out: a fault that never came to a failure
	Censored    int `json:"left_censored"`    // left out: less than a horizon of them is known

	reach   int64        // the longest time that a label looked ahead, ms
	failing map[int]bool // assets with a failing window
}

func (l *labelled) String() string {
	text := fmt.Sprintf("%d windows of %d sensors of %d assets, %d of them before %d distinct failures (%d are known); left out: %d quarantined, %d after a failure, %d of an unclear fault, %d of which less than the horizon is known",
		l.Windows, l.Sensors, l.Assets, l.Failing, l.Learnt, l.Failures, l.Quarantined, l.Down, l.Unclear, l.Censored)
	if l.Strangers > 0 {
		text += fmt.Sprintf("; %d sensors with a finding are not in the database", l.Strangers)
	}
	return text
}

// checkFlags refuses what has no meaning for a history.
func (c *trainCmd) checkFlags() error {
	switch {
	case c.Data == "" && c.Truth != "":
		return errors.New("--truth is for training on a warehouse's history: give it with --data")
	case c.Data == "":
		return nil
	case c.CSV != "":
		return errors.New("--data and --csv: train on one of them")
	case c.Label != "" || c.Group != "" || c.Time != "" || c.Test != "" || len(c.Drop)+len(c.Keep) > 0:
		return errors.New("--label, --group, --time, --test, --drop and --keep are for training on a table: a history has its features, assets and times")
	case c.Split != "" && c.Split != string(model.ByGroup) && c.Split != string(model.ByTime):
		return fmt.Errorf("--split %s is refused: windows of one asset resemble each other; group or time", c.Split)
	case c.Horizon < 0:
		return fmt.Errorf("--horizon %s: it must be more than 0", c.Horizon)
	}
	return nil
}

// runHistory trains on a warehouse's own history, measures by folds, and writes the model.
func (c *trainCmd) runHistory(ctx context.Context, t *terminal) error {
	what, err := c.whatIsKnown()
	if err != nil {
		return err
	}
	rules, err := t.settings.applyRules()
	if err != nil {
		return usageError{err}
	}
	data, counts, err := c.history(ctx, t, what, rules)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.err, "%s\n", counts)
	if err := counts.enough(c); err != nil {
		return err
	}
	for _, name := range model.Leaks(data.Dataset) {
		fmt.Fprintf(t.err, "note: %s alone tells all labels apart: with so few failures the forest learns little else\n", name)
	}
	cfg := model.TrainConfig{Trees: c.Trees, MaxDepth: c.Depth, MinLeaf: c.MinLeaf, PerNode: c.PerNode, Seed: c.Seed, Threads: c.Threads,
		Criterion: model.Criterion(c.Criterion), PositiveWeight: c.PositiveWeight, Name: cmp.Or(c.Name, "history"),
		Source: fmt.Sprintf("cidp train --data %s --horizon %s: %d failures", filepath.Base(c.Data), c.Horizon, counts.Learnt)}
	if c.Folds > 0 {
		if err := c.crossValidate(ctx, t, data.Dataset, &cfg, c.historyFolds(counts)); err != nil {
			return fmt.Errorf("%w; --folds 0 trains without measuring", err)
		}
		if cfg.Trial, err = data.holdTrial(cfg.Folds, cfg); err != nil {
			return err
		}
	}
	from := time.Now()
	forest, err := c.grow(ctx, t, data.Dataset, cfg, "train")
	if err != nil {
		return err
	}
	took := time.Since(from)
	size, err := writeModel(c.Out, forest)
	if err != nil {
		return err
	}
	return c.say(t, forest, size, trainedOn{history: counts}, took)
}

// holdTrial holds the folds' forests against the rules in force, on the windows that folds tested and of which a rule has something to say.
func (d *fleetData) holdTrial(measured *model.CrossValidation, cfg model.TrainConfig) (*model.Trial, error) {
	var which []int
	var p []float64
	for k, i := range measured.Rows {
		if d.scores[i] != nil {
			which, p = append(which, i), append(p, measured.P[k])
		}
	}
	how := model.DefaultTrialConfig()
	how.Source, how.Split, how.Seed = "folds of "+cfg.Source, measured.Split, cfg.Seed
	trial, err := model.HoldTrial(d.trialRows(which, p), how)
	return &trial, err
}

// historyFolds parts by asset where enough assets have failed, else by time.
func (c *trainCmd) historyFolds(counts *labelled) model.FoldConfig {
	f := model.FoldConfig{Split: model.Split(c.Split), Folds: c.Folds, Seed: c.Seed, Gap: c.Gap}
	if f.Split == "" {
		f.Split = model.ByTime
		if counts.Assets >= c.Folds && len(counts.failing) > 1 {
			f.Split = model.ByGroup
		}
	}
	if f.Split == model.ByTime { // what a label looked at must not be what the fold is tested on
		f.Gap = max(f.Gap, counts.reach)
	}
	return f
}

// enough says in a sentence why nothing can be learnt.
func (l *labelled) enough(c *trainCmd) error {
	switch {
	case l.Failures == 0:
		return fmt.Errorf("no failure is known of in %s: publish what workshops found on %s<site>/<asset>/<sensor>, or give --truth FILE.csv", c.Data, stream.VerdictPrefix)
	case l.Failing == 0:
		return fmt.Errorf("none of the %d failures known of in %s has a valid window within %s of running before it: there is nothing to learn from", l.Failures, c.Data, c.Horizon)
	case l.Failing == l.Windows:
		return fmt.Errorf("all %d windows in %s are before a failure: without healthy ones there is nothing to learn from", l.Windows, c.Data)
	}
	return nil
}

// whatIsKnown reads the truth file.
func (c *trainCmd) whatIsKnown() (known, error) {
	what := known{}
	if c.Truth == "" {
		return what, nil
	}
	rows, err := openTruth(c.Truth)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Truth, err)
	}
	what.read(rows)
	return what, nil
}

// history labels the valid windows of a warehouse. Rows are in the order of the sensors' names and of time, so that two databases with the same content train the same model.
func (c *trainCmd) history(ctx context.Context, t *terminal, what known, rules model.Rules) (d *fleetData, counts *labelled, err error) {
	path := warehousePath(c.Data)
	d = &fleetData{Dataset: model.Dataset{Schema: stream.FeatureList[:]}}
	counts = &labelled{failing: map[int]bool{}}
	err = store.ReadTraining(ctx, path, func(from *store.Training) error {
		findings, err := from.Findings()
		if err != nil {
			return err
		}
		what.hear(findings)
		sensors, err := from.Sensors()
		if err != nil {
			return err
		}
		slices.SortFunc(sensors, func(a, b *stream.Sensor) int {
			return cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.Asset, b.Asset), strings.Compare(a.Name, b.Name))
		})
		bar := newProgress(t, int64(len(sensors)), "read windows")
		defer bar.close()
		h := historyRows{trainCmd: c, from: from, what: what, rules: rules, d: d, counts: counts}
		for i, s := range sensors {
			if err := h.add(s); err != nil {
				return fmt.Errorf("sensor %s/%s/%s: %w", s.Site, s.Asset, s.Name, err)
			}
			bar.set(int64(i + 1))
		}
		counts.Strangers = len(what) - h.heard
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read history: %w", err)
	}
	return d, counts, nil
}

// historyRows labels one sensor after another.
type historyRows struct {
	*trainCmd
	from   *store.Training
	what   known
	rules  model.Rules
	d      *fleetData
	counts *labelled
	asset  [2]string // of the sensor before
	heard  int       // sensors that something is known of
}

func (h *historyRows) add(s *stream.Sensor) error {
	var windows []store.TrainingWindow
	var seen []model.Observed
	err := h.from.Windows(s.ID, func(w *store.TrainingWindow) error {
		windows = append(windows, *w)
		seen = append(seen, model.Observed{Start: w.Start, End: w.End, Speed: w.Features[stream.FSpeed]})
		return nil
	})
	if err != nil {
		return err
	}
	c := h.counts
	if name := [2]string{s.Site, s.Asset}; name != h.asset || c.Assets == 0 {
		h.asset = name
		c.Assets++
	}
	c.Sensors++
	component := h.component(s, seen)
	c.Failures += len(component.Outages)
	labels, reach, err := model.Labels(seen, component, h.Horizon)
	if err != nil {
		return err
	}
	var hold model.Hold // what the rules need of the past
	last := int64(0)    // time of the failure that a window told of last
	for i := range windows {
		w := &windows[i]
		var scores []float64
		if w.Valid {
			closed := stream.Window{Sensor: s, Start: w.Start, End: w.End, Features: w.Features}
			if all, spoke := h.rules.Scores(&closed, hold); spoke {
				scores = all
			}
			hold = hold.Follow(&closed)
		}
		if !c.takes(w, labels[i]) {
			continue
		}
		c.reach = max(c.reach, reach[i])
		if at := w.End + reach[i]; labels[i] == model.Failing && at != last {
			last = at
			c.Learnt++
			c.failing[c.Assets] = true
		}
		h.d.X = append(h.d.X, slices.Clone(w.Features[:]))
		h.d.Y = append(h.d.Y, uint8(labels[i]))
		h.d.Group, h.d.Time = append(h.d.Group, int32(c.Assets)), append(h.d.Time, w.End)
		h.d.scores, h.d.failure = append(h.d.scores, scores), append(h.d.failure, int32(c.Learnt))
	}
	return nil
}

// component puts together what is known of what a sensor watches.
func (h *historyRows) component(s *stream.Sensor, seen []model.Observed) *model.Component {
	last := int64(0)
	if n := len(seen); n > 0 {
		last = seen[n-1].End
	}
	c, heard := h.what.component(place{s.Site, s.Asset, s.Name}, last)
	if heard {
		h.heard++
	}
	return c
}

// takes counts a window, and says whether it trains.
func (l *labelled) takes(w *store.TrainingWindow, label model.Label) bool {
	switch {
	case !w.Valid:
		l.Quarantined++
	case label == model.Down:
		l.Down++
	case label == model.Unclear:
		l.Unclear++
	case label == model.Censored:
		l.Censored++
	default:
		l.Windows++
		l.Failing += int(label)
		return true
	}
	return false
}
