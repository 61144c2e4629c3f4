package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/camrail/cidp/model"
)

// Report is every figure of a report, and its JSON.
type Report struct {
	Title      string       `json:"title"`
	Verdict    string       `json:"verdict"` // one sentence
	Caveats    []string     `json:"caveats"`
	Model      Model        `json:"model"`
	Data       Data         `json:"data"`
	Budget     float64      `json:"budget"`
	LeadMin    float64      `json:"lead_min,omitempty"` // a warning is in time with at least so much lead
	Line       *Told        `json:"line,omitempty"`     // the alerts of forest and rules together
	Candidates []Figures    `json:"candidates"`
	Importance *Importance  `json:"importance,omitempty"`
	Trial      *model.Trial `json:"trial,omitempty"` // of the forest against the rules, on the labelled rows
}

// Data says what was scored.
type Data struct {
	Source      string  `json:"source"` // for people
	Labels      string  `json:"labels"` // where they come from
	Unit        string  `json:"unit"`   // "windows" or "rows": what a row is
	Simulated   *bool   `json:"simulated,omitempty"`
	Assets      int     `json:"assets"`
	Sensors     int     `json:"sensors,omitempty"`
	Windows     int     `json:"windows,omitempty"`     // closed, newest revisions
	Quarantined int     `json:"quarantined,omitempty"` // of them: never scored
	Rows        int     `json:"rows"`                  // scored
	Labelled    int     `json:"labelled"`              // of them
	Positives   int     `json:"positives"`             // of those
	HorizonMin  float64 `json:"horizon_min,omitempty"` // of running time
	AssetHours  float64 `json:"asset_hours,omitempty"`
	FromMs      int64   `json:"from_ms,omitempty"`
	ToMs        int64   `json:"to_ms,omitempty"`
	Failures    int     `json:"failures,omitempty"`           // within that time
	Elsewhere   int     `json:"failures_elsewhere,omitempty"` // known of assets without a reading: they count nowhere
}

// Told is what alerts meant for people.
type Told struct {
	Warnings int                  `json:"warnings"` // alerts raised, of failures and of nothing
	All      model.MatchFigures   `json:"all"`
	ByKind   []model.MatchFigures `json:"by_kind"`
	ByFault  []model.MatchFigures `json:"by_fault"`
	Missed   []Failed             `json:"missed"` // failures that were not warned of in time
	False    []FalseAlarm         `json:"false"`
}

// Failed is a failure that nobody was warned of in time.
type Failed struct {
	Place
	Kind    string  `json:"kind"`
	Fault   string  `json:"fault"`
	OnsetMs int64   `json:"onset_ms,omitempty"`
	AtMs    int64   `json:"at_ms"`
	Outcome string  `json:"outcome"`            // missed, or late
	LeadMin float64 `json:"lead_min,omitempty"` // of a late one
}

// FalseAlarm is a warning of a sound component.
type FalseAlarm struct {
	Place
	Kind     string `json:"kind"`
	RaisedMs int64  `json:"raised_ms"`
	Severity string `json:"severity"`
	Source   string `json:"source"`  // forest, or the rule that spoke
	Meaning  string `json:"meaning"` // sound, or sensor: the component is sound and its sensor is not
	Fault    string `json:"fault,omitempty"`
}

// Figures are those of one candidate.
type Figures struct {
	Name        string              `json:"name"`
	What        string              `json:"what"`
	Rows        *RowFigures         `json:"rows,omitempty"`
	Reliability *model.Reliability  `json:"reliability,omitempty"` // of probabilities
	ROC         []Point             `json:"roc,omitempty"`         // x false positive share, y true positive share
	PR          []Point             `json:"pr,omitempty"`          // x recall, y precision
	Sweep       []Step              `json:"sweep,omitempty"`       // by rising threshold
	AtBudget    *AtBudget           `json:"at_budget,omitempty"`
	Configured  *model.MatchFigures `json:"configured,omitempty"` // its alerts at its configured levels
}

// RowFigures say how scores rank and fit labelled rows (model.Evaluation says how they are measured).
type RowFigures struct {
	Rows      int      `json:"rows"`
	Positives int      `json:"positives"`
	Assets    int      `json:"assets"`
	ROCAUC    float64  `json:"roc_auc"`
	PRAUC     float64  `json:"pr_auc"`
	Brier     *float64 `json:"brier,omitempty"` // of probabilities
}

