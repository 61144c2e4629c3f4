package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/camrail/cidp/simulator"
)

type simulateCmd struct {
	Broker   string        `help:"MQTT broker." required:"" placeholder:"tcp://HOST:PORT"`
	User     string        `help:"MQTT user name."`
	Password string        `help:"MQTT password."`
	Assets   int           `help:"Vehicles." default:"8"`
	Rate     float64       `help:"Readings a second and sensor, in event time." default:"1"`
	Speedup  float64       `help:"Seconds of event time a second." default:"1"`
	For      time.Duration `help:"How long to publish; 0: until stopped." default:"0"`
	Seed     uint64        `help:"Seed of the fleet and its faults." default:"1"`
	Faults   string        `help:"all, none, or names separated by commas." default:"all"`
	Truth    string        `help:"Write what is wrong, where and from when to this CSV file." placeholder:"FILE.csv"`
	QoS      byte          `name:"qos" help:"0 or 1." default:"1" enum:"0,1"`
	Links    int           `name:"connections" help:"MQTT connections." default:"4"`
}

func (simulateCmd) Help() string {
	return `Example:
  cidp simulate --broker tcp://127.0.0.1:1883 --assets 20 --speedup 60 --for 5m --truth truth.csv
Event time in accelerated runs starts in the past and meets the wall clock at the end. Faults: ` +
		strings.Join(append(simulator.MachineFaults(), simulator.SensorFaults()...), ", ") + "."
}

// unendingSpan is the event time over which the faults of a run without an end are planned.
const unendingSpan = 6 * time.Hour

func (c *simulateCmd) Run(ctx context.Context, t *terminal) error {
	if !(c.Speedup > 0) {
		return usageError{fmt.Errorf("speedup is %v: it must be above 0", c.Speedup)}
	}
	faults, err := simulator.ParseFaults(c.Faults)
	if err != nil {
		return usageError{err}
	}
	span := unendingSpan
	if c.For > 0 {
		span = max(time.Minute, time.Duration(float64(c.For)*c.Speedup))
	}
	fleet, err := simulator.New(simulator.Config{Seed: c.Seed, Assets: c.Assets, RateHz: c.Rate,
		Start: simulator.StartFor(time.Now(), c.Speedup, c.For), Span: span, Faults: faults})
	if err != nil {
		return usageError{err}
	}
	if c.Truth != "" {
		if err := writeTruth(c.Truth, fleet.Truth()); err != nil {
			return err
		}
	}
	for _, fault := range fleet.Unplaced() {
		t.log.Warn().Str("fault", fault).Msg("the fleet is too small for this fault")
	}
	bar := newProgress(t, int64(c.For/time.Millisecond), "simulate")
	begin := time.Now()
	stats, err := simulator.Publish(ctx, fleet, simulator.PublishConfig{
		SenderConfig: simulator.SenderConfig{Broker: c.Broker, Username: c.User, Password: c.Password, Connections: c.Links, AtMostOnce: c.QoS == 0, Log: t.log},
		Speedup:      c.Speedup, For: c.For,
		Progress: func(simulator.Stats) { bar.set(time.Since(begin).Milliseconds()) },
	})
	bar.close()
	if err != nil && stats.Sent == 0 {
		return err
	}
	fmt.Fprintf(t.out, "%d messages sent, %d acknowledged, %d readings, event time %s\n",
		stats.Sent, stats.Acked, stats.Readings, stats.EventTime.Format(time.RFC3339))
	return err
}

// writeTruth writes the truth file.
func writeTruth(path string, rows []simulator.Truth) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("write truth: %w", closeErr)
		}
	}()
	return simulator.WriteTruth(f, rows)
}
