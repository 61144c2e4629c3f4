package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// PublishConfig says where to send a fleet's messages, and how fast.
type PublishConfig struct {
	SenderConfig
	Speedup  float64       // seconds of event time a second of wall clock, default 1
	For      time.Duration // length of the run at that pace: For x Speedup of event time is sent; 0: until ctx ends
	Drain    time.Duration // how long acknowledgements are waited for at the end, default 10 s
	Progress func(Stats)   // called about four times a second from a goroutine of its own, and once at the end; may be nil
}

// Stats is what a run has done.
type Stats struct {
	Counts
	EventTime time.Time // event time up to which the fleet was sent
}

// Publish sends the fleet until the run is over or ctx ends, and then waits for the acknowledgements of what was sent. Event
// time follows the wall clock by Speedup and never passes it; when the broker cannot keep up, event time slows, and the run takes longer
// than For (bound it by ctx). A run that is behind catches up as fast as the broker takes it. A run ended by ctx is no error if
// all that was sent was acknowledged. Publish owns the fleet while it runs.
func Publish(ctx context.Context, f *Fleet, cfg PublishConfig) (Stats, error) {
	setDefault(&cfg.Speedup, 1)
	setDefault(&cfg.Drain, 10*time.Second)
	if !(cfg.Speedup > 0 && cfg.Speedup <= 1e6) {
		return Stats{}, fmt.Errorf("check publish configuration: speedup is %v: it must be above 0, at most 1000000", cfg.Speedup)
	}
	if cfg.For < 0 || cfg.Drain < 0 {
		return Stats{}, errors.New("check publish configuration: a length of time must not be negative")
	}
	sender, err := Dial(ctx, cfg.SenderConfig)
	if err != nil {
		return Stats{}, err
	}
	var eventTime atomic.Int64
	eventTime.Store(f.Now().UnixMilli())
	stats := func() Stats {
		return Stats{Counts: sender.Counts(), EventTime: time.UnixMilli(eventTime.Load()).UTC()}
	}
	stop := report(cfg.Progress, stats)
	err = send(ctx, f, cfg, sender, &eventTime)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // an ordered end
	}
	drain, cancel := context.WithTimeout(context.Background(), cfg.Drain)
	defer cancel()
	err = errors.Join(err, sender.Close(drain))
	stop()
	if err != nil {
		err = fmt.Errorf("publish fleet: %w", err)
	}
	return stats(), err
}

// send is the run itself: wait until a tick is due, then hand its messages over.
func send(ctx context.Context, f *Fleet, cfg PublishConfig, sender *Sender, eventTime *atomic.Int64) error {
	pace := pacer{wall: time.Now(), event: f.Now(), speedup: cfg.Speedup}
	end := time.Time{}
	if cfg.For > 0 {
		end = f.Now().Add(time.Duration(min(float64(cfg.For)*cfg.Speedup, math.MaxInt64/2)))
	}
	var messages []Message
	timer := time.NewTimer(0)
	defer timer.Stop()
	for end.IsZero() || f.Now().Before(end) {
		timer.Reset(time.Until(pace.due(f.Now())))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		messages = f.Messages(messages[:0])
		for _, m := range messages {
			if err := sender.Send(ctx, m); err != nil {
				return err
			}
		}
		eventTime.Store(f.Now().UnixMilli())
	}
	return nil
}

// pacer ties event time to the wall clock.
type pacer struct {
	wall    time.Time
	event   time.Time
	speedup float64
}

// due is the wall clock at which the tick at an event time may be sent: at the pace asked for, and never before the latest
// reading of the tick has happened.
func (p pacer) due(tick time.Time) time.Time {
	at := p.wall.Add(time.Duration(float64(tick.Sub(p.event)) / p.speedup))
	if happened := tick.Add(maxPhase * time.Millisecond); happened.After(at) {
		return happened
	}
	return at
}

// report calls progress now and then until the function it returns is called, which calls it once more.
func report(progress func(Stats), stats func() Stats) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(stats())
			case <-quit:
				progress(stats())
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
