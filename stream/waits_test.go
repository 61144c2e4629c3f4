package stream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// TestWaitingChangesNothing: a windower that looks only where something may be due closes each window at the very reading at which one that always looks does, in order and
// within disorder, late, silent and over restarts.
func TestWaitingChangesNothing(t *testing.T) {
	windows := 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 21))
		cfg := lateConfig(0)
		cfg.Disorder = []time.Duration{3 * time.Second, 0, 25 * time.Second}[seed%3]
		if seed%4 == 0 {
			cfg = drawHops(cfg, rng)
		}
		line := morning(rng)
		switch seed % 5 {
		case 1, 2:
			line = arrival(line, cfg.Disorder.Milliseconds(), rng)
		case 3:
			line = delay(line, cfg.Lateness.Milliseconds(), 5e3, rng)
		case 4:
			line = arrival(line, 4*cfg.Disorder.Milliseconds()+1, rng) // beyond the disorder
		}
		windows += waitAndLook(t, seed, cfg, line, rng)
	}
	if windows < 1000 {
		t.Errorf("%d windows: the mornings test little", windows)
	}
}

// waitAndLook feeds both windowers the same and compares what each reading closes.
func waitAndLook(t *testing.T, seed uint64, cfg stream.Config, line []sent, rng *rand.Rand) (windows int) {
	t.Helper()
	disks := [2]*disk{newDisk(t, cfg, frozen), newDisk(t, cfg, frozen)}
	var w [2]*stream.Windower
	for k, d := range disks {
		d.wild = true
		w[k] = d.windower()
	}
	w[1].LookAlways()
	mono := time.Duration(0)
	for i := range line {
		what := rng.IntN(300)
		if what == 0 {
			mono += time.Duration(rng.IntN(200)) * time.Second
		}
		var closed [2]string
		for k := range w {
			if err := feedSent(w[k], &line[i], mono); err != nil {
				t.Fatal(err)
			}
			if what == 0 {
				w[k].Tick(mono, t0)
			}
			b := w[k].Take()
			for _, o := range b.Windows {
				closed[k] += tell(o)
			}
			closed[k] += fmt.Sprintf("%+v %v", b.Count, b.Opened)
			disks[k].commit(b)
		}
		if closed[0] != closed[1] {
			t.Fatalf("morning %d, reading %d of %d closes\n%s\nand with a look at each boundary\n%s", seed, i, len(line), closed[0], closed[1])
		}
		if what == 1 {
			w[0], w[1], mono = disks[0].restart(), disks[1].restart(), 0
			w[1].LookAlways()
		}
	}
	return len(disks[0].windows)
}

func feedSent(w *stream.Windower, e *sent, mono time.Duration) (err error) {
	if e.context {
		_, err = w.FeedContext(e.topic, stream.Context{TS: e.TS, Conditions: e.Conditions}, t0+1e9, mono)
	} else {
		_, err = w.FeedReading(e.topic, e.Reading, t0+1e9, mono)
	}
	return err
}
