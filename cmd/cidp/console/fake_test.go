package console_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// plant is a Source and a Health that a test steers.
type plant struct {
	mu      sync.Mutex
	snap    console.Snapshot
	err     error
	asked   int
	waiting chan struct{} // when set, Snapshot waits for it or for the end of its context
	ready   bool
	reasons []string
	dead    bool
}

func (p *plant) Snapshot(ctx context.Context) (console.Snapshot, error) {
	p.mu.Lock()
	p.asked++
	s, err, waiting := p.snap, p.err, p.waiting
	p.mu.Unlock()
	if waiting != nil {
		select {
		case <-waiting:
		case <-ctx.Done():
			return console.Snapshot{}, ctx.Err()
		}
	}
	return s, err
}

func (p *plant) Sensor(_ context.Context, site, asset, sensor string, limit int) (console.SensorDetail, error) {
	if sensor != "axle1-left" {
		return console.SensorDetail{}, fmt.Errorf("find sensor %q: %w", sensor, console.ErrNotFound)
	}
	d := console.SensorDetail{Site: site, Asset: asset, Sensor: sensor, Kind: "bearing", PeriodMs: 1000}
	for i := range min(limit, 3) {
		d.Windows = append(d.Windows, console.SensorWindow{
			WindowID: 1_700_000_000_000 << 20, WindowEnd: console.Time(1_700_000_060_000 - 60_000*i), N: 60, Expected: 60,
			Completeness: 1, Verdict: "valid", MeanC: 41.5, AmbientC: console.Missing(), PFailure: 0.25, Level: "normal", Source: "forest",
		})
	}
	return d, p.failure()
}

func (p *plant) Quarantine(_ context.Context, f console.QuarantineFilter) (console.QuarantinePage, error) {
	q := console.QuarantinePage{Quarantine: console.Quarantine{MessagesByReason: map[string]int64{"malformed": 2}}}
	for i := range min(f.Limit, 2) {
		q.Messages = append(q.Messages, console.QuarantinedMessage{MessageID: int64(i), Payload: console.Payload{0xff, 0x00}, Element: -1, Reason: "malformed"})
	}
	return q, p.failure()
}

func (p *plant) Alerts(_ context.Context, limit int) ([]console.Alert, error) {
	return make([]console.Alert, min(limit, 5)), p.failure()
}

func (p *plant) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *plant) Alive() bool { return !p.dead }

func (p *plant) Ready() (bool, []string) { return p.ready, p.reasons }

func (p *plant) set(change func(*plant)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *plant) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

var errBroken = errors.New("database is locked")

// fleet is a snapshot of so many assets with so many sensors each.
func fleet(assets, sensors int) console.Snapshot {
	s := console.Snapshot{Summary: console.Summary{
		Status: console.Status{State: "online", Model: "m1", Since: 1_700_000_000_000},
		Ledger: console.Ledger{Received: 10, Stored: 7, Duplicate: 1, Late: 1, Refused: 1, Holds: true},
	}}
	for i := range assets {
		a := console.Asset{Site: "douala", Asset: fmt.Sprintf("train%d", i), Level: "normal"}
		for j := range sensors {
			a.Sensors = append(a.Sensors, console.Sensor{
				Sensor: fmt.Sprintf("axle%d-left", j), Kind: "bearing", Level: "normal", PFailure: console.Figure(i) / 100, MeanC: 41.25,
				Source: "forest", WindowStart: 1_700_000_000_000, WindowEnd: 1_700_000_060_000, Verdict: "valid",
			})
		}
		s.Assets = append(s.Assets, a)
	}
	return s
}

func newPlant() *plant { return &plant{snap: fleet(2, 2), ready: true} }

func configOf(p *plant) console.Config {
	return console.Config{Source: p, Health: p, Version: "v1", Refresh: 20 * time.Millisecond, Log: zerolog.Nop()}
}

// start serves a handler on a real port until the test ends, and gives its address and a function that stops it and
// returns what Serve returned.
func start(t *testing.T, h http.Handler) (url string, stop func() error) {
	t.Helper()
	return startWith(t, func(ctx context.Context, ln net.Listener) error { return console.Serve(ctx, ln, h) })
}

func startWith(t *testing.T, serve func(context.Context, net.Listener) error) (url string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return "http://" + ln.Addr().String(), stop
}

// eventually waits for a condition, ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// steady is a Drifter.
type steady struct{}

func (steady) Drift(context.Context) (console.Drift, error) {
	return console.Drift{State: "steady"}, nil
}
