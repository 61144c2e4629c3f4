package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// alertEvery parts the alerts; a window is filled alertAhead before the reading that closes it, less than a platform waits for a silent sensor.
const (
	alertEvery  = 100 * time.Millisecond
	alertAhead  = 10 // alerts
	alertWithin = 15 * time.Second
)

// alarms are vehicles that go hot one after the other. Each has one sensor, and is silent but for this: a minute of readings at 118 degC (over the 110 degC at which one
// window raises an alert), ten seconds more, and at its time the one reading that moves the watermark past the window's end. Nothing else closes the window, so that the alert is due
// from that reading on.
type alarms struct {
	site  string
	begin int64 // event time of the window, epoch ms
	due   []time.Time

	mu      sync.Mutex
	told    []bool
	latency load.Latencies
	missing int
	wrong   error // the first message that is not what was due
}

func newAlarms(site string, n int, start time.Time) *alarms {
	a := &alarms{site: site, begin: start.Add(-30 * time.Minute).Truncate(time.Minute).UnixMilli(), told: make([]bool, n), missing: n}
	for i := range n {
		a.due = append(a.due, start.Add(time.Duration(i+alertAhead)*alertEvery))
	}
	return a
}

func (a *alarms) asset(i int) string { return "hot-" + strconv.Itoa(i) }

func (a *alarms) topic(i int) string { return stream.TelemetryTopic(a.site, a.asset(i), "axle1-left") }

// fill is what comes before, closing the reading that closes the window.
func (a *alarms) fill() []byte {
	b := []byte{'['}
	for s := range int64(70) {
		b = append(stream.AppendReading(b, a.reading(s)), ',')
	}
	b[len(b)-1] = ']'
	return b
}

func (a *alarms) closing() []byte { return stream.AppendReading(nil, a.reading(71)) }

func (a *alarms) reading(second int64) stream.Reading {
	return stream.Reading{TS: a.begin + second*1000, Temp: stream.Milli(118_000 + second*7%13*70),
		Conditions: stream.Conditions{Ambient: 25_500, Speed: 60_000, Has: stream.HasAmbient | stream.HasSpeed}}
}

// got is the subscriber. The first message of a vehicle is its alert: of its hot window, critical, and never before the reading that closes it.
func (a *alarms) got(topic string, payload []byte) {
	now := time.Now()
	asset, ours := strings.CutPrefix(topic, "cidp/v1/alerts/"+a.site+"/hot-")
	asset, _, _ = strings.Cut(asset, "/")
	i, err := strconv.Atoi(asset)
	if !ours || err != nil || len(payload) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i >= 0 && i < len(a.told) && !a.told[i] {
		a.told[i] = true
		a.missing--
		a.latency.Add(now.Sub(a.due[i]), 1)
		a.wrong = cmp.Or(a.wrong, a.check(i, now, payload))
	}
}

// check says what is wrong with the alert of a vehicle.
func (a *alarms) check(i int, now time.Time, payload []byte) error {
	if early := a.due[i].Sub(now); early > 0 {
		return fmt.Errorf("the alert of %s came %s before the reading that closes its window", a.asset(i), early)
	}
	var is struct {
		State, Severity, Rule string
		Begin                 time.Time `json:"window_start"`
	}
	err := json.Unmarshal(payload, &is)
	scored := is.Rule == model.SourceForest || slices.Contains(model.RuleNames(), is.Rule)
	if err != nil || is.State != string(model.Active) || is.Severity != model.Critical.String() || !scored || is.Begin.UnixMilli() != a.begin {
		return fmt.Errorf("the alert of %s is not that its hot window raises: %.300s", a.asset(i), payload)
	}
	return nil
}

// send keeps the timetable. Latency counts from when the closing reading was due.
func (a *alarms) send(ctx context.Context, s *load.Sender) error {
	fill, closing := a.fill(), a.closing()
	for i := -alertAhead; i < len(a.due); i++ {
		if at := i + alertAhead; at < len(a.due) {
			if err := s.Send(a.topic(at), fill); err != nil {
				return err
			}
		}
		if i < 0 {
			continue
		}
		if err := pause(ctx, time.Until(a.due[i])); err != nil {
			return err
		}
		if err := s.Send(a.topic(i), closing); err != nil {
			return err
		}
	}
	return nil
}

// measureAlerts lets vehicles go hot beside a load.
func (b *bench) measureAlerts(ctx context.Context, r *run) error {
	return b.measureBeside(ctx, r, func(ctx context.Context, site string) (err error) {
		n := max(1, int(r.s.last/alertEvery)-alertAhead)
		a := newAlarms(site, n, time.Now())
		l, err := load.Listen(r.addr, "bench-operator", "cidp/v1/alerts/"+site+"/#", a.got)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		s, err := load.NewSender(r.addr, "bench-hot")
		if err != nil {
			return err
		}
		defer s.Close()
		if err := a.send(ctx, s); err != nil {
			return err
		}
		if err := s.Finish(ackPatience); err != nil {
			return err
		}
		r.sent, r.acked = r.sent+int64(n*71), r.acked+int64(n*71)
		return a.figures(ctx, r)
	})
}

// figures waits for what is still to come, and tells how long alerts took.
func (a *alarms) figures(ctx context.Context, r *run) error {
	for end := time.Now().Add(alertWithin); ; {
		a.mu.Lock()
		missing, wrong := a.missing, a.wrong
		a.mu.Unlock()
		if wrong != nil {
			return wrong
		}
		if missing == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d alerts have not come within %s", missing, len(a.due), alertWithin)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	r.figures.set(alerts, float64(len(a.due)))
	r.figures.set(alertMedian, millis(a.latency.Quantile(0.5)))
	r.figures.set(alert99, millis(a.latency.Quantile(0.99)))
	r.figures.set(alertMax, millis(a.latency.Max()))
	return nil
}
