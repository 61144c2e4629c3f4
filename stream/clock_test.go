package stream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// TestClockAdvisory estimates how far a device's clock is behind and counts its jumps, whatever becomes of the readings; what is told is bounded, and windows do not know of it.
func TestClockAdvisory(t *testing.T) {
	const minute = int64(60_000)
	for _, c := range []struct {
		about string
		off   func(i int64) int64 // of the clock at the ith second, ms
		want  time.Duration       // behind at the end
		jumps int
		notes int // at most
	}{
		{"right", func(int64) int64 { return 0 }, 0, 0, 1},
		{"an hour behind", func(int64) int64 { return -60 * minute }, time.Hour, 0, 1},
		{"a minute ahead", func(int64) int64 { return minute }, -time.Minute, 0, 1},
		{"ten minutes ahead from the second message on: refused, and told", func(i int64) int64 { return min(i, 1) * 10 * minute }, -10 * time.Minute, 0, 1},
		{"jumps an hour back", func(i int64) int64 { return -60 * minute * min(1, i/200) }, time.Hour, 1, 2},
		{"jumps to and fro", func(i int64) int64 { return 10 * minute * (i / 100 % 2) }, -10 * time.Minute, 3, 4},
		{"one odd message now and then", func(i int64) int64 { return -(i % 50 / 49) * 60 * minute }, 0, 0, 1},
		{"drifts by a tenth", func(i int64) int64 { return -i * 100 }, 39 * time.Second, 0, 9},
	} {
		rng := rand.New(rand.NewPCG(1, 1))
		p := newPlant(t, nil)
		var notes []stream.ClockNote
		for i := range int64(400) {
			ts := t0 + i*1000 + c.off(i)
			m := stream.Message{Topic: stream.TelemetryTopic("douala", "loco7", "x"), Received: t0 + i*1000 + rng.Int64N(800),
				Payload: fmt.Appendf(nil, `[{"ts":%d,"temp_c":40},{"ts":%d,"temp_c":40},{"temp_c":40}]`, ts-500, ts)}
			if _, err := p.w.Feed(m, 0); err != nil {
				t.Fatal(err)
			}
			notes = append(notes, p.w.Take().Clocks...)
		}
		if len(notes) == 0 || len(notes) > c.notes {
			t.Errorf("%s: told %v", c.about, notes)
			continue
		}
		got := notes[len(notes)-1]
		if off := got.Behind - c.want; off < -6*time.Second || off > 6*time.Second || got.Jumps != c.jumps || got.SensorID != 1 {
			t.Errorf("%s: %+v, want %v and %d jumps", c.about, got, c.want, c.jumps)
		}
	}
}
