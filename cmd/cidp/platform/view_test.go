package platform

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/camrail/cidp/model"
)

// What the page shows of a stored explanation are its words.
func TestExplanationInWords(t *testing.T) {
	usual := 1.125
	raw, err := json.Marshal([]model.Contribution{
		{Feature: "mate_diff_c", Value: 12.4, Contribution: 0.25, Usual: &usual}, {Feature: "peer_z", Value: math.NaN(), Contribution: -0.125},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := explanation(raw)
	if len(got) != 2 || got[0].Text != "12.4 K over its mate, usual 1.1 K" || got[1].Text != "fewer than 3 peers" || got[0].Contribution != 0.25 {
		t.Errorf("%s is shown as %+v", raw, got)
	}
}
