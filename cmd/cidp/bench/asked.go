package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
)

// What is there before the load, for people to ask about: a day of a fleet whose sensors send every ten seconds, and vehicles that went hot.
const (
	pastSensors = 100
	pastPeriod  = 10 * time.Second
	pastSpan    = 24*time.Hour + 10*time.Minute
	pastAlerts  = 200
)

const (
	askReaders = 4
	askPause   = 50 * time.Millisecond
	askTurns   = 2 // times without readers, then with them
)

// measureAsked measures a load without readers and with them in turn.
func (b *bench) measureAsked(ctx context.Context, r *run) error {
	site := r.site()
	if err := b.past(ctx, r, site+"-past"); err != nil {
		return err
	}
	l, err := load.Start(r.addr, r.s.shape.plan(site, time.Now()))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := pause(ctx, r.s.warm); err != nil {
		return err
	}
	var alone, asked turn
	var answers []floor.Answered
	turns := max(1, min(askTurns, int(r.s.last/time.Second)))
	last := r.s.last / time.Duration(2*turns)
	for range turns {
		if err := alone.measure(r, l, func() (time.Duration, error) { return 0, pause(ctx, last) }); err != nil {
			return err
		}
		if err := asked.measure(r, l, func() (time.Duration, error) {
			got, cpu, err := b.ask(ctx, r, floor.Asking{Readers: askReaders, Pause: askPause, Last: last})
			answers = floor.Joined(answers, got)
			return cpu, err
		}); err != nil {
			return err
		}
	}
	if err := l.Finish(ackPatience); err != nil {
		return err
	}
	r.sent += l.Readings()
	r.acked += int64(l.Acked()) * int64(l.Plan.Batch)
	alone.figures(r, "")
	asked.figures(r, withReaders)
	n := 0
	for _, a := range answers {
		n += len(a.Millis)
	}
	r.figures.set(questionRate, float64(n)/asked.took.Seconds())
	r.figures.set(readersShare, 100*asked.readers.Seconds()/asked.took.Seconds())
	if alone.cpu > 0 {
		r.figures.set(others, 100*max(alone.strangers.Seconds()/alone.took.Seconds(), asked.strangers.Seconds()/asked.took.Seconds()))
	}
	r.figures.answers(answers)
	return nil
}

// turn is what was measured of a load in all turns of a kind.
type turn struct {
	readings  float64
	took      time.Duration
	cpu       time.Duration // of the platform
	readers   time.Duration // of those who ask
	strangers time.Duration // of all others
	latency   load.Latencies
}

// measure measures while something is waited for that says how much processor time it took.
func (t *turn) measure(r *run, l *load.Load, wait func() (time.Duration, error)) error {
	before, m := usageOf(r.platform.cmd.Process.Pid), begin(l)
	readers, err := wait()
	if err != nil {
		return err
	}
	m.end(l)
	cpu := usageOf(r.platform.cmd.Process.Pid).cpu - before.cpu
	t.readings, t.took = t.readings+m.readings, t.took+m.took
	t.cpu, t.readers, t.strangers = t.cpu+cpu, t.readers+readers, t.strangers+max(0, m.machine-m.own-cpu-readers)
	t.latency.Join(&m.Latency)
	return nil
}

func (t *turn) figures(r *run, prefix string) {
	r.figures.set(prefix+readingsRate, t.readings/t.took.Seconds())
	if t.cpu > 0 {
		r.figures.set(prefix+cpuReading, micros(t.cpu)/t.readings)
	}
	r.figures.set(prefix+ackMedian, millis(t.latency.Quantile(0.5)))
	r.figures.set(prefix+ack99, millis(t.latency.Quantile(0.99)))
	r.figures.set(prefix+ackMax, millis(t.latency.Max()))
}

// past sends what is there before.
func (b *bench) past(ctx context.Context, r *run, site string) error {
	span := cmp.Or(b.cfg.Past, pastSpan)
	s := shape{Connections: 10, Sensors: pastSensors, Batch: 100, QoS: 1, Inflight: 4, Period: pastPeriod.Seconds(), Ago: (span + 2*time.Hour).Hours(), Abreast: 1} // a message is a quarter of an hour: each sensor has its whole past
	l, err := load.Start(r.addr, s.plan(site, time.Now()))
	if err != nil {
		return err
	}
	defer l.Close()
	r.load = l
	if err := r.acknowledged(func(n float64) bool { return n >= pastSensors*float64(span/pastPeriod) }).wait(ctx, func() {}); err != nil {
		return err
	}
	if err := l.Finish(ackPatience); err != nil {
		return fmt.Errorf("send what is there before: %w", err)
	}
	hot, err := load.NewSender(r.addr, "bench-hot")
	if err != nil {
		return err
	}
	defer hot.Close()
	a := newAlarms(site, pastAlerts, time.Now())
	for i := range pastAlerts {
		for _, payload := range [][]byte{a.fill(), a.closing()} {
			if err := hot.Send(a.topic(i), payload); err != nil {
				return err
			}
		}
	}
	if err := hot.Finish(ackPatience); err != nil {
		return err
	}
	n := l.Readings() + pastAlerts*71
	r.sent, r.acked = r.sent+n, r.acked+n
	return nil
}