// Point is one of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
	T float64 `json:"t"` // threshold: scores from it on are positive
}

// Make works the figures out. It refuses input that does not fit together, and labels of one class.
func Make(in Input) (*Report, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	r := &Report{Title: in.Title, Model: in.Model, Data: in.Data, Budget: in.Budget}
	r.count(&in)
	if in.timed() {
		r.LeadMin = in.Match.Lead.Minutes()
	}
	if in.timed() && in.Line != nil {
		told, err := tell(&in, in.Line.Warnings)
		if err != nil {
			return nil, err
		}
		r.Line, r.Data.Failures = told, told.All.Failures
	}
	rows := labelled(in.Rows)
	lines := sequences(in.Rows)
	for i := range in.Candidates {
		f, err := figuresOf(&in, &in.Candidates[i], rows, lines)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", in.Candidates[i].Name, err)
		}
		r.Candidates = append(r.Candidates, *f)
	}
	if in.Predict != nil {
		var err error
		if r.Importance, err = importance(&in, rows); err != nil {
			return nil, err
		}
	}
	r.Trial = in.Trial
	r.Verdict, r.Caveats = r.verdict(), r.caveats()
	return r, nil
}

// count fills in what the rows say of the data.
func (r *Report) count(in *Input) {
	d := &r.Data
	d.Rows, d.Labelled, d.Positives = len(in.Rows), 0, 0
	sensors, assets := map[Place]bool{}, map[Place]bool{}
	for i := range in.Rows {
		row := &in.Rows[i]
		sensors[row.Place] = true
		assets[Place{Site: row.Site, Asset: row.Asset}] = true
		if row.Known {
			d.Labelled++
			d.Positives += int(row.Y)
		}
	}
	d.Assets = max(d.Assets, len(assets))
	if d.Unit == Windows {
		d.Sensors = max(d.Sensors, len(sensors))
	}
	d.AssetHours = round(in.Match.AssetHours, 3)
}

// What a row is.
const (
	Windows = "windows"
	Rows    = "rows"
)

// tell holds warnings against failures.
func tell(in *Input, warnings []model.Warning) (*Told, error) {
	m, err := model.Match(in.Failures, warnings, in.Match)
	if err != nil {
		return nil, err
	}
	t := &Told{Warnings: len(m.Warnings), All: m.All, ByKind: m.ByKind, ByFault: m.ByFault}
	for _, f := range m.Failures {
		if f.Outcome == model.Warned {
			continue
		}
		t.Missed = append(t.Missed, Failed{Place{f.Site, f.Asset, f.Sensor}, f.Kind.String(), f.Fault, f.Onset, f.At, string(f.Outcome), round(float64(f.LeadMs)/60_000, 3)})
	}
	for _, w := range m.Warnings {
		if w.Meaning.IsFalse() {
			t.False = append(t.False, FalseAlarm{Place{w.Site, w.Asset, w.Sensor}, w.Kind.String(), w.Raised, w.Severity.String(), w.Source, string(w.Meaning), w.Fault})
		}
	}
	slices.SortStableFunc(t.Missed, func(a, b Failed) int { return cmp.Compare(a.AtMs, b.AtMs) })
	slices.SortStableFunc(t.False, func(a, b FalseAlarm) int { return cmp.Compare(a.RaisedMs, b.RaisedMs) })
	return t, nil
}

// labelled are the rows whose label is known.
func labelled(rows []Row) []int {
	var out []int
	for i := range rows {
		if rows[i].Known {
			out = append(out, i)
		}
	}
	return out
}

// sequences are the rows of each sensor in event-time order, sensors in the order of their first row.
func sequences(rows []Row) [][]int {
	at := map[Place]int{}
	var out [][]int
	for i := range rows {
		k, ok := at[rows[i].Place]
		if !ok {
			k = len(out)
			at[rows[i].Place] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	for _, s := range out {
		slices.SortStableFunc(s, func(a, b int) int { return cmp.Compare(rows[a].Start, rows[b].Start) })
	}
	return out
}

// round keeps some decimals, so that documents hold no noise.
func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}
