package model_test

import (
	"testing"

	"github.com/camrail/cidp/model"
)

// TestHoldAgain: a revision counts as its window did, once; what was done to an alert stands.
func TestHoldAgain(t *testing.T) {
	before := model.Hold{Level: model.Watch, Above: 1, Below: 0, FreeSince: 5, LastEnd: 6}
	for _, c := range []struct {
		about             string
		before, now, want model.Hold
	}{
		{"no alert", before, model.Hold{Level: model.Alarm, Above: 2, FreeSince: 7, LastEnd: 8}, before},
		{"it had raised one", before, model.Hold{Level: model.Alarm, Above: 2, AlertID: "a", Worst: model.Alarm, RaisedAt: 9},
			model.Hold{Level: model.Watch, AlertID: "a", Worst: model.Alarm, RaisedAt: 9, FreeSince: 5, LastEnd: 6}},
		{"it had made one worse", model.Hold{Level: model.Alarm, Above: 3, Below: 2, AlertID: "a", Worst: model.Alarm, RaisedAt: 9},
			model.Hold{Level: model.Critical, Above: 4, AlertID: "a", Worst: model.Critical, RaisedAt: 9},
			model.Hold{Level: model.Alarm, Above: 3, Below: 2, AlertID: "a", Worst: model.Critical, RaisedAt: 9}},
		{"it had cleared one", model.Hold{Level: model.Normal, Below: 4, AlertID: "a", Worst: model.Alarm, RaisedAt: 9}, model.Hold{}, model.Hold{}},
	} {
		if got := c.now.Again(c.before); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.about, got, c.want)
		}
	}
}
