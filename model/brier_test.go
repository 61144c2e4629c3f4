package model_test

import (
	"math"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
)

// TestTrendByHand: three hours of 20 windows with probability 0.1, one component of which fails at the end of the second: its windows of the half hour before count as 1, those after it not at all.
func TestTrendByHand(t *testing.T) {
	const hour = int64(3_600_000)
	base := int64(480_000) * hour
	report := model.DriftReport{To: base + 4*hour}
	tracked := model.Tracked{Component: model.Component{Outages: []model.Outage{{At: base + 2*hour, Until: math.MaxInt64}}, Known: base + 4*hour}}
	for h := range int64(4) {
		report.Hours = append(report.Hours, model.ScoredHour{Start: base + h*hour, Windows: 40, Squares: 40 * 0.01})
		for m := range int64(4) { // of 15 minutes; the last of each ends with the hour and counts for the next
			start := base + h*hour + m*hour/4
			tracked.Windows = append(tracked.Windows, model.Observed{Start: start, End: start + hour/4, Speed: 50})
			tracked.P = append(tracked.P, 0.1)
		}
	}
	tracked.P[0] = math.NaN() // not scored
	if err := report.Tell(&tracked, 30*time.Minute); err != nil {
		t.Fatal(err)
	}
	trend := report.Trend(30 * time.Minute)
	// Windows that end 15 and 0 minutes before the failure fall into the second and third hour, and one 30 minutes before into the second; three after it are of the third.
	want := []float64{0.4 / 40, (0.4 + 2*0.8) / 40, (0.4 + 0.8 - 3*0.01) / 37}
	if len(trend.Hours) != 3 || trend.Risen != 0 {
		t.Fatalf("%+v", trend)
	}
	for i, h := range trend.Hours {
		if math.Abs(h.Brier-want[i]) > 1e-12 {
			t.Errorf("hour %d: %v of %d windows, want %v", i, h.Brier, h.Windows, want[i])
		}
	}
}

// TestTrendRises: scores that no longer fit what happens are told of within half a day; hours of few windows say nothing.
func TestTrendRises(t *testing.T) {
	const hour = int64(3_600_000)
	report := model.DriftReport{To: 480_168 * hour}
	for h := range int64(168) {
		n, p := int64(500), 0.05+0.005*float64(h%5)
		if h >= 100 {
			p += 0.1
		}
		if h == 50 {
			n, p = 3, 1
		}
		report.Hours = append(report.Hours, model.ScoredHour{Start: (480_000 + h) * hour, Windows: n, Squares: float64(n) * p * p})
	}
	trend := report.Trend(30 * time.Minute)
	if at := trend.Risen/hour - 480_000; at < 100 || at > 112 || len(trend.Hours) != 166 {
		t.Errorf("risen in hour %d of %d hours", at, len(trend.Hours))
	}
}
