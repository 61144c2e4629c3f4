package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

const min1 = int64(60_000)

// minutes gives windows of a minute, one after another; speeds repeat.
func minutes(n int, speeds ...float64) []model.Observed {
	out := make([]model.Observed, n)
	for i := range out {
		out[i] = model.Observed{Start: int64(i) * min1, End: int64(i+1) * min1, Speed: speeds[i%len(speeds)]}
	}
	return out
}

// text writes labels a letter each: healthy, failing, down, unclear, censored.
func text(labels []model.Label) string {
	b := make([]byte, len(labels))
	for i, l := range labels {
		b[i] = "hfduc"[l]
	}
	return string(b)
}

func TestLabels(t *testing.T) {
	at := func(m float64) int64 { return int64(m * float64(min1)) }
	never := int64(math.MaxInt64)
	for _, c := range []struct {
		about   string
		windows []model.Observed
		c       model.Component
		want    string
	}{
		{"healthy until the last horizon", minutes(8, 50), model.Component{Known: at(8)}, "hhhhhccc"},
		{"a finding after the end tells more", minutes(8, 50), model.Component{Known: at(20)}, "hhhhhhhh"},
		{"a failure at the end of a window", minutes(8, 50), model.Component{Outages: []model.Outage{{At: at(6), Until: never}}, Known: at(8)}, "hhffffdd"},
		{"a failure within a window takes it out", minutes(8, 50), model.Component{Outages: []model.Outage{{At: at(5.5), Until: never}}, Known: at(8)}, "hhfffddd"},
		{"before the onset there is nothing to learn", minutes(8, 50), model.Component{Outages: []model.Outage{{Onset: at(4.5), At: at(6), Until: never}}, Known: at(8)}, "hhhhffdd"},
		{"repaired, and it fails again", minutes(10, 50), model.Component{Outages: []model.Outage{{At: at(2), Until: at(4)}, {At: at(9), Until: never}}, Known: at(10)}, "ffddhffffd"},
		{"what stands does not run", minutes(10, 50, 0), model.Component{Outages: []model.Outage{{At: at(9), Until: never}}, Known: at(10)}, "hhfffffffd"},
		{"unknown speed counts by the clock", minutes(10, math.NaN()), model.Component{Outages: []model.Outage{{At: at(9), Until: never}}, Known: at(10)}, "hhhhhffffd"},
		{"a stretch of neither", minutes(8, 50), model.Component{Unclear: []model.Span{{From: at(2.5), To: at(4)}}, Known: at(20)}, "hhuuhhhh"},
		{"a failure before all windows", minutes(3, 50), model.Component{Outages: []model.Outage{{At: -at(3), Until: never}}, Known: at(3)}, "ddd"},
		{"a failure long after the last window", minutes(3, 50), model.Component{Outages: []model.Outage{{At: at(30), Until: never}}, Known: at(30)}, "hhh"},
		{"a failure within the horizon after the last window", minutes(3, 50), model.Component{Outages: []model.Outage{{At: at(4), Until: never}}, Known: at(4)}, "fff"},
	} {
		labels, _, err := model.Labels(c.windows, &c.c, 3*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(labels); got != c.want {
			t.Errorf("%s: %s, want %s", c.about, got, c.want)
		}
	}
}

// TestLabelsNeedNoMoreThanTheirReach: a label says how far it looked; what is told of later changes nothing in it.
func TestLabelsNeedNoMoreThanTheirReach(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var windows []model.Observed
		for at := int64(0); len(windows) < 40; {
			at += rng.Int64N(3) * min1 * rng.Int64N(2)
			w := model.Observed{Start: at, End: at + min1, Speed: []float64{0, 40, math.NaN()}[rng.IntN(3)]}
			windows, at = append(windows, w), w.End
		}
		end := windows[len(windows)-1].End
		var told []model.Told
		for range rng.IntN(5) {
			told = append(told, model.Told{At: rng.Int64N(end), Down: rng.IntN(3) > 0})
		}
		all := model.Component{Outages: model.Outages(told), Known: end}
		labels, reach, err := model.Labels(windows, &all, 7*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range windows {
			if labels[i] > model.Failing {
				continue
			}
			seen := w.End + reach[i]
			before := slices.DeleteFunc(slices.Clone(told), func(x model.Told) bool { return x.At > seen })
			c := model.Component{Outages: model.Outages(before), Known: seen}
			if again, _, err := model.Labels(windows, &c, 7*time.Minute); err != nil || again[i] != labels[i] {
				t.Fatalf("window %d is %d, and by what is known %d ms after its end %d (%v)\n%v\n%v", i, labels[i], reach[i], again[i], err, told, windows)
			}
		}
	}
}

func TestOutages(t *testing.T) {
	never := int64(math.MaxInt64)
	for _, c := range []struct {
		told []model.Told
		want []model.Outage
	}{
		{nil, nil},
		{[]model.Told{{At: 5}}, nil},
		{[]model.Told{{At: 9, Down: true, Onset: 4}, {At: 7, Down: true, Onset: 3}}, []model.Outage{{Onset: 3, At: 7, Until: never}}},
		{[]model.Told{{At: 8}, {At: 5, Down: true}, {At: 12, Down: true}, {At: 2}}, []model.Outage{{At: 5, Until: 8}, {At: 12, Until: never}}},
		{[]model.Told{{At: 5}, {At: 5, Down: true}}, []model.Outage{{At: 5, Until: 5}}},
	} {
		if got := model.Outages(c.told); !slices.Equal(got, c.want) {
			t.Errorf("%v makes %v, want %v", c.told, got, c.want)
		}
	}
	key := stream.FindingKey{TS: 100}
	for f, want := range map[stream.Finding]model.Told{
		{FindingKey: key, Found: stream.Failed}:                 {At: 100, Down: true},
		{FindingKey: key, Found: stream.Failed, Since: 60}:      {At: 60, Down: true},
		{FindingKey: key, Found: stream.Faulty, Since: 60}:      {At: 100, Down: true, Onset: 60},
		{FindingKey: key, Found: stream.Sound, Since: 60}:       {At: 60},
		{FindingKey: key, Found: stream.SensorFault, Since: 60}: {At: 60},
	} {
		if got := model.ToldBy(&f); got != want {
			t.Errorf("%+v tells %+v, want %+v", f, got, want)
		}
	}
}

func TestLabelsRefuse(t *testing.T) {
	if _, _, err := model.Labels(minutes(2, 1), &model.Component{}, 0); err == nil {
		t.Error("no horizon")
	}
	overlap := minutes(2, 1)
	overlap[1].Start--
	if _, _, err := model.Labels(overlap, &model.Component{}, time.Minute); err == nil {
		t.Error("windows that overlap")
	}
}
