package load_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
	"github.com/camrail/cidp/stream"
)

// plan is a small load of a day ago.
func plan() load.Plan {
	return load.Plan{Conns: 2, Sensors: 3, AssetSize: 3, Batch: 1, QoS: 1, Window: 100, Period: time.Second,
		Begin: time.Now().Add(-24 * time.Hour).Truncate(time.Minute).UnixMilli()}
}

// TestPayloadsAreReadings decodes what is sent as the platform does: every message of a sensor goes on where the one before ended.
func TestPayloadsAreReadings(t *testing.T) {
	for _, batch := range []int{1, 2, 100} {
		p := plan()
		p.Batch, p.Period = batch, 500*time.Millisecond
		next := map[int]int64{}
		var elements []stream.Element
		for m := range uint64(30) {
			s, _ := p.Place(m)
			elements = stream.Decode(elements[:0], p.Payload(m), false)
			if len(elements) != batch {
				t.Fatalf("message %d has %d readings, want %d: %s", m, len(elements), batch, p.Payload(m))
			}
			for _, e := range elements {
				if want := p.Begin + next[s]*500; e.Reason != "" || e.Reading.TS != want || e.Reading.Temp < 45_000 || e.Reading.Temp >= 46_000 {
					t.Fatalf("message %d of sensor %d: %+v, want ts %d", m, s, e, want)
				}
				next[s]++
			}
		}
	}
}

func TestNamesAreTheirSensorsAlone(t *testing.T) {
	p := plan()
	p.Conns, p.Sensors, p.AssetSize = 7, 5, 10
	seen := map[string]bool{}
	for k := range p.Conns {
		for s := range p.Sensors {
			topic := p.Topic(k, s)
			names := strings.Split(strings.TrimPrefix(topic, stream.TelemetryPrefix), "/")
			if seen[topic] || len(names) != 3 || !stream.ValidName(names[1]) || !stream.ValidName(names[2]) {
				t.Errorf("topic %s", topic)
			}
			seen[topic] = true
		}
	}
	if a, _ := p.Names(0, 0); a != "loco-0" {
		t.Errorf("asset %s", a)
	}
	if a, s := p.Names(1, 4); a != "loco-0" || s != "axle5-right" {
		t.Errorf("asset %s, sensor %s: ten sensors of two connections are one asset", a, s)
	}
}

func TestPlansThatMakeNoSenseAreRefused(t *testing.T) {
	for name, f := range map[string]func(*load.Plan){
		"connections": func(p *load.Plan) { p.Conns = 0 },
		"sensors":     func(p *load.Plan) { p.Sensors = 0 },
		"asset":       func(p *load.Plan) { p.AssetSize = 0 },
		"batch":       func(p *load.Plan) { p.Batch = 0 },
		"qos":         func(p *load.Plan) { p.QoS = 3 },
		"window":      func(p *load.Plan) { p.Window = 65_535 },
		"rate":        func(p *load.Plan) { p.Rate = -1 },
		"no number":   func(p *load.Plan) { p.Rate = math.NaN() },
		"slow":        func(p *load.Plan) { p.Rate = 1e-9 },
		"gather":      func(p *load.Plan) { p.Gather = -1 },
		"period":      func(p *load.Plan) { p.Period = 1500 * time.Microsecond },
	} {
		p := plan()
		f(&p)
		if _, err := load.Start("127.0.0.1:1", p); err == nil || !strings.Contains(err.Error(), "check load") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuantiles holds the distribution against what went in: it is three per cent off at most, and never above the greatest.
func TestQuantiles(t *testing.T) {
	var l load.Latencies
	const n = 100_000
	for i := range n {
		l.Add(time.Duration(i)*7*time.Microsecond, 1)
	}
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999} {
		want := time.Duration(q*n) * 7 * time.Microsecond
		if got := l.Quantile(q); got > want+time.Microsecond || got < want-want/32-time.Microsecond {
			t.Errorf("quantile %g is %s, want %s", q, got, want)
		}
	}
	if l.Quantile(1) != l.Max() || l.Max() != (n-1)*7*time.Microsecond || l.Count() != n {
		t.Errorf("greatest %s of %d", l.Max(), l.Count())
	}
	var both load.Latencies
	both.Add(time.Second, 10)
	both.Join(&l)
	if both.Max() != time.Second || both.Count() != n+10 {
		t.Errorf("joined: greatest %s of %d", both.Max(), both.Count())
	}
}
