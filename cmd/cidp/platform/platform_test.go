package platform

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// start runs a whole platform in a temporary folder; stop it with the function given, which the end of the test calls too.
func start(t *testing.T, dir string, change func(*Config)) (*Platform, func()) {
	t.Helper()
	p, stop := startLoose(t, dir, change)
	t.Cleanup(stop)
	return p, stop
}

// startLoose is start for a test that stops the platform itself.
func startLoose(t testing.TB, dir string, change func(*Config)) (*Platform, func()) {
	t.Helper()
	cfg := Config{Data: dir, MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", Stream: stream.DefaultConfig(), CommitEvery: 10 * time.Millisecond,
		ModelFile: modeltest.File(t, modeltest.Default(t, modeltest.Passed())),
		Version:   "test", Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)}
	cfg.Stream.HistoryAfter = 0
	if change != nil {
		change(&cfg)
	}
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	return p, stop
}

// client connects with MQTT 3.1.1.
func client(t *testing.T, p *Platform, id string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.MQTTAddr()).SetClientID(id).SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// publish sends at QoS 1 and waits for the acknowledgement: then it is committed.
func publish(t *testing.T, c mqtt.Client, topic, payload string) {
	t.Helper()
	if tok := c.Publish(topic, 1, false, payload); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("publish on %s: not acknowledged (%v)", topic, tok.Error())
	}
}

// ask reads one number from the warehouse.
func ask(t *testing.T, dir, sql string, args ...string) int64 {
	t.Helper()
	c, err := sqlite3.OpenFlags(filepath.Join(dir, DatabaseName), sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, a := range args {
		if err := s.BindText(i+1, a); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Step() {
		t.Fatalf("%s: no row (%v)", sql, s.Err())
	}
	return s.ColumnInt64(0)
}

func get(t *testing.T, p *Platform, path string) string {
	t.Helper()
	res, err := http.Get("http://" + p.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// series writes an array of readings, one a second from the base on; temp may return NaN for a reading that is missing.
func series(base int64, seconds int, temp func(i int) float64) string {
	var b strings.Builder
	for i := range seconds {
		v := temp(i)
		if math.IsNaN(v) {
			continue
		}
		sep := ","
		if b.Len() == 0 {
			sep = "["
		}
		fmt.Fprintf(&b, `%s{"ts":%d,"temp_c":%.3f}`, sep, base+int64(i)*1000, v)
	}
	return b.String() + "]"
}

// steady is what a healthy sensor shows.
func steady(i int) float64 { return 45 + 0.3*math.Sin(float64(i)*1.7) }

// verify proves a stopped database.
func verify(t *testing.T, dir string) {
	t.Helper()
	r, err := store.Verify(t.Context(), filepath.Join(dir, DatabaseName), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range r.Breaches {
		t.Errorf("breach: %s: %s", b.Check, b.Detail)
	}
}

// base is a whole minute a few hours ago.
func base() int64 { return time.Now().Add(-3 * time.Hour).Truncate(time.Minute).UnixMilli() }

func TestEveryMessageReason(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) {
		c.MaxPayload = 4096
		c.Stream.TooOld = 24 * time.Hour
	})
	c := client(t, p, "reasons")
	const topic = "cidp/v1/telemetry/douala/loco-1/axle1-left"
	ts := base()
	publish(t, c, topic, series(ts, 60, steady))
	publish(t, c, topic, fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts+200_000)) // closes the first window

	for _, test := range []struct {
		reason         stream.Reason
		topic, payload string
		where          string // of the evidence; default quarantine_message
	}{
		{reason: stream.TooLarge, topic: topic, payload: strings.Repeat(" ", 5000)},
		{reason: stream.UnknownTopic, topic: "plant/boiler/7", payload: `{"ts":1,"temp_c":1}`},
		{reason: stream.BadName, topic: "cidp/v1/telemetry/douala/loco 1/axle1-left", payload: `{}`},
		{reason: stream.Malformed, topic: topic, payload: `{"ts":`},
		{reason: stream.MissingField, topic: topic, payload: `{"ts":1700000000000}`},
		{reason: stream.NotFinite, topic: topic, payload: `{"ts":1700000000000,"temp_c":1e999}`},
		{reason: stream.BadTime, topic: topic, payload: `{"ts":"yesterday","temp_c":40}`},
		{reason: stream.Future, topic: topic, payload: fmt.Sprintf(`{"ts":%d,"temp_c":40}`, time.Now().Add(time.Hour).UnixMilli())},
		{reason: stream.TooOld, topic: topic, payload: `{"ts":1700000000000,"temp_c":40}`},
		{reason: stream.Duplicate, topic: topic, payload: fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts+200_000), where: "none"},
		{reason: stream.Conflict, topic: topic, payload: fmt.Sprintf(`{"ts":%d,"temp_c":46}`, ts+200_000)},
		{reason: stream.Late, topic: topic, payload: fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts-3_600_000), where: "late_reading"},
	} {
		t.Run(string(test.reason), func(t *testing.T) {
			publish(t, c, test.topic, test.payload)
			switch test.where {
			case "":
				if n := ask(t, dir, `SELECT count(*) FROM quarantine_message WHERE reason = ? AND client_id = 'reasons' AND detail <> ''`, string(test.reason)); n != 1 {
					t.Errorf("%d messages in quarantine", n)
				}
			case "late_reading":
				if n := ask(t, dir, `SELECT count(*) FROM late_reading WHERE reason = ? AND temp_c = 45`, string(test.reason)); n != 1 {
					t.Errorf("%d late readings", n)
				}
			}
			if n := ask(t, dir, `SELECT value FROM ledger WHERE reason = ?`, string(test.reason)); n != 1 {
				t.Errorf("ledger counts %d", n)
			}
			if m := get(t, p, "/metrics"); !strings.Contains(m, fmt.Sprintf(`reason="%s"} 1`, test.reason)) {
				t.Error("not in /metrics")
			}
		})
	}
	stop()
	verify(t, dir)
}

