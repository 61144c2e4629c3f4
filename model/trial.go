package model

import "fmt"

// Trial is how a model did beside the rules of physics, on assets or times that it never saw. A model goes live only by a trial that it passed.
type Trial struct {
	ModelID  string `json:"model_id,omitempty"` // empty in the manifest of the model itself
	Source   string `json:"source"`             // where the data come from, for people
	Split    Split  `json:"split"`              // how what it was tested on was kept apart from what it learnt from
	Failures int    `json:"failures"`           // distinct failures among the data
	Passed   bool   `json:"passed"`
	Why      string `json:"why"` // one sentence, with figures
}

// MayGoLive says whether the trial in a model's manifest lets it score for people, and why not when it does not: it runs in shadow then.
func (f *Forest) MayGoLive() (ok bool, why string) {
	t := f.manifest.Trial
	switch {
	case t == nil:
		return false, "it has had no trial against the rules of physics"
	case !t.Passed:
		return false, fmt.Sprintf("it did not pass its trial against the rules of physics: %s", t.Why)
	}
	return true, t.Why
}
