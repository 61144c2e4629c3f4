package platform

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// ear hears what is published below a filter, the newest of each topic and all events.
type ear struct {
	mu     sync.Mutex
	newest map[string]string
	events []string
}

func listen(t *testing.T, p *Platform, id string) *ear {
	t.Helper()
	e := &ear{newest: map[string]string{}}
	c := client(t, p, id)
	tok := c.Subscribe("cidp/v1/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.newest[m.Topic()] = string(m.Payload())
		if strings.HasPrefix(m.Topic(), eventsPrefix) {
			e.events = append(e.events, string(m.Payload()))
		}
	})
	if !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	return e
}

func (e *ear) on(topic string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.newest[topic]
}

// count is how many events of a kind name a rule's alerts.
func (e *ear) count(kind, cause string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events {
		if strings.Contains(ev, `"kind":"`+kind+`"`) && strings.Contains(ev, cause) {
			n++
		}
	}
	return n
}

func quick(c *Config) { c.Stream.SilentAfter = time.Second }

// keepSending sends a reading each 100 ms for every sensor until it is stopped, and then waits for what is not acknowledged: a commit that takes long must silence nobody.
func keepSending(t *testing.T, c mqtt.Client, topics ...string) (stop func()) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			var last mqtt.Token
			for i, topic := range topics {
				last = c.Publish(topic, 1, false, fmt.Sprintf(`{"ts":%d,"temp_c":%d}`, time.Now().UnixMilli(), 40+(n+i)%5))
			}
			select {
			case <-end:
				if !last.WaitTimeout(10*time.Second) || last.Error() != nil {
					t.Errorf("not acknowledged: %v", last.Error())
				}
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(end); <-ended }
}

func telemetry(names ...string) (topics []string) {
	for _, n := range names {
		topics = append(topics, "cidp/v1/telemetry/"+n)
	}
	return topics
}

