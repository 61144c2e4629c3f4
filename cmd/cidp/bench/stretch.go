package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// stretch says in readings, acknowledged since a load began, what is measured of it.
type stretch struct {
	windows  bool    // from and to are in windows of each sensor: windows close in bursts, and whole rounds of them are measured
	from, to float64 // measured is what lies between
}

// windowLength is the platform's own.
const windowLength = time.Minute

// round is how many readings fill a window of each sensor.
func round(p *load.Plan) float64 {
	return float64(max(1, windowLength/p.Period)) * float64(p.Conns*p.Sensors)
}

// waiting says how long until it is to be looked again, and 0 when it is over.
type waiting func() (time.Duration, error)

// wait looks until it is over.
func (w waiting) wait(ctx context.Context, look func()) error {
	for {
		left, err := w()
		look()
		if left <= 0 || err != nil {
			return err
		}
		if err := pause(ctx, left); err != nil {
			return err
		}
	}
}

// timed waits for a time.
func timed(last time.Duration) waiting {
	end := time.Now().Add(last)
	return func() (time.Duration, error) { return min(time.Until(end), watchEvery), nil }
}

// acknowledged waits until so many readings are. Where none is for long, that is an error.
func (r *run) acknowledged(enough func(readings float64) bool) waiting {
	last, since := uint64(0), time.Now()
	return func() (time.Duration, error) {
		now := r.load.Acked()
		if now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > ackPatience {
			return 0, fmt.Errorf("nothing was acknowledged for %s", ackPatience)
		}
		if enough(float64(now) * float64(r.load.Plan.Batch)) {
			return 0, nil
		}
		return 5 * time.Millisecond, nil
	}
}

// warmUp waits for what is measured to begin.
func (r *run) warmUp(ctx context.Context) error {
	w := timed(r.s.warm)
	if s := r.s.stretch; s != nil {
		from := s.from
		if s.windows {
			from *= round(&r.load.Plan)
		}
		w = r.acknowledged(func(n float64) bool { return n >= from })
	}
	return w.wait(ctx, func() {})
}

// over waits for its end: whole rounds, as many as the scenario's time takes, one at least.
func (r *run) over() waiting {
	s := r.s.stretch
	if s == nil {
		return timed(r.s.last)
	}
	to, more, begin := s.to, 0.0, time.Now()
	if s.windows {
		more = round(&r.load.Plan)
		to *= more
	}
	return r.acknowledged(func(n float64) bool {
		for more > 0 && n >= to && time.Since(begin) < r.s.last {
			to += more
		}
		return n >= to
	})
}
