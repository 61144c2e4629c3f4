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

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
)

// told gathers what is published on some topics, retained or not.
type told struct {
	mu   sync.Mutex
	what []string // topic and payload
}

func hear(t *testing.T, p *Platform, filter string) *told {
	t.Helper()
	l := &told{}
	tok := client(t, p, "listener").Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.what = append(l.what, m.Topic()+" "+string(m.Payload()))
	})
	if !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("subscribe: %v", tok.Error())
	}
	return l
}

// of gives what was told on topics that begin so.
func (l *told) of(prefix string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.what {
		if strings.HasPrefix(w, prefix) {
			out = append(out, w)
		}
	}
	return out
}

// without is steady but for some seconds that are missing.
func without(from, to int) func(i int) float64 {
	return func(i int) float64 {
		if i >= from && i < to {
			return math.NaN()
		}
		return steady(i)
	}
}

// TestLateReadingsReviseThroughTheLine: an older window's revision is stored and scored and tells nobody; the newest one's is told, and moves the alert.
func TestLateReadingsReviseThroughTheLine(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	heard := hear(t, p, "cidp/v1/#")
	c := client(t, p, "late")
	ts := base()
	publish(t, c, sensorOne, series(ts, 251, without(70, 100)))
	publish(t, c, sensorOne, series(ts+70_000, 30, func(i int) float64 { return steady(70 + i) }))
	if n := ask(t, dir, `SELECT count(*) FROM window_now WHERE revision = 1 AND verdict = 'valid' AND n = 60 AND p_failure IS NOT NULL AND start_ms = ?`, fmt.Sprint(ts+60_000)); n != 1 {
		t.Error("the older window is not revised")
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window JOIN quarantine_window USING (window_id, revision) WHERE revision = 0 AND telemetry_window.start_ms = ?`, fmt.Sprint(ts+60_000)); n != 1 {
		t.Error("what it said before is gone")
	}
	p.board.mu.Lock()
	if got := p.board.sensors.at(1).start; got != console.Time(ts+180_000) {
		t.Errorf("the console shows the window from %v, not the newest", got)
	}
	p.board.mu.Unlock()
	if n := ask(t, dir, `SELECT count(*) FROM late_reading`); n != 0 {
		t.Errorf("%d readings are late", n)
	}
	// The newest closed window is [180, 240): a late reading in it is told.
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":45.1}`, ts+200_500))
	until(t, "the revised risk", func() bool {
		risks := heard.of("cidp/v1/risk/")
		return len(risks) > 0 && strings.Contains(risks[len(risks)-1], `"revision":1`)
	})
	for _, risk := range heard.of("cidp/v1/risk/") {
		var r struct {
			Start    time.Time `json:"window_start"`
			Revision int       `json:"revision"`
		}
		if err := json.Unmarshal([]byte(risk[strings.IndexByte(risk, '{'):]), &r); err != nil {
			t.Fatal(err)
		}
		if r.Revision > 0 && r.Start.UnixMilli() != ts+180_000 {
			t.Errorf("told of a revision of an older window: %s", risk)
		}
	}
	// Late heat in it raises an alert, once, and a calm revision after that does not take it back.
	publish(t, c, sensorOne, series(ts+180_250, 60, func(i int) float64 { return 130 + 0.05*float64(i%4) }))
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":130}`, ts+200_600))
	publish(t, c, sensorOne, series(ts+251_000, 70, func(i int) float64 { return steady(i) }))
	stop()
	verify(t, dir)
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window WHERE start_ms = ?`, fmt.Sprint(ts+180_000)); n != 4 {
		t.Errorf("the newest window has %d revisions, want 4", n)
	}
	if a, b := ask(t, dir, `SELECT count(*) FROM alert`), ask(t, dir, `SELECT count(*) FROM alert_event WHERE kind = 'raised'`); a != b {
		t.Errorf("%d alerts, raised %d times", a, b)
	}
}

// TestRevisionRaisesAnAlertOnce: a window whose late readings show what its early ones did not.
func TestRevisionRaisesAnAlertOnce(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	c := client(t, p, "hot")
	ts := base()
	hot := func(i int) float64 { return 140 + 0.3*math.Sin(float64(i)*1.7) }
	few := func(i int) float64 { // too few for a verdict: quarantined
		if i < 60 {
			return steady(i)
		}
		if i < 180 && i%3 > 0 {
			return math.NaN()
		}
		return hot(i)
	}
	publish(t, c, sensorOne, series(ts, 191, few))
	if n := ask(t, dir, `SELECT count(*) FROM alert WHERE rule <> 'quarantined_hot'`); n != 0 {
		t.Fatalf("%d alerts: the test shows nothing", n)
	}
	rest := func(from int) string {
		return series(ts+int64(from)*1000, 60, func(i int) float64 {
			if (from+i)%3 == 0 {
				return math.NaN()
			}
			return hot(from + i)
		})
	}
	publish(t, c, sensorOne, rest(60)) // of the older window: it moves nothing
	if n := ask(t, dir, `SELECT count(*) FROM alert WHERE rule <> 'quarantined_hot'`); n != 0 {
		t.Errorf("a revision of an older window raised %d alerts", n)
	}
	publish(t, c, sensorOne, rest(120)) // of the newest
	if n := ask(t, dir, `SELECT count(*) FROM alert_event WHERE kind = 'raised' AND revision = 1`); n != 1 {
		t.Errorf("a revision of the newest window raised %d alerts", n)
	}
	stop()
	p, stop = start(t, dir, nil)
	publish(t, client(t, p, "again"), sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":140}`, ts+130_500)) // once more, after a restart
	if n := ask(t, dir, `SELECT count(*) FROM alert_event JOIN alert USING (alert_id) WHERE rule <> 'quarantined_hot'`); n != 1 {
		t.Errorf("%d transitions", n)
	}
	stop()
	verify(t, dir)
}

