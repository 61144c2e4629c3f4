package stream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// plant is a windower with a disk behind it, for scenarios told in seconds since t0.
type plant struct {
	*disk
	w    *stream.Windower
	mono time.Duration
}

func newPlant(t testing.TB, change func(*stream.Config)) *plant {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter, cfg.Lateness = 0, 0
	if change != nil {
		change(&cfg)
	}
	p := &plant{disk: newDisk(t, cfg, nil)}
	p.w = p.windower()
	return p
}

// at gives the event time of a second.
func at(sec float64) int64 { return t0 + int64(sec*1000) }

// send publishes a payload to a sensor of loco7 and answers the reason it is refused for.
func (p *plant) send(sensor, payload string) stream.Reason {
	p.t.Helper()
	return p.publish(stream.TelemetryTopic("douala", "loco7", sensor), payload)
}

func (p *plant) publish(topic, payload string) stream.Reason {
	p.t.Helper()
	reason, err := p.w.Feed(stream.Message{Topic: topic, Payload: []byte(payload), Client: "test", Received: t0 + 1e9}, p.mono)
	if err != nil {
		p.t.Fatal(err)
	}
	return reason
}

// temps publishes a temperature a step from one second to another, both inclusive.
func (p *plant) temps(sensor string, from, to, step float64, temp func(sec float64) float64) {
	p.t.Helper()
	for sec := from; sec <= to; sec += step {
		if reason := p.send(sensor, reading(sec, temp(sec))); reason != "" {
			p.t.Fatalf("second %v of %s is refused: %s", sec, sensor, reason)
		}
	}
}

// together publishes a healthy second of each sensor after the other.
func (p *plant) together(from, to float64, sensors ...string) {
	p.t.Helper()
	for sec := from; sec <= to; sec++ {
		for _, s := range sensors {
			p.temps(s, sec, sec, 1, healthy)
		}
	}
}

func reading(sec, temp float64) string { return fmt.Sprintf(`{"ts":%d,"temp_c":%.3f}`, at(sec), temp) }

// healthy is a bearing that no check objects to: it breathes by steps of 0.03 K.
func healthy(sec float64) float64 { return 40 + 0.03*float64(int64(sec)%7) }

// closed commits what gathered and tells the windows that closed, in closing order: sensor, from and to in seconds, readings.
func (p *plant) closed() []string {
	p.t.Helper()
	b := p.w.Take()
	p.commit(b)
	var out []string
	for _, w := range b.Windows {
		out = append(out, fmt.Sprintf("%s %.9g-%.9g n=%d/%d %s", w.Sensor.Name, sec(w.Start), sec(w.End), w.N, w.Expected, w.ClosedBy))
	}
	return out
}

func sec(ts int64) float64 { return float64(ts-t0) / 1000 }

func (p *plant) want(what string, want ...string) {
	p.t.Helper()
	if got := p.closed(); !slices.Equal(got, want) {
		p.t.Errorf("%s:\n got  %s\n want %s", what, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func (p *plant) tick(after time.Duration) {
	p.mono += after
	p.w.Tick(p.mono, t0)
}
