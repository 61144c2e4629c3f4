package console

import (
	"context"
	"net/http"
)

// Drifter says how what the model sees now differs from what it was trained with. It is called from several goroutines at once.
type Drifter interface {
	Drift(ctx context.Context) (Drift, error)
}

// Drift is how a model's windows are spread beside its training data. Its states are "unknown" (too little to tell), "steady", "watch" and "look", which is no "wrong".
type Drift struct {
	State    string        `json:"state"` // the worst of all
	Why      string        `json:"why"`   // in a sentence
	Model    string        `json:"model"`
	From     Time          `json:"from"` // event time that is counted
	To       Time          `json:"to"`
	SpanS    int64         `json:"span_s"` // the most that is
	Windows  int64         `json:"windows"`
	Needed   int64         `json:"windows_needed"`
	WatchAt  Figure        `json:"watch_from"` // PSI
	LookAt   Figure        `json:"look_from"`
	Score    DriftFigure   `json:"score"`
	Features []DriftFigure `json:"features"` // in the model's order
	Brier    BrierTrend    `json:"brier"`
}

// DriftFigure is the population stability index of a feature, or of the score.
type DriftFigure struct {
	Feature         string `json:"feature,omitempty"` // empty: the score
	PSI             Figure `json:"psi"`
	State           string `json:"state"`
	Missing         Figure `json:"missing_share"`
	MissingTraining Figure `json:"missing_share_training"`
}

// BrierTrend is how right the model was, by the hour, as far as workshops have told.
type BrierTrend struct {
	State string      `json:"state"`
	Why   string      `json:"why"`
	Since Time        `json:"risen_since"` // 0: it has not risen
	Hours []BrierHour `json:"hours"`
}

// BrierHour is the mean squared distance of probability and what happened, of the windows that ended in an hour.
type BrierHour struct {
	At      Time   `json:"at"`
	Windows int64  `json:"windows"`
	Brier   Figure `json:"brier"`
}

// drift answers GET /api/v1/drift.
func (a *api) drift(from Drifter) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.patience)
		defer cancel()
		d, err := from.Drift(ctx)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		d.Features, d.Brier.Hours = orEmpty(d.Features), orEmpty(d.Brier.Hours)
		writeJSON(w, http.StatusOK, d)
	}
}
