package main

import (
	"fmt"
	"slices"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// fleetRows are the labelled windows of one fleet, with what the rules of physics say of each.
type fleetRows struct {
	x       [][]float64
	y       []uint8
	group   []int32
	scores  [][]float64 // by model.RuleNames, and all rules together; nil for a window that judges nobody
	failure []int32     // which sensor of which fleet: its component fails once

	common bool  // a fleet in which every fault comes
	first  int32 // of the fleet's sensors
	rules  model.Rules
	holds  map[int64]model.Hold
	before model.Hold // of the sensor of the window that is taken, before it
}

// learnable says whether a window's figures are good to learn from: it is valid, or out only for what its sensor is known for. Such a window is never scored, but its like
// came before that was known.
func learnable(w *stream.Window) bool {
	return !slices.ContainsFunc(w.Reasons, func(r stream.Reason) bool { return r != stream.SensorDrift && r != stream.Fouling })
}

// add takes a window to learn from. It judges forest and rules when the line would score it, a rule has its inputs, and its fleet is not made for what is rare.
func (r *fleetRows) add(w *stream.Window, fails bool, group int32, at simulator.SensorInfo) {
	r.x = append(r.x, append([]float64(nil), w.Features[:]...))
	y := uint8(0)
	if fails {
		y = 1
	}
	r.y = append(r.y, y)
	r.group = append(r.group, group)
	r.failure = append(r.failure, r.first+int32(w.Sensor.ID))
	var scores []float64
	if w.Valid() && r.common {
		if all, spoke := r.rules.Scores(w, r.before); spoke {
			scores = all
		}
	}
	r.scores = append(r.scores, scores)
}

// follow folds a window into its sensor's hold, as the rules alone would: its level says whether the sensor's baseline stands still.
func (r *fleetRows) follow(w *stream.Window) {
	r.before = r.holds[w.Sensor.ID]
	if !w.Valid() || w.Revision > 0 {
		return
	}
	hold := r.before.Follow(w)
	hold.Level = r.rules.Eval(w, r.before).Level
	r.holds[w.Sensor.ID] = hold
}

// fleetData is the windows of all fleets, simulated ones or a warehouse's own.
type fleetData struct {
	model.Dataset
	scores  [][]float64
	failure []int32
}

func (d *fleetData) add(r *fleetRows) {
	d.X = append(d.X, r.x...)
	d.Y = append(d.Y, r.y...)
	d.Group = append(d.Group, r.group...)
	d.scores = append(d.scores, r.scores...)
	d.failure = append(d.failure, r.failure...)
}

// measure measures a forest on assets held out and lets it stand trial against the rules there, on the windows that judge.
func (d *fleetData) measure(f *model.Forest, held []int, cfg *model.TrainConfig) error {
	held = slices.DeleteFunc(slices.Clone(held), func(i int) bool { return d.scores[i] == nil })
	rest := d.Pick(held)
	rows := d.trialRows(held, f.PredictBatch(nil, rest.X))
	measured, err := model.Evaluate(rows.P, rest.Y)
	if err != nil {
		return fmt.Errorf("measure forest: %w", err)
	}
	measured.Groups = rest.Groups()
	how := model.DefaultTrialConfig()
	how.Source, how.Seed = "assets held out of "+cfg.Source, cfg.Seed
	trial, err := model.HoldTrial(rows, how)
	if err != nil {
		return err
	}
	cfg.HeldOut, cfg.Trial = &measured, &trial
	return nil
}

// trialRows gives rows that judge, with what a forest that did not learn from them says of each.
func (d *fleetData) trialRows(which []int, p []float64) model.TrialRows {
	rest := d.Pick(which)
	rows := model.TrialRows{Y: rest.Y, P: p, Group: rest.Group}
	for _, name := range append(model.RuleNames(), report.AllRules) {
		rows.Rules = append(rows.Rules, model.Candidate{Name: name})
	}
	for _, i := range which {
		rows.Failure = append(rows.Failure, d.failure[i])
		for k := range rows.Rules {
			rows.Rules[k].Score = append(rows.Rules[k].Score, d.scores[i][k])
		}
	}
	return rows
}
