package report

import (
	"github.com/camrail/cidp/model"
)

// Step is what alerts at one threshold would have meant.
type Step struct {
	Threshold   float64 `json:"threshold"`
	WarnedShare float64 `json:"warned_share"` // of the failures, in time
	FalseRate   float64 `json:"false_rate"`   // per 1,000 asset-hours
	MedianLead  float64 `json:"median_lead_min"`
}

// AtBudget is the threshold that warns of most failures with no more false alarms than the budget, the lowest of equals.
type AtBudget struct {
	Threshold   float64             `json:"threshold"`
	WarnedShare float64             `json:"warned_share"` // of the failures in time; of a table, of the positive rows
	FalseRate   float64             `json:"false_rate"`
	Figures     *model.MatchFigures `json:"figures,omitempty"`
	Confusion   Confusion           `json:"confusion"` // of labelled rows, each by itself
}

// Thresholds tried: 0.01 to 0.99.
const thresholds = 99

// Alerts at a threshold are raised and cleared as the line's are (model.DefaultAlertConfig), but for its hysteresis and its short way at critical: raiseAfter rows in a row from the
// threshold on raise one, clearAfter in a row below clear it. So every candidate is held to one rule of the game.
var alertRule = model.DefaultAlertConfig()

// sweep tries every threshold.
func (f *Figures) sweep(in *Input, c *Candidate, lines [][]int) error {
	if c.Scores == nil {
		return nil
	}
	for k := 1; k <= thresholds; k++ {
		t := float64(k) / (thresholds + 1)
		m, err := model.Match(in.Failures, alertsAt(in.Rows, c, lines, t), in.Match)
		if err != nil {
			return err
		}
		all := m.All
		f.Sweep = append(f.Sweep, Step{t, all.WarnedShare, all.FalseRate, all.MedianLead})
		if all.FalseRate <= in.Budget && (f.AtBudget == nil || all.WarnedShare > f.AtBudget.WarnedShare) {
			f.AtBudget = &AtBudget{Threshold: t, WarnedShare: all.WarnedShare, FalseRate: all.FalseRate, Figures: &all}
		}
	}
	return nil
}

// alertsAt gives the alerts that a threshold raises. A row without a score (NaN) is below it.
func alertsAt(rows []Row, c *Candidate, lines [][]int, threshold float64) (out []model.Warning) {
	for _, line := range lines {
		above, below := 0, 0
		open := -1
		for _, i := range line {
			row := &rows[i]
			if c.Scores[i] >= threshold {
				above, below = above+1, 0
			} else {
				above, below = 0, below+1
			}
			switch {
			case open < 0 && above >= alertRule.RaiseAfter:
				open = len(out)
				out = append(out, model.Warning{Site: row.Site, Asset: row.Asset, Sensor: row.Sensor, Kind: row.Kind, Raised: row.End, Severity: model.Alarm, Source: c.Name})
			case open >= 0 && below >= alertRule.ClearAfter:
				out[open].Cleared, open = row.End, -1
			}
		}
	}
	return out
}