func TestSilenceIsAnAlert(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, quick)
	e := listen(t, p, "ear")
	c := client(t, p, "train")
	on := keepSending(t, c, telemetry("d/a/axle1-left", "d/a/axle1-right", "d/b/x", "d/b/y")...)
	until(t, "readings", func() bool { return ask(t, dir, `SELECT count(*) FROM telemetry`) > 8 })
	on()
	on = keepSending(t, c, telemetry("d/b/x")...) // asset a is switched off, a sensor of b is broken
	const asset, sensor = alertsPrefix + "d/a/_asset", alertsPrefix + "d/b/y"
	until(t, "both silences to be told", func() bool { return e.on(asset) != "" && e.on(sensor) != "" })
	var a struct {
		AlertID                     string `json:"alert_id"`
		State, Severity, Rule, Site string
		Sensor, Reason              string
		PFailure                    *float64 `json:"p_failure"`
	}
	if err := json.Unmarshal([]byte(e.on(asset)), &a); err != nil {
		t.Fatal(err)
	}
	if a.Rule != "silence" || a.State != "active" || a.Severity != "watch" || a.Sensor != "_asset" || a.PFailure != nil || !strings.Contains(a.Reason, "any of the asset's 2 sensors") {
		t.Errorf("alert %+v", a)
	}
	if n := ask(t, dir, `SELECT count(*) FROM alert`); n != 2 {
		t.Errorf("%d alerts: each is told once", n)
	}
	if body := get(t, p, "/metrics"); !strings.Contains(body, `cidp_standing{rule="silence",scope="asset"} 1`) || !strings.Contains(body, `cidp_standing{rule="silence",scope="sensor"} 1`) {
		t.Error("the metrics do not tell of the silences")
	}
	if body := get(t, p, "/api/v1/alerts"); !strings.Contains(body, `"_asset"`) || !strings.Contains(body, "silence") {
		t.Errorf("the console's list: %s", body)
	}
	on()
	stop()
	verify(t, dir)

	p, stop = start(t, dir, quick)
	e = listen(t, p, "ear")
	c = client(t, p, "train")
	until(t, "the alerts to stand retained", func() bool { return strings.Contains(e.on(asset), a.AlertID) && e.on(sensor) != "" })
	on = keepSending(t, c, telemetry("d/a/axle1-left", "d/a/axle1-right", "d/b/x", "d/b/y")...)
	until(t, "the alerts to be cleared", func() bool { return e.on(asset) == "" && e.on(sensor) == "" })
	on()
	if n := ask(t, dir, `SELECT count(*) FROM alert WHERE state = 'cleared'`); n != 2 {
		t.Errorf("%d alerts are cleared", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM alert_event`); n != 4 {
		t.Errorf("%d transitions", n)
	}
	stop()
	verify(t, dir)
}

// restless never stands still, frozenAt does.
func restless(i int) float64 { return 40 + float64(i%7)/100 }

func frozenAt(v float64) func(int) float64 { return func(int) float64 { return v } }

// minutes sends so many minutes of four sensors, of which the last so many are stuck.
func minutes(t *testing.T, c mqtt.Client, asset string, from int64, n, stuck int, hot float64) {
	t.Helper()
	for s, name := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"} {
		temp := restless
		if s >= 4-stuck {
			temp = frozenAt(hot)
		}
		publish(t, c, "cidp/v1/telemetry/d/"+asset+"/"+name, series(from, n*60, temp))
	}
}

func TestFailsafeOfAnAsset(t *testing.T) {
	dir := t.TempDir()
	var p *Platform
	var stop func()
	open := func() (*ear, mqtt.Client) {
		p, stop = start(t, dir, nil)
		return listen(t, p, "ear"), client(t, p, "train")
	}
	at := base()
	e, c := open()
	step := func(n, stuck int) {
		for range n { // minute by minute, so that the sensors' windows close together
			minutes(t, c, "loco", at, 1, stuck, 40)
			at += 60_000
		}
	}
	step(6, 0)
	step(6, 3)
	const topic = alertsPrefix + "d/loco/_asset"
	until(t, "the fail-safe to be told", func() bool { return strings.Contains(e.on(topic), `"rule":"failsafe"`) })
	open1 := ask(t, dir, `SELECT count(*) FROM quarantine_window WHERE reasons = '["failsafe_open"]'`)
	stop()
	verify(t, dir)
	e, c = open() // in the midst of it
	step(3, 3)
	if n := ask(t, dir, `SELECT count(*) FROM quarantine_window WHERE reasons = '["failsafe_open"]'`); n <= open1 {
		t.Errorf("%d good windows are quarantined after the restart, %d before", n, open1)
	}
	if n := ask(t, dir, `SELECT count(*) FROM alert WHERE rule = 'failsafe'`); n != 1 {
		t.Errorf("%d alerts", n)
	}
	step(8, 0)
	until(t, "the fail-safe to be told closed", func() bool { return e.on(topic) == "" })
	n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions`)
	step(2, 0)
	if m := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions`); m < n+4 {
		t.Errorf("%d predictions, %d while it was open: nothing is scored again", m, n)
	}
	stop()
	verify(t, dir)
}

func TestQuarantinedHotIsTold(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	e, c := listen(t, p, "ear"), client(t, p, "train")
	const topic, sensor = alertsPrefix + "d/loco/axle9-left", "cidp/v1/telemetry/d/loco/axle9-left"
	at := base()
	publish(t, c, sensor, series(at, 180, func(i int) float64 { return 78 + float64(i%7)/100 })) // hot, and below the limit
	publish(t, c, sensor, series(at+180_000, 120, frozenAt(118.2)))
	until(t, "the alert", func() bool { return strings.Contains(e.on(topic), "quarantined_hot") })
	if got := e.on(topic); !strings.Contains(got, "last good readings 118.2 °C, critical limit 110 °C, window quarantined: flatline") || !strings.Contains(got, `"severity":"critical"`) || !strings.Contains(got, `"value":118.2`) {
		t.Errorf("alert %s", got)
	}
	stop()
	verify(t, dir)
	p, stop = start(t, dir, nil)
	e, c = listen(t, p, "ear"), client(t, p, "train")
	until(t, "it to stand after the restart", func() bool { return strings.Contains(e.on(topic), "quarantined_hot") })
	publish(t, c, sensor, series(at+300_000, 60, func(int) float64 { return math.NaN() })+"") // nothing
	publish(t, c, sensor, series(at+300_000, 240, func(i int) float64 { return 70 - float64(i)/20 }))
	until(t, "it to be cleared", func() bool { return e.on(topic) == "" })
	if n := ask(t, dir, `SELECT count(*) FROM alert_event WHERE alert_id = (SELECT alert_id FROM alert WHERE rule = 'quarantined_hot')`); n != 2 {
		t.Errorf("%d transitions", n)
	}
	stop()
	verify(t, dir)
}
