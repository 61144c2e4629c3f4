package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/store"
)

type demoCmd struct {
	lineFlags `embed:""`
	For       time.Duration `help:"How long to run." default:"60s"`
	Seed      uint64        `help:"Seed of the fleet and its faults." default:"1"`
	Assets    int           `help:"Vehicles." default:"8"`
	Rate      float64       `help:"Readings a second and sensor, in event time." default:"0.5"`
	JSON      bool          `name:"json" help:"Print the summary as one JSON document."`
}

func (demoCmd) Help() string {
	return `Example:
  cidp demo --for 60s
Runs the platform with a simulated fleet that publishes hours of event time over MQTT in the time given, with machines and sensors that fail. What is wrong
is written to truth.csv in the data folder; the summary at the end compares.`
}

// The demo shows demoSpan of event time, but never faster than demoSpeedup.
const (
	demoSpan    = 3 * time.Hour
	demoSpeedup = 240.0
)

// demoSilence is how long a sensor of an accelerated fleet may send nothing: as much event time as of a real one, but no less than what a busy machine
// may take. Its period counts in event time, so that a demo at the usual rate waits ten seconds.
func demoSilence(after time.Duration, speedup float64) time.Duration {
	if after <= 0 {
		return after
	}
	return max(3*time.Second, time.Duration(float64(after)/speedup))
}

func (c *demoCmd) Run(ctx context.Context, t *terminal) error {
	if c.For < 5*time.Second {
		return usageError{fmt.Errorf("for is %s: the demo needs at least 5s", c.For)}
	}
	speedup := min(demoSpeedup, max(1, demoSpan.Seconds()/c.For.Seconds()))
	cfg, err := c.config(t, 0)
	if err != nil {
		return err
	}
	cfg.Stream.SilentAfter = demoSilence(cfg.Stream.SilentAfter, speedup)
	if err := freshFolder(c.Data, "demo"); err != nil {
		return err
	}
	c.freePorts(t, &cfg)
	fleet, err := simulator.New(simulator.Config{Seed: c.Seed, Assets: c.Assets, RateHz: c.Rate,
		Start: simulator.StartFor(time.Now(), speedup, c.For), Span: time.Duration(float64(c.For) * speedup), Faults: []string{"all"}})
	if err != nil {
		return usageError{err}
	}
	truth := fleet.Truth()
	if err := writeTruth(filepath.Join(c.Data, "truth.csv"), truth); err != nil {
		return err
	}
	quietCollector()
	p, err := start(ctx, func() (*platform.Platform, error) { return platform.Start(cfg) })
	if err != nil {
		return err
	}
	t.log.Info().Str("mqtt", p.MQTTAddr()).Str("console", "http://"+p.HTTPAddr()+"/").Str("data", c.Data).
		Int("sensors", len(fleet.Sensors())).Str("speedup", fmt.Sprintf("%.0f", speedup)).Msg("cidp demo is running: open the console in a browser")
	err = c.publish(ctx, t, p, fleet, speedup)
	sum, sumErr := c.gather(p, fleet, truth)
	if err = errors.Join(err, sumErr, stop(p)); err != nil {
		return err
	}
	report, err := store.Verify(context.WithoutCancel(ctx), filepath.Join(c.Data, platform.DatabaseName), func(string) {})
	if err != nil {
		return err
	}
	sum.LedgerHolds = report.OK
	if err := sum.print(t.out, c.JSON); err != nil {
		return err
	}
	for _, b := range report.Breaches {
		fmt.Fprintf(t.out, "breach: %s: %s\n", b.Check, b.Detail)
	}
	if !report.OK {
		return errors.New("the ledger does not hold: see the breaches above")
	}
	return nil
}

// freePorts replaces a default address whose port is taken by a free one, and names it. An address that was asked for stays.
func (c *demoCmd) freePorts(t *terminal, cfg *platform.Config) {
	for _, a := range []struct {
		what, preset string
		addr         *string
	}{{"MQTT", "127.0.0.1:1883", &cfg.MQTT}, {"HTTP", "127.0.0.1:8080", &cfg.HTTP}} {
		if *a.addr != a.preset {
			continue
		}
		l, err := net.Listen("tcp", a.preset)
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			*a.addr = "127.0.0.1:0"
			t.log.Warn().Str("taken", a.preset).Msg(a.what + " port is taken; a free one is used instead")
		}
	}
}

// publish runs the fleet to its end and shows how it goes.
func (c *demoCmd) publish(ctx context.Context, t *terminal, p *platform.Platform, fleet *simulator.Fleet, speedup float64) error {
	bounded, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	go func() {
		select {
		case <-p.Ended():
			cancel()
		case <-bounded.Done():
		}
	}()
	begin := time.Now()
	line := &statusLine{t: t, begin: begin, whole: c.For}
	_, err := simulator.Publish(bounded, fleet, simulator.PublishConfig{
		SenderConfig: simulator.SenderConfig{Broker: "tcp://" + p.MQTTAddr(), Connections: 4, Log: t.log},
		Speedup:      speedup, For: c.For,
		Progress: func(s simulator.Stats) { line.show(p, s) },
	})
	line.clear()
	return err
}

// statusLine is one live line on a terminal, and a log line every few seconds elsewhere.
type statusLine struct {
	t     *terminal
	begin time.Time
	whole time.Duration
	last  time.Time
}

func (l *statusLine) show(p *platform.Platform, s simulator.Stats) {
	if !l.t.tty && time.Since(l.last) < progressEvery {
		return
	}
	l.last = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	sum, err := p.Warehouse().Summary(ctx)
	if err != nil {
		return // the next one will do
	}
	elapsed := time.Since(l.begin)
	left := max(0, l.whole-elapsed).Round(time.Second)
	text := fmt.Sprintf("%s event time · %d readings acknowledged (%.0f/s) · %d windows, %d quarantined · %d alerts open · %s left",
		s.EventTime.Format("2006-01-02 15:04"), s.Acked, float64(s.Acked)/elapsed.Seconds(), sum.Windows, sum.Quarantined, sum.AlertsOpen, left)
	if l.t.tty {
		fmt.Fprintf(l.t.err, "\r\x1b[K%s", text)
	} else {
		l.t.log.Info().Msg(text)
	}
}

func (l *statusLine) clear() {
	if l.t.tty {
		fmt.Fprint(l.t.err, "\r\x1b[K")
	}
}
