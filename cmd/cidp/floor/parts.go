package floor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// Decode lets the platform's decoder read a load's payloads, on one core.
func Decode(ctx context.Context, plan load.Plan, last time.Duration) (s Speed, err error) {
	const different = 256 // payloads, so that no branch is learnt by heart
	var payloads [][]byte
	for m := range uint64(different) {
		payloads = append(payloads, plan.Payload(m))
	}
	var elements []stream.Element
	return timed(ctx, last, func() (int64, error) {
		n := 0
		for _, p := range payloads {
			elements = stream.Decode(elements[:0], p, false)
			for i := range elements {
				if elements[i].Reason != "" {
					return 0, fmt.Errorf("decode: a reading was refused: %s", elements[i].Reason)
				}
			}
			n += len(elements)
		}
		return int64(n), nil
	})
}

// Forest lets the forest that comes with the program score windows of a simulated fleet, on one core.
func Forest(ctx context.Context, last time.Duration) (s Speed, err error) {
	f, err := model.Default()
	if err != nil {
		return s, err
	}
	rows, err := fleetRows()
	if err != nil {
		return s, err
	}
	return timed(ctx, last, func() (int64, error) {
		for _, x := range rows {
			if p := f.Predict(x); !(p >= 0 && p <= 1) {
				return 0, fmt.Errorf("score a window: %v is no probability", p)
			}
		}
		return int64(len(rows)), nil
	})
}

// fleetRows are the features of the valid windows of a simulated fleet with faults.
func fleetRows() (rows [][]float64, err error) {
	const span = time.Hour
	fleet, err := simulator.New(simulator.Config{Seed: 1, Start: time.Date(2025, 6, 2, 4, 0, 0, 0, time.UTC), Span: span, Faults: []string{"all"}})
	if err != nil {
		return nil, err
	}
	w, err := stream.NewWindower(stream.DefaultConfig(), nil, func(w *stream.Window) bool {
		if w.Valid() {
			rows = append(rows, append([]float64(nil), w.Features[:]...))
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	var messages []simulator.Message
	for start := fleet.Now(); fleet.Now().Sub(start) < span; w.Take() {
		at := fleet.Now()
		messages = fleet.Messages(messages[:0])
		for _, m := range messages {
			if _, err := w.Feed(stream.Message{Topic: m.Topic, Payload: m.Payload, Received: at.UnixMilli()}, at.Sub(start)); err != nil {
				return nil, err
			}
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("the simulated fleet has no valid window")
	}
	return rows, nil
}

// timed repeats work that says how much it did, at least once.
func timed(ctx context.Context, last time.Duration, work func() (int64, error)) (s Speed, err error) {
	begin, cpu := time.Now(), Processor()
	for s.Done == 0 || time.Since(begin) < last {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		n, err := work()
		if err != nil {
			return s, err
		}
		s.Done += n
	}
	s.Seconds, s.CPU = time.Since(begin).Seconds(), (Processor() - cpu).Seconds()
	return s, nil
}
