package model_test

import (
	"math"
	"testing"

	"github.com/camrail/cidp/model"
)

func TestReliable(t *testing.T) {
	// 0.25: one of four is positive, as told. 0.95 and 1: half are positive, 0.975 was told.
	p := []float64{0.25, 0.25, 0.25, 0.25, 0.95, 1}
	y := []uint8{0, 1, 0, 0, 1, 0}
	r, err := model.Reliable(p, y)
	if err != nil {
		t.Fatal(err)
	}
	want := []model.ReliabilityBin{{From: 0.2, To: 0.3, Rows: 4, Mean: 0.25, Share: 0.25}, {From: 0.9, To: 1, Rows: 2, Mean: 0.975, Share: 0.5}}
	if len(r.Bins) != 2 || r.Bins[0] != want[0] || r.Bins[1] != want[1] || math.Abs(r.ECE-0.475/3) > 1e-6 {
		t.Errorf("%+v", r)
	}
	for name, bad := range map[string]struct {
		p []float64
		y []uint8
	}{"none": {nil, nil}, "short": {p, y[1:]}, "above": {[]float64{1.1}, []uint8{1}}, "NaN": {[]float64{math.NaN()}, []uint8{1}}, "label": {[]float64{0.1}, []uint8{2}}} {
		if _, err := model.Reliable(bad.p, bad.y); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestWeightsBreakReliability: a forest without class weights tells shares of rows; balanced classes do not, which is why weights are off.
func TestWeightsBreakReliability(t *testing.T) {
	d := noisy(6000, 6, 8)
	measure := func(weight float64) model.CrossValidation {
		cfg := small()
		cfg.PositiveWeight = weight
		cv, err := model.CrossValidate(t.Context(), d, cfg, model.DefaultFoldConfig())
		if err != nil {
			t.Fatal(err)
		}
		return cv
	}
	plain, weighted := measure(0), measure(8)
	if plain.Reliability.ECE > 0.06 || weighted.Reliability.ECE < 3*plain.Reliability.ECE || weighted.Pooled.Brier <= plain.Pooled.Brier {
		t.Errorf("ECE %v and Brier %v without weights, %v and %v with", plain.Reliability.ECE, plain.Pooled.Brier, weighted.Reliability.ECE, weighted.Pooled.Brier)
	}
}