// TestRevisionsOfAWindowCountOnce: two windows in a row at alarm raise an alert; one and its revisions do not, restart or not.
func TestRevisionsOfAWindowCountOnce(t *testing.T) {
	dir := t.TempDir()
	alone := with(t, modeltest.Small(t, 1, nil)) // what is at alarm is the rules' to say, whatever model comes with the program
	p, stop := start(t, dir, alone)
	c := client(t, p, "warm")
	ts := base()
	warm := func(i int) float64 {
		if i < 120 {
			return steady(i)
		}
		return 53 + steady(i)
	}
	publish(t, c, sensorOne, series(ts, 191, warm))
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions WHERE level = 'alarm' AND start_ms = ?`, fmt.Sprint(ts+120_000)); n != 1 {
		t.Fatal("the window is not at alarm: the test shows nothing")
	}
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":98}`, ts+130_500))
	stop()
	p, stop = start(t, dir, alone)
	c = client(t, p, "again")
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":98}`, ts+131_500))
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions WHERE level = 'alarm' AND start_ms = ?`, fmt.Sprint(ts+120_000)); n != 3 {
		t.Errorf("%d predictions, want 3", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM alert WHERE rule <> 'quarantined_hot'`); n != 0 {
		t.Errorf("one window raised %d alerts", n)
	}
	publish(t, c, sensorOne, series(ts+191_000, 70, func(i int) float64 { return warm(191 + i) }))
	if n := ask(t, dir, `SELECT count(*) FROM alert`); n != 1 {
		t.Errorf("two windows raised %d alerts", n)
	}
	stop()
	verify(t, dir)
}

// TestHistoryIsNotToldAsLive: a device's backlog of days is stored, windowed and scored, raises its alerts in the tables, and nothing of it is published.
func TestHistoryIsNotToldAsLive(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) { c.Stream.HistoryAfter = time.Hour })
	heard := hear(t, p, "cidp/v1/#")
	c := client(t, p, "backlog")
	old := time.Now().Add(-72 * time.Hour).Truncate(time.Minute).UnixMilli()
	for minute := range int64(10) {
		publish(t, c, sensorOne, series(old+60_000*minute, 60, func(i int) float64 { return 140 + 0.3*math.Sin(float64(i)*1.7) }))
	}
	publish(t, c, sensorOne, series(old+600_000, 65, without(10, 50))) // a window to be quarantined
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":140}`, old+590_500))
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions`); n < 8 {
		t.Errorf("%d predictions of history", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM alert`); n != 1 {
		t.Errorf("%d alerts of history", n)
	}
	// Present readings of another sensor are told, after all that.
	now := time.Now().Add(-4 * time.Minute).Truncate(time.Minute).UnixMilli()
	publish(t, c, "cidp/v1/telemetry/douala/loco-2/axle1-left", series(now, 135, steady))
	until(t, "the risk of the present", func() bool { return len(heard.of("cidp/v1/risk/douala/loco-2")) > 0 })
	for _, prefix := range []string{"cidp/v1/risk/douala/loco-1", "cidp/v1/alerts/douala/loco-1", "cidp/v1/events/douala/loco-1"} {
		if got := heard.of(prefix); len(got) > 0 {
			t.Errorf("history is told as live: %s", got[0])
		}
	}
	stop()
	verify(t, dir)
	p, stop = start(t, dir, func(c *Config) { c.Stream.HistoryAfter = time.Hour })
	heard = hear(t, p, "cidp/v1/#")
	until(t, "what stands after a restart", func() bool { return len(heard.of("cidp/v1/risk/douala/loco-2")) > 0 })
	if got := heard.of("cidp/v1/alerts/"); len(got) > 0 {
		t.Errorf("history stands after a restart: %s", got[0])
	}
	stop()
}
