package stream_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/camrail/cidp/stream"
)

// TestRepeats: a repeat is a duplicate and another value a conflict, wherever the first one is by now: in the open window, in the batch that fills,
// in the batch that was taken, on disk. Behind the closed windows, what was never seen is late.
func TestRepeats(t *testing.T) {
	for _, where := range []string{"open", "in this batch", "taken", "on disk", "after a restart"} {
		t.Run(where, func(t *testing.T) {
			p := newPlant(t, nil)
			open := where == "open"
			p.temps("axle1-left", 0, 30, 2, healthy)
			if !open {
				p.temps("axle1-left", 32, 80, 2, healthy)
			}
			switch where {
			case "taken":
				defer p.commit(p.w.Take()) // the repeats come while the batch is on its way
			case "on disk", "after a restart":
				p.commit(p.w.Take())
				if where == "after a restart" {
					p.w = p.restart()
				}
			}
			reasons := []stream.Reason{p.send("axle1-left", reading(10, healthy(10))), p.send("axle1-left", reading(10, 50)), p.send("axle1-left", reading(11, 40))}
			b := p.w.Take()
			if want := []stream.Reason{"", stream.Conflict, ""}; fmt.Sprint(reasons) != fmt.Sprint(want) {
				t.Errorf("reasons %q, want %q", reasons, want)
			}
			late := int64(1)
			if open {
				late = 0
			}
			if c := b.Count; c.Duplicate != 1 || c.Refused != 1 || c.Late != late || len(b.Conflicted) != 1 {
				t.Errorf("count %+v, %d in dispute", c, len(b.Conflicted))
			}
			if open {
				return
			}
			if l := b.Late[0]; l.TS != at(11) || l.Temp != 40_000 || l.SensorID != 1 || l.AssetID != 1 || l.Received != t0+1e9 || l.Reason != stream.Late {
				t.Errorf("late %+v", l)
			}
		})
	}
}

// TestAnyFieldMakesAConflict: two readings are the same only if every field is.
func TestAnyFieldMakesAConflict(t *testing.T) {
	base := `{"ts":1700000040000,"temp_c":40,"seq":1,"brake":0}`
	for other, want := range map[string]stream.Reason{
		`{"ts":"2023-11-14T22:14:00Z","seq":1,"temp_c":4.0e1,"brake":0.0}`: "",
		`{"ts":1700000040000,"temp_c":40,"seq":2,"brake":0}`:               stream.Conflict,
		`{"ts":1700000040000,"temp_c":40,"seq":1,"brake":1}`:               stream.Conflict,
		`{"ts":1700000040000,"temp_c":40,"brake":0}`:                       stream.Conflict,
		`{"ts":1700000040000,"temp_c":40,"seq":1,"brake":0,"load_t":0}`:    stream.Conflict,
	} {
		p := newPlant(t, nil)
		p.send("axle1-left", base)
		if got := p.send("axle1-left", other); got != want {
			t.Errorf("%s after %s: %q, want %q", other, base, got, want)
		}
	}
}

// TestDisputedReadingsStayOut of n and of the figures, whichever of the two came first.
func TestDisputedReadingsStayOut(t *testing.T) {
	for _, first := range []float64{40, 44} {
		p := newPlant(t, nil)
		p.temps("axle1-left", 0, 30, 1, func(float64) float64 { return 40 })
		p.send("axle1-left", reading(30.5, first))
		if got := p.send("axle1-left", reading(30.5, 84-first)); got != stream.Conflict {
			t.Errorf("the second value: %q", got)
		}
		if got := p.send("axle1-left", reading(30.5, 84-first)); got != stream.Conflict {
			t.Errorf("the second value once more: %q", got)
		}
		if got := p.send("axle1-left", reading(30.5, first)); got != "" {
			t.Errorf("the first value once more: %q", got)
		}
		p.temps("axle1-left", 31, 70, 1, func(float64) float64 { return 40 })
		b := p.w.Take()
		p.commit(b)
		p.settled()
		if w := b.Windows[0]; w.N != 60 || w.Features[stream.FMean] != 40 || w.Features[stream.FMax] != 40 {
			t.Errorf("n %d, mean %v", w.N, w.Features[stream.FMean])
		}
	}
}

// TestWindowOfDisputesOnly: no window is made, the readings stay open for the store, and a repeat after a restart is still a duplicate.
func TestWindowOfDisputesOnly(t *testing.T) {
	p := newPlant(t, nil)
	p.send("x", reading(5, 40))
	p.send("x", reading(5, 41))
	p.send("x", reading(300, 40))
	p.want("only disputed readings")
	if o := p.open[1]; !slices.Equal(o.Times, []int64{at(5), at(300)}) {
		t.Errorf("open %v", o)
	}
	p.w = p.restart()
	if got := p.send("x", reading(5, 40)); got != "" {
		t.Errorf("the repeat: %q", got)
	}
	p.temps("x", 301, 400, 1, healthy)
	p.want("the next window", "x 300-360 n=60/60 watermark")
	if p.count.Duplicate != 1 || p.count.Late != 0 || p.open[1].From != at(360) {
		t.Errorf("count %+v, open %v", p.count, p.open)
	}
	p.settled()
}

