package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// fleetDue feeds a window of one sensor of each of n assets, and one after the other the reading that makes it due, of which the first was on its way for longest.
func fleetDue(t *testing.T, w *stream.Windower, n int) {
	t.Helper()
	for second := range int64(14) {
		for i := range n {
			ts := t0 + second*1000
			e := sent{topic: stream.TelemetryTopic("d", fmt.Sprintf("loco%02d", i), "x"), Reading: stream.Reading{TS: ts, Temp: 40_000 + stream.Milli(second%3*100)}}
			if _, err := w.FeedReading(e.topic, e.Reading, ts+int64(n-i)*1000, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// closedBy gives the assets whose windows a batch closed.
func closedBy(b *stream.Batch) (names []string) {
	for _, w := range b.Windows {
		names = append(names, w.Sensor.Asset)
	}
	return names
}

// TestCloseDueClosesInPortions has the windows of ten assets fall due at once. They close in portions, in the order in which they fell due, without a new reading, and a window's age is that at the
// receipt of the reading that made it due.
func TestCloseDueClosesInPortions(t *testing.T) {
	cfg := smallConfig()
	cfg.HistoryAfter = 8500 * time.Millisecond // of the fifth, in the second portion, too
	w, err := stream.NewWindower(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.CloseDue(4)
	fleetDue(t, w, 10)
	var all []string
	for i, want := range []struct{ closes, left int }{{4, 6}, {4, 2}, {2, 0}} {
		if w.PutOff() != want.left || !w.Pending() {
			t.Errorf("portion %d: %d are put off, want %d", i, w.PutOff(), want.left)
		}
		b := w.Take()
		if len(b.Windows) != want.closes {
			t.Errorf("portion %d closes %v, want %d", i, closedBy(b), want.closes)
		}
		for _, v := range b.Windows {
			if live := v.Sensor.Asset > "loco04"; v.Live != live {
				t.Errorf("window of %s: live %v", v.Sensor.Asset, v.Live)
			}
		}
		all = append(all, closedBy(b)...)
		w.CloseDue(4)
	}
	for i, name := range all {
		if name != fmt.Sprintf("loco%02d", i) {
			t.Errorf("they close in the order %v", all)
			break
		}
	}
	if w.Pending() {
		t.Error("something is left")
	}
}

// TestCloseDueWithoutBound closes all that was put off, and puts nothing off any more.
func TestCloseDueWithoutBound(t *testing.T) {
	w, err := stream.NewWindower(smallConfig(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.CloseDue(1)
	fleetDue(t, w, 10)
	if n := len(w.Take().Windows); n != 1 || w.PutOff() != 9 {
		t.Fatalf("%d windows closed, %d put off", n, w.PutOff())
	}
	w.CloseDue(0)
	if n := len(w.Take().Windows); n != 9 || w.PutOff() != 0 {
		t.Errorf("%d windows closed, %d put off", n, w.PutOff())
	}
}

// TestLateSendersAreNotPutOff has a sensor whose mates went on without it: where a restart would take its window for held back by one that sends late, it closes within the batch that made it due.
func TestLateSendersAreNotPutOff(t *testing.T) {
	d := newDisk(t, smallConfig(), nil)
	w := d.windower()
	w.CloseDue(1)
	feed := func(asset, sensor string, ts int64) {
		t.Helper()
		if _, err := w.FeedReading(stream.TelemetryTopic("d", asset, sensor), stream.Reading{TS: t0 + ts, Temp: 40_000}, t0+ts, 0); err != nil {
			t.Fatal(err)
		}
	}
	for ts := int64(0); ts < 60_000; ts += 1000 { // three go on, the fourth stops at 5 s
		for i := range 4 {
			if i < 3 || ts < 5000 {
				feed("loco", fmt.Sprint("x", i), ts)
			}
		}
		d.commit(w.Take())
		w.CloseDue(1)
	}
	for w.PutOff() > 0 {
		d.commit(w.Take())
		w.CloseDue(1)
	}
	for ts := int64(0); ts < 20_000; ts += 1000 { // fills the batch
		feed("other", "x", ts)
	}
	before := len(d.windows)
	feed("loco", "x3", 62_000)
	if w.PutOff() == 0 {
		t.Fatal("nothing is put off: the test shows nothing")
	}
	d.commit(w.Take())
	if n := len(d.windows) - before; n < 2 {
		t.Errorf("%d windows closed: that of the late one was put off", n)
	}
	d.restart() // fails when it closes anything
}

// TestWhatAMateHasNotPassedIsNotPutOff has the overlapping windows of three sensors fall due that the fourth, which has readings in them, has not passed: they are compared with what it has. Put off until
// it has sent again they would find its windows closed, longer ones, and nothing to compare with.
func TestWhatAMateHasNotPassedIsNotPutOff(t *testing.T) {
	want, _ := mornWithALaggard(t, 0, 0)
	for _, c := range []struct {
		name   string
		filled int64 // when another asset fills the batch
		waits  bool  // the asset waits already when the fourth begins to lag, at 8 s
	}{{"the batch is full", 9000, false}, {"it waits already", 4000, true}} {
		t.Run(c.name, func(t *testing.T) {
			got, waited := mornWithALaggard(t, 60, c.filled)
			if waited != c.waits {
				t.Fatalf("it waits already: %t", waited)
			}
			compareContent(t, c.name, got, want)
		})
	}
}

// mornWithALaggard gives the windows of the asset, and whether it waited for the next batch when the fourth began to lag. most is how many windows a batch holds.
func mornWithALaggard(t *testing.T, most int, filled int64) (content []string, waited bool) {
	t.Helper()
	cfg := smallConfig()
	cfg.Disorder, cfg.Hop = 0, time.Second
	d := newDisk(t, cfg, nil)
	w := d.windower()
	feed := func(asset, sensor string, ts int64) {
		t.Helper()
		if _, err := w.FeedReading(stream.TelemetryTopic("d", asset, sensor), stream.Reading{TS: t0 + ts, Temp: 40_000 + stream.Milli(ts%7)}, t0+ts, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.CloseDue(most)
	for ts := int64(0); ts < 32_000; ts += 1000 {
		if ts == 8000 {
			waited = w.PutOff() > 0
		}
		if ts == filled {
			for ts := int64(0); ts < 100_000; ts += 1000 {
				feed("other", "x", ts)
			}
		}
		for i := range 3 {
			feed("loco", fmt.Sprint("axle1-x", i), ts)
		}
		if ts < 9000 && ts%3000 == 1000 { // it is slow, and stops in the first window
			feed("loco", "axle1-x3", ts)
		}
	}
	feed("loco", "axle1-x3", 90_000)
	d.commit(w.Take())
	for w.PutOff() > 0 {
		w.CloseDue(most)
		d.commit(w.Take())
	}
	d.windows = slices.DeleteFunc(d.windows, func(v *stream.Window) bool { return v.Sensor.Asset != "loco" })
	return d.content(), waited
}
