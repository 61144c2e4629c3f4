package report

import (
	"errors"
	"fmt"
	"math"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// Input is what a report is made of.
type Input struct {
	Title      string
	Model      Model
	Data       Data // counts of rows, failures and positives are filled in
	Rows       []Row
	Schema     []stream.Feature // of Row.X
	Candidates []Candidate      // the first is the forest, if there is one
	Line       *Warned          // what the line told, forest and rules together; nil: rows have no event time
	Failures   []model.Failure
	Match      model.MatchConfig // AssetHours 0: no warnings can be held against failures
	Budget     float64           // false alarms that may be: per 1,000 asset-hours, or per 1,000 negative rows
	Predict    func(x []float64) float64
	Seed       uint64 // of the permutations
	Trial      *model.Trial
}

// Model is who is judged.
type Model struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Trees int    `json:"trees,omitempty"`
	Nodes int    `json:"nodes,omitempty"`
}

// Row is one scored window, or one row of a table.
type Row struct {
	Place
	Kind       stream.Kind
	Start, End int64 // event time, ms; 0 in a table
	X          []float64
	Y          uint8 // 1: fails within the horizon
	Known      bool  // Y holds; else the row ranks nothing, but may raise a warning
	Group      int32 // asset
}

// Place names a sensor; of a table the asset alone.
type Place struct {
	Site   string `json:"site,omitempty"`
	Asset  string `json:"asset"`
	Sensor string `json:"sensor,omitempty"`
}

// Candidate is somebody who scores rows: the forest, a rule, both.
type Candidate struct {
	Name        string
	What        string    // in a few words
	Scores      []float64 // 0 to 1 (any number in a table), by row; NaN: it has nothing to say, which counts as its lowest
	Probability bool      // scores are probabilities, so that they can be held against shares
	Warned      *Warned   // what it would tell by itself at its configured levels
}

// Warned is the alerts that somebody raised.
type Warned struct{ Warnings []model.Warning }

func (in *Input) check() error {
	if len(in.Rows) == 0 {
		return errors.New("make report: there is no row")
	}
	if len(in.Candidates) == 0 {
		return errors.New("make report: nobody scored the rows")
	}
	for i := range in.Rows {
		if len(in.Rows[i].X) != len(in.Schema) {
			return fmt.Errorf("make report: row %d has %d values for %d features", i, len(in.Rows[i].X), len(in.Schema))
		}
	}
	for _, c := range in.Candidates {
		if len(c.Scores) != len(in.Rows) {
			return fmt.Errorf("make report: %s has %d scores for %d rows", c.Name, len(c.Scores), len(in.Rows))
		}
	}
	if !(in.Budget > 0) || math.IsInf(in.Budget, 0) {
		return fmt.Errorf("make report: a budget of %v false alarms", in.Budget)
	}
	return nil
}

// timed says whether rows have event times and failures to be held against.
func (in *Input) timed() bool { return in.Match.AssetHours > 0 }