// TestContextJoin: a reading takes what it lacks from the newest context at or before it, at most 5 minutes old, unless in dispute.
func TestContextJoin(t *testing.T) {
	for _, c := range []struct {
		about    string
		contexts []string
		own      string // fields of the readings
		ambient  string // of the window from 600 to 660, mean over its readings; NaN: none
		speed    string
	}{
		{about: "no context", ambient: "NaN", speed: "NaN"},
		{about: "a context before", contexts: []string{context(590, `"ambient_c":20,"speed_kmh":50`)}, ambient: "20", speed: "50"},
		{about: "the newer of two, whole: nothing is taken from the older", contexts: []string{context(580, `"ambient_c":20`), context(590, `"speed_kmh":50`)}, ambient: "NaN", speed: "50"},
		{about: "in any order", contexts: []string{context(595, `"ambient_c":20`), context(590, `"ambient_c":10`)}, ambient: "20", speed: "NaN"},
		{about: "a change in the middle", contexts: []string{context(590, `"ambient_c":20`), context(630, `"ambient_c":30`)}, ambient: "25", speed: "NaN"},
		{about: "none from the future", contexts: []string{context(630, `"ambient_c":30`)}, ambient: "30", speed: "NaN"},
		{about: "at most five minutes old", contexts: []string{context(300, `"ambient_c":20`)}, ambient: "20", speed: "NaN"},
		{about: "older than five minutes", contexts: []string{context(299.999, `"ambient_c":20`)}, ambient: "NaN", speed: "NaN"},
		{about: "the reading's own field wins", contexts: []string{context(590, `"ambient_c":20,"speed_kmh":50`)}, own: `,"speed_kmh":7`, ambient: "20", speed: "7"},
		{about: "a context in dispute says nothing, the one before it does",
			contexts: []string{context(580, `"ambient_c":10`), context(590, `"ambient_c":20`), context(590, `"ambient_c":21`)}, ambient: "10", speed: "NaN"},
	} {
		t.Run(c.about, func(t *testing.T) {
			p := newPlant(t, nil)
			for _, payload := range c.contexts {
				p.publish(stream.ContextTopic("douala", "loco7"), payload)
			}
			for s := 600; s < 660; s++ {
				p.send("axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":%.2f%s}`, at(float64(s)), healthy(float64(s)), c.own))
			}
			p.tick(1e15) // the contexts need not go on for the window to close
			w := p.w.Take().Windows[0]
			if got := fmt.Sprint(w.Features[stream.FAmbient]); got != c.ambient {
				t.Errorf("ambient %s, want %s", got, c.ambient)
			}
			if got := fmt.Sprint(w.Features[stream.FSpeed]); got != c.speed {
				t.Errorf("speed %s, want %s", got, c.speed)
			}
		})
	}
}

func context(sec float64, fields string) string { return fmt.Sprintf(`{"ts":%d,%s}`, at(sec), fields) }

// TestContextRepeats: contexts are told apart like readings; one that a closed window would have needed is late.
func TestContextRepeats(t *testing.T) {
	p := newPlant(t, nil)
	topic := stream.ContextTopic("douala", "loco7")
	for s := 0.0; s <= 1000; s += 10 {
		p.publish(topic, context(s, `"speed_kmh":50`))
		p.temps("axle1-left", s, s+9, 1, healthy)
	}
	p.commit(p.w.Take())
	for _, c := range []struct {
		about, payload     string
		want               stream.Reason
		dup, late, dispute int
	}{
		{"a repeat that is held", context(990, `"speed_kmh":50`), "", 1, 0, 0},
		{"another value", context(990, `"speed_kmh":51`), stream.Conflict, 0, 0, 1},
		{"a repeat that is on disk only", context(10, `"speed_kmh":50`), "", 1, 0, 0},
		{"another value for it", context(10, `"speed_kmh":51`), stream.Conflict, 0, 0, 1},
		{"one for a closed window", context(905, `"speed_kmh":50`), "", 0, 1, 0},
		{"one from long ago", context(15, `"speed_kmh":50`), "", 0, 1, 0},
	} {
		got := p.publish(topic, c.payload)
		b := p.w.Take()
		p.commit(b)
		if got != c.want || b.Count.Duplicate != int64(c.dup) || b.Count.Late != int64(c.late) || len(b.ConflictedContexts) != c.dispute {
			t.Errorf("%s: %q, %+v, %d in dispute", c.about, got, b.Count, len(b.ConflictedContexts))
		}
		if c.late > 0 && (b.Late[0].SensorID != 0 || b.Late[0].AssetID != 1 || b.Late[0].Speed != 50_000) {
			t.Errorf("%s: %+v", c.about, b.Late[0])
		}
	}
}

// failing is a past that cannot be asked.
type failing struct{}

var errDisk = errors.New("disk gone")

func (failing) Reading(_, _ int64) (stream.Reading, bool, error) {
	return stream.Reading{}, false, errDisk
}
func (failing) Context(_, _ int64) (stream.Context, bool, error) {
	return stream.Context{}, false, errDisk
}
func (failing) Finding(stream.FindingKey) (stream.Finding, bool, error) {
	return stream.Finding{}, false, errDisk
}

func TestPastFailureIsFatal(t *testing.T) {
	for topic, payload := range map[string]string{
		stream.TelemetryTopic("douala", "loco7", "x"): reading(5.5, 40),
		stream.ContextTopic("douala", "loco7"):        context(5, `"speed_kmh":1`),
	} {
		w := newWindower(t, failing{})
		for s := range 100 {
			feed(t, w, stream.TelemetryTopic("douala", "loco7", "x"), reading(float64(s), 40))
		}
		if _, err := w.Feed(stream.Message{Topic: topic, Payload: []byte(payload), Received: t0}, 0); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", topic, err)
		}
	}
}
