package stream_test

import (
	"fmt"
	"testing"

	"github.com/camrail/cidp/stream"
)

// TestTopicTable: every topic is found, and only itself, also among topics of one hash and across the end of the table.
func TestTopicTable(t *testing.T) {
	for _, collide := range []bool{false, true} {
		table := stream.NewTopicTable()
		name := func(i int) string { return fmt.Sprint("cidp/v1/telemetry/d/loco1/axle", i) }
		for i := range 500 {
			if got := table.Find(name(i), collide); got != "" {
				t.Fatalf("%s is found as %s before it is put in", name(i), got)
			}
			table.Add(name(i), collide)
			for _, k := range []int{0, i / 2, i} {
				if got := table.Find(name(k), collide); got != name(k) {
					t.Fatalf("of %d topics (one hash: %t), %s is found as %q", i+1, collide, name(k), got)
				}
			}
		}
	}
}

// TestReuse: a batch that was taken last is left alone; one before it gives its memory to the next, and windows of it stay.
func TestReuse(t *testing.T) {
	w := newWindower(t, nil)
	w.Reuse(nil)
	feed := func(from, n int) *stream.Batch {
		for i := from; i < from+n; i++ {
			if _, err := w.FeedReading("cidp/v1/telemetry/d/l/axle1-left", stream.Reading{TS: t0 + int64(i)*1000, Temp: 40_000}, t0+int64(i)*1000, 0); err != nil {
				t.Fatal(err)
			}
		}
		return w.Take()
	}
	first := feed(0, 100)
	w.Reuse(first)
	if len(first.Readings) != 100 {
		t.Fatalf("the batch taken last has %d readings left of 100", len(first.Readings))
	}
	second := feed(100, 100)
	place := &first.Readings[0]
	w.Reuse(first)
	if len(first.Readings) != 0 {
		t.Error("a batch that was taken back still shows readings")
	}
	third := feed(200, 90)
	if &third.Readings[0] != place {
		t.Error("the memory of the first batch is not used again")
	}
	for i, r := range second.Readings {
		if r.TS != t0+int64(100+i)*1000 {
			t.Fatalf("reading %d of the second batch is of %d", i, r.TS)
		}
	}
	few := feed(290, 10)
	w.Reuse(third)
	fourth := feed(300, 10) // in the memory of 100
	w.Reuse(few)
	feed(310, 10)
	w.Reuse(fourth) // ten readings in room for a hundred: let go
	if last := feed(320, 10); cap(last.Readings) >= 100 {
		t.Errorf("room for %d readings is kept for 10", cap(last.Readings))
	}
}