func TestEveryWindowReason(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	c := client(t, p, "windows")
	ts := base()
	in := func(i int) bool { return i >= 60 && i < 120 } // the second of three windows is bad
	for reason, temp := range map[stream.Reason]func(i int) float64{
		stream.Incomplete: func(i int) float64 {
			if in(i) && i%2 == 0 {
				return math.NaN()
			}
			return steady(i)
		},
		stream.Gap: func(i int) float64 {
			if i >= 70 && i < 90 {
				return math.NaN()
			}
			return steady(i)
		},
		stream.OutOfRange: func(i int) float64 {
			if in(i) {
				return 850 + steady(i)
			}
			return steady(i)
		},
		stream.Flatline: func(i int) float64 {
			if in(i) {
				return 45.123
			}
			return steady(i)
		},
		stream.Spikes: func(i int) float64 {
			if in(i) && i%7 == 0 {
				return steady(i) + 40
			}
			return steady(i)
		},
		stream.RateOfChange: func(i int) float64 {
			if in(i) {
				return steady(i) + float64(i-60)
			}
			return steady(i)
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			asset := "asset-" + string(reason)
			topic := "cidp/v1/telemetry/douala/" + asset + "/axle1-left"
			for i := 0; i < 240; i += 30 {
				publish(t, c, topic, series(ts+int64(i)*1000, 30, func(k int) float64 { return temp(i + k) }))
			}
			bad := ask(t, dir, `SELECT count(*) FROM quarantine_window q JOIN sensor s USING (sensor_id) JOIN asset a USING (asset_id)
				WHERE a.asset = ?1 AND q.start_ms = ?2 AND EXISTS (SELECT 1 FROM json_each(q.reasons) WHERE value = ?3)`, asset, fmt.Sprint(ts+60_000), string(reason))
			if bad != 1 {
				t.Errorf("the bad window is quarantined as %s %d times", reason, bad)
			}
			good := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions p JOIN sensor s USING (sensor_id) JOIN asset a USING (asset_id)
				WHERE a.asset = ?1 AND p.start_ms = ?2`, asset, fmt.Sprint(ts))
			if good != 1 {
				t.Errorf("the good window has %d predictions", good)
			}
			if m := get(t, p, "/metrics"); !strings.Contains(m, fmt.Sprintf(`cidp_windows_quarantined_total{reason="%s"}`, reason)) {
				t.Error("not in /metrics")
			}
		})
	}
	stop()
	verify(t, dir)
}

// TestTakenPort: an address of another program is named once, with what to do about it and nothing else.
func TestTakenPort(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for _, c := range []struct{ mqtt, http, flag string }{{other.Addr().String(), "127.0.0.1:0", "--mqtt"}, {"127.0.0.1:0", other.Addr().String(), "--http"}} {
		_, err := Start(Config{Data: t.TempDir(), MQTT: c.mqtt, HTTP: c.http, Stream: stream.DefaultConfig(), Version: "test", Log: zerolog.Nop()})
		if err == nil || !strings.HasSuffix(err.Error(), "another program has that port; stop it or choose another address with "+c.flag) {
			t.Errorf("start on a taken port: %v", err)
		}
	}
}

func TestRestartGoesOn(t *testing.T) {
	whole, parts := t.TempDir(), t.TempDir()
	ts := base()
	send := func(c mqtt.Client, from, to int) {
		for k, s := range []string{"axle1-left", "axle1-right", "axle2-left"} {
			if k == 2 && from >= 184 && from < 424 {
				continue // it stops within a window, over a restart, and comes back: its window is compared with what closed meanwhile
			}
			publish(t, c, "cidp/v1/telemetry/douala/loco-1/"+s, series(ts+int64(from)*1000, to-from, func(i int) float64 { return steady(from+i) + float64(k) }))
		}
		publish(t, c, "cidp/v1/context/douala/loco-1", fmt.Sprintf(`{"ts":%d,"ambient_c":25,"speed_kmh":60}`, ts+int64(from)*1000))
	}
	{
		p, stop := start(t, whole, nil)
		c := client(t, p, "whole")
		for i := 0; i < 600; i += 8 {
			send(c, i, i+8)
		}
		stop()
	}
	for from := 0; from < 600; from += 200 {
		p, stop := start(t, parts, nil)
		c := client(t, p, "parts")
		for i := from; i < from+200; i += 8 {
			send(c, i, i+8)
		}
		stop()
		verify(t, parts)
	}
	digest := func(dir string) string {
		d, err := store.Digest(t.Context(), filepath.Join(dir, DatabaseName))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest(whole) != digest(parts) {
		t.Error("stopping and starting changed the content")
	}
	if n := ask(t, whole, `SELECT count(*) FROM telemetry_window WHERE verdict = 'valid'`); n < 20 {
		t.Errorf("%d valid windows, want 20 and more", n)
	}
	for _, dir := range []string{whole, parts} {
		n := ask(t, dir, `SELECT count(*) FROM telemetry_window w JOIN sensor s USING (sensor_id) WHERE s.sensor = 'axle2-left' AND w.verdict = 'quarantined' AND peer_diff_c > 0.5`)
		if n != 1 {
			t.Errorf("%s: the broken window is compared with its peers %d times", dir, n)
		}
	}
}
