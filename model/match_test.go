package model_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// place makes failures and warnings of one sensor.
type place struct {
	asset, sensor string
	kind          stream.Kind
}

func (p place) fails(fault string, onset, at int64) model.Failure {
	return model.Failure{Site: "douala", Asset: p.asset, Sensor: p.sensor, Kind: p.kind, Fault: fault, Onset: onset * minute, At: at * minute}
}

func (p place) warned(raised, cleared int64) model.Warning {
	return model.Warning{Site: "douala", Asset: p.asset, Sensor: p.sensor, Kind: p.kind, Raised: raised * minute, Cleared: cleared * minute, Severity: model.Alarm, Source: model.SourceForest}
}

var (
	left  = place{"coach-12", "axle1-left", stream.Bearing}
	right = place{"coach-12", "axle1-right", stream.Bearing}
	disc  = place{"coach-12", "brake1", stream.Brake}
	other = place{"coach-13", "axle1-left", stream.Bearing}
)

func match(t *testing.T, failures []model.Failure, warnings []model.Warning) model.Matched {
	t.Helper()
	cfg := model.DefaultMatchConfig()
	cfg.AssetHours = 500
	m, err := model.Match(failures, warnings, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatch(t *testing.T) {
	broken := right.fails("drift", 50, 0)
	broken.OfSensor = true
	for name, c := range map[string]struct {
		failures []model.Failure
		warnings []model.Warning
		outcomes []model.Outcome
		meanings []model.Meaning
	}{
		"in time, and once": {
			[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(140, 141), left.warned(150, 152), left.warned(170, 0)},
			[]model.Outcome{model.Warned}, []model.Meaning{model.OfFailure, model.OfFailure, model.OfFailure}},
		"just in time": {[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(150, 0)}, []model.Outcome{model.Warned}, []model.Meaning{model.OfFailure}},
		"late":         {[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(151, 0)}, []model.Outcome{model.Late}, []model.Meaning{model.OfFailure}},
		"after the failure": {
			[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(161, 0)}, []model.Outcome{model.Missed}, []model.Meaning{model.OfFailure}},
		"before the onset it is false, and warns of nothing": {
			[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(99, 0)}, []model.Outcome{model.Missed}, []model.Meaning{model.FalseSound}},
		"without an onset the horizon counts": {
			[]model.Failure{left.fails("spall", 0, 160)}, []model.Warning{left.warned(39, 45), left.warned(40, 0)},
			[]model.Outcome{model.Warned}, []model.Meaning{model.FalseSound, model.OfFailure}},
		"the heat of a brake beside it is no false alarm, and no warning of the brake": {
			[]model.Failure{disc.fails("dragging_brake", 100, 160), left.fails("dragging_brake", 100, 0)}, []model.Warning{left.warned(120, 0), right.warned(120, 0)},
			[]model.Outcome{model.Missed}, []model.Meaning{model.OfFault, model.FalseSound}},
		"a fault that mends": {[]model.Failure{left.fails("seal_rub", 100, 0)}, []model.Warning{left.warned(90, 95), left.warned(110, 0)}, nil, []model.Meaning{model.FalseSound, model.OfFault}},
		"a broken sensor":    {[]model.Failure{broken}, []model.Warning{right.warned(49, 50), right.warned(60, 0)}, nil, []model.Meaning{model.FalseSound, model.FalseFaulty}},
		"another asset's":    {[]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{other.warned(120, 0)}, []model.Outcome{model.Missed}, []model.Meaning{model.FalseSound}},
	} {
		t.Run(name, func(t *testing.T) {
			m := match(t, c.failures, c.warnings)
			var outcomes []model.Outcome
			for _, f := range m.Failures {
				outcomes = append(outcomes, f.Outcome)
			}
			var meanings []model.Meaning
			for _, w := range m.Warnings {
				meanings = append(meanings, w.Meaning)
			}
			if !slices.Equal(outcomes, c.outcomes) || !slices.Equal(meanings, c.meanings) {
				t.Errorf("got %v and %v, want %v and %v", outcomes, meanings, c.outcomes, c.meanings)
			}
		})
	}
}

func TestMatchFigures(t *testing.T) {
	drift := right.fails("drift", 0, 0)
	drift.OfSensor = true
	m := match(t, []model.Failure{left.fails("spall", 100, 160), other.fails("seal_rub", 100, 160), disc.fails("dragging_brake", 100, 160), drift},
		[]model.Warning{left.warned(130, 0), other.warned(155, 0), right.warned(20, 30), right.warned(40, 0), left.warned(1, 2)})
	want := model.MatchFigures{Name: "all", Failures: 3, Warned: 1, Late: 1, Missed: 1, WarnedShare: 0.333333, MedianLead: 5, Leads: []float64{5, 30}, FalseAlarms: 3, FalseRate: 6}
	if got := m.All; got.String() != want.String() || !slices.Equal(got.Leads, want.Leads) {
		t.Errorf("all: got %s\nwant %s", got, want)
	}
	var names []string
	for _, g := range append(m.ByKind, m.ByFault...) {
		names = append(names, g.String())
	}
	text := strings.Join(names, "\n")
	for _, line := range []string{
		"bearing: 2 failures, 1 warned in time (50.0 %), 1 late, 0 missed, median lead 5.0 min, 3 false alarms (6.00 per 1,000 asset-hours)",
		"brake: 1 failures, 0 warned in time (0.0 %), 0 late, 1 missed, median lead 0.0 min, 0 false alarms",
		"sound: 0 failures, 0 warned in time (0.0 %), 0 late, 0 missed, median lead 0.0 min, 1 false alarms",
		"drift: 0 failures, 0 warned in time (0.0 %), 0 late, 0 missed, median lead 0.0 min, 2 false alarms",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
}

func TestMatchLeavesOutWhatWasNotObserved(t *testing.T) {
	cfg := model.DefaultMatchConfig()
	cfg.AssetHours, cfg.To = 1, 150*minute
	m, err := model.Match([]model.Failure{left.fails("spall", 100, 160)}, []model.Warning{left.warned(120, 0)}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Failures) != 0 || m.All.FalseAlarms != 0 || m.Warnings[0].Meaning != model.Unjudged {
		t.Errorf("a failure after the end of what was observed counts: %+v", m)
	}
}

func TestMatchRefuses(t *testing.T) {
	sensor := left.fails("drift", 1, 2)
	sensor.OfSensor = true
	for want, c := range map[string]struct {
		f   model.Failure
		cfg model.MatchConfig
	}{
		"asset-hours":      {left.fails("spall", 1, 2), model.DefaultMatchConfig()},
		"within a horizon": {left.fails("spall", 1, 2), model.MatchConfig{Lead: time.Hour, Horizon: time.Minute, AssetHours: 1}},
		"observed from":    {left.fails("spall", 1, 2), model.MatchConfig{AssetHours: 1, From: 5, To: 5}},
		"before its onset": {left.fails("spall", 2, 1), model.MatchConfig{AssetHours: 1}},
		"has no failure":   {sensor, model.MatchConfig{AssetHours: 1}},
	} {
		if _, err := model.Match([]model.Failure{c.f}, nil, c.cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
