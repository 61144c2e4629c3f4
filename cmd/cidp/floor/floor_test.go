package floor_test

import (
	"context"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
)

func plan(batch int) load.Plan {
	return load.Plan{Conns: 3, Sensors: 5, AssetSize: 5, Batch: batch, QoS: 1, Window: 10, Period: time.Second, Begin: 1_700_000_040_000}
}

// TestFloorsDoTheirWork lets each do a little. Insert counts its rows itself: a key that came twice would be missing.
func TestFloorsDoTheirWork(t *testing.T) {
	for name, f := range map[string]func() (floor.Speed, error){
		"insert single": func() (floor.Speed, error) { return floor.Insert(t.Context(), t.TempDir(), plan(1), time.Millisecond) },
		"insert arrays": func() (floor.Speed, error) {
			return floor.Insert(t.Context(), t.TempDir(), plan(100), 100*time.Millisecond)
		},
		"decode": func() (floor.Speed, error) { return floor.Decode(t.Context(), plan(100), time.Millisecond) },
		"forest": func() (floor.Speed, error) { return floor.Forest(t.Context(), time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := f()
			if err != nil {
				t.Fatal(err)
			}
			if s.Done <= 0 || s.PerSecond() <= 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestFloorsStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := floor.Insert(ctx, t.TempDir(), plan(1), time.Hour); err == nil {
		t.Error("insert went on")
	}
	if _, err := floor.Decode(ctx, plan(1), time.Hour); err == nil {
		t.Error("decode went on")
	}
}
