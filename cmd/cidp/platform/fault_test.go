package platform

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/store/faulty"
	"github.com/camrail/cidp/stream"
)

var faultSensors = []string{"loco-1/axle1-left", "loco-1/axle1-right", "loco-2/motor1"}

// sending is what the publishers of a fault's test send, in two halves: readings of three sensors and contexts, four minutes of event time.
func sending(ts int64, second bool) (topics, payloads []string) {
	from := 0
	if second {
		from = 120
	}
	for i := from; i < from+120; i += 10 {
		for k, s := range faultSensors {
			topics = append(topics, "cidp/v1/telemetry/douala/"+s)
			payloads = append(payloads, series(ts+int64(i)*1000, 10, func(n int) float64 { return steady(i+n) + float64(k) }))
		}
		topics = append(topics, "cidp/v1/context/douala/loco-1")
		payloads = append(payloads, fmt.Sprintf(`{"ts":%d,"ambient_c":25,"speed_kmh":60}`, ts+int64(i)*1000))
	}
	return topics, payloads
}

// witness is a subscriber to all that the platform tells.
type witness struct {
	mu     sync.Mutex
	told   int    // risks, alerts and events
	status Status // the newest
}

func (w *witness) see(_ mqtt.Client, m mqtt.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.Topic() != statusTopic {
		w.told++
		return
	}
	var s Status
	if json.Unmarshal(m.Payload(), &s) == nil {
		w.status = s
	}
}

func (w *witness) now() (int, Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told, w.status
}

// caughtUp waits until what has been sent has come: a status that is told now comes after it.
func (w *witness) caughtUp(t *testing.T, p *Platform) {
	t.Helper()
	const mark = "all of that has come"
	p.status.degrade("test", mark)
	until(t, mark, func() bool { _, s := w.now(); return has(s.Reasons, mark) })
	p.status.heal("test")
}

func watch(t *testing.T, p *Platform) *witness {
	t.Helper()
	w := &witness{}
	filters := map[string]byte{"cidp/v1/risk/#": 1, "cidp/v1/alerts/#": 1, "cidp/v1/events/#": 1, statusTopic: 1}
	if tok := client(t, p, "witness").SubscribeMultiple(filters, w.see); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("subscribe: %v", tok.Error())
	}
	return w
}

// ready asks /readyz.
func ready(t *testing.T, p *Platform) (int, string) {
	t.Helper()
	res, err := http.Get("http://" + p.HTTPAddr() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func digestOf(t *testing.T, dir string) string {
	t.Helper()
	d, err := store.Digest(t.Context(), filepath.Join(dir, DatabaseName))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// undisturbed gives the digest of the same sending on a disk that does not fail.
func undisturbed(t *testing.T, ts int64) string {
	t.Helper()
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	c := client(t, p, "all")
	for _, second := range []bool{false, true} {
		topics, payloads := sending(ts, second)
		for i := range topics {
			publish(t, c, topics[i], payloads[i])
		}
	}
	stop()
	verify(t, dir)
	return digestOf(t, dir)
}

// TestFaultHeals breaks the disk under a running line: publishers are not acknowledged, nothing is scored or told, and the reason is named. When the cause
// goes everything is acknowledged and stored once, and the content is that of a run on a good disk.
func TestFaultHeals(t *testing.T) {
	ts := base()
	want := undisturbed(t, ts)
	always := func(f faulty.Fault) func(*testing.T, *faulty.Disk, string) func() {
		return func(_ *testing.T, d *faulty.Disk, _ string) func() {
			mend := d.Break(f)
			return func() { mend() }
		}
	}
	for _, c := range []struct {
		name, says string
		disturb    func(t *testing.T, d *faulty.Disk, dir string) (mend func())
	}{
		{"disk full", "full", always(faulty.Fault{Op: faulty.Write, Kind: faulty.Any, How: faulty.Half, Err: faulty.ErrFull})},
		{"I/O error at a write", "I/O error", always(faulty.Fault{Op: faulty.Write, Kind: faulty.Any, Err: faulty.ErrIO})},
		{"I/O error at a sync", "I/O error", always(faulty.Fault{Op: faulty.Sync, Kind: faulty.Any, How: faulty.Dropped, Err: faulty.ErrIO})},
		{"read-only", "readonly", always(faulty.Fault{Op: faulty.Write, Kind: faulty.Any, Err: sqlite3.READONLY})},
		{"shared memory", "I/O error", always(faulty.Fault{Op: faulty.ShmLock, Kind: faulty.Shm, Err: sqlite3.IOERR_SHMLOCK})},
		{"foreign writer", "locked", func(t *testing.T, _ *faulty.Disk, dir string) func() { return holdWriter(t, dir) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
			t.Cleanup(disk.Close)
			dir := t.TempDir()
			p, stop := start(t, dir, func(cfg *Config) { cfg.VFS, cfg.Log = disk.Name(), zerolog.Nop() })
			w := watch(t, p)
			clients := []mqtt.Client{client(t, p, "one"), client(t, p, "two")}
			topics, payloads := sending(ts, false)
			for i := range topics {
				publish(t, clients[0], topics[i], payloads[i])
			}
			until(t, "the first risks to be told", func() bool { n, _ := w.now(); return n > 0 })
			until(t, "all to be marked as sent", func() bool { return ask(t, dir, `SELECT count(*) FROM outbox`) == 0 })
			w.caughtUp(t, p)
			stored, told := ask(t, dir, `SELECT count(*) FROM telemetry`), func() int { n, _ := w.now(); return n }()

			mend := c.disturb(t, disk, dir)
			var tokens []mqtt.Token
			topics, payloads = sending(ts, true)
			for i := range topics {
				tokens = append(tokens, clients[i%4/3].Publish(topics[i], 1, false, payloads[i])) // contexts on the second connection
			}
			until(t, "the status to tell of it", func() bool { _, s := w.now(); return s.State == "degraded" && has(s.Reasons, c.says) })
			if code, body := ready(t, p); code != http.StatusServiceUnavailable || !strings.Contains(body, c.says) {
				t.Errorf("/readyz: %d %s", code, body)
			}
			until(t, "the failures to be counted", func() bool { return value(t, p, "cidp_commit_failures_total") > 1 }) // it goes on trying
			if n := slices.IndexFunc(tokens, acked); n >= 0 {
				t.Errorf("message %d was acknowledged and is not committed", n)
			}
			if n := ask(t, dir, `SELECT count(*) FROM telemetry`); n != stored {
				t.Errorf("%d readings are stored, %d were", n, stored)
			}
			if n, _ := w.now(); n != told {
				t.Errorf("%d messages were told of what is not committed", n-told)
			}

			mend()
			for i, tok := range tokens {
				if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
					t.Fatalf("message %d is not acknowledged after the cause went: %v", i, tok.Error())
				}
			}
			until(t, "the status to be online", func() bool { _, s := w.now(); return s.State == "online" })
			if code, body := ready(t, p); code != http.StatusOK {
				t.Errorf("/readyz: %d %s", code, body)
			}
			stop()
			verify(t, dir)
			if n := ask(t, dir, `SELECT count(*) FROM telemetry`); n != int64(240*len(faultSensors)) {
				t.Errorf("%d readings are stored, %d were sent", n, 240*len(faultSensors))
			}
			if n := ask(t, dir, `SELECT COALESCE(sum(value), 0) FROM ledger WHERE counter IN ('duplicate', 'late', 'refused')`); n != 0 {
				t.Errorf("%d readings were stored twice, late or refused", n)
			}
			if digestOf(t, dir) != want {
				t.Error("the content is not that of an undisturbed run")
			}
		})
	}
}

func has(reasons []string, part string) bool {
	return slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, part) })
}

// value reads one figure of /metrics.
func value(t *testing.T, p *Platform, name string) (v float64) {
	t.Helper()
	for line := range strings.Lines(get(t, p, "/metrics")) {
		if n, err := fmt.Sscanf(line, name+" %g", &v); n == 1 && err == nil {
			return v
		}
	}
	t.Fatalf("%s is not in /metrics", name)
	return 0
}

// settled stores 202 readings in several batches, so that the first are no longer in memory: one that comes again is looked up.
func settled(t *testing.T, c mqtt.Client, ts int64) {
	t.Helper()
	publish(t, c, sensorOne, series(ts, 200, steady))
	for i := range int64(2) {
		publish(t, c, sensorOne, series(ts+(200+i)*1000, 1, steady))
	}
}

// TestLookUpThatFailsIsWaitedFor: a reading behind its window's closing is looked up, and the disk cannot be read.
func TestLookUpThatFailsIsWaitedFor(t *testing.T) {
	disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	t.Cleanup(disk.Close)
	dir := t.TempDir()
	p, stop := start(t, dir, func(cfg *Config) { cfg.VFS, cfg.Log = disk.Name(), zerolog.Nop() })
	c, ts := client(t, p, "late"), base()
	settled(t, c, ts)
	mend := disk.Break(faulty.Fault{Op: faulty.Read, Kind: faulty.Main | faulty.WAL, Err: sqlite3.IOERR_READ})
	again := c.Publish(sensorOne, 1, false, series(ts, 1, steady))
	until(t, "the status to tell of it", func() bool { return has(p.status.now().Reasons, "I/O error") })
	other := client(t, p, "other").Publish("cidp/v1/telemetry/douala/loco-2/motor1", 1, false, series(ts, 5, steady))
	time.Sleep(100 * time.Millisecond) // nothing can be waited for: nothing happens
	if acked(again) || acked(other) {
		t.Error("acknowledged while what is stored cannot be read")
	}
	if code, body := ready(t, p); code != http.StatusServiceUnavailable || !strings.Contains(body, "I/O error") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	mend()
	for _, tok := range []mqtt.Token{again, other} {
		if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
			t.Fatalf("not acknowledged after the cause went: %v", tok.Error())
		}
	}
	until(t, "the status to be online", func() bool { ok, _ := p.status.Ready(); return ok })
	stop()
	verify(t, dir)
	if n := ask(t, dir, `SELECT value FROM ledger WHERE counter = 'duplicate'`); n != 1 {
		t.Errorf("%d duplicates", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry`); n != 207 {
		t.Errorf("%d readings", n)
	}
}

// TestDamageEndsTheLine: what no retry mends ends the process with a sentence, and nothing is acknowledged.
func TestDamageEndsTheLine(t *testing.T) {
	disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	t.Cleanup(disk.Close)
	p, _ := startLoose(t, t.TempDir(), func(cfg *Config) { cfg.VFS, cfg.Log = disk.Name(), zerolog.Nop() })
	c, ts := client(t, p, "late"), base()
	settled(t, c, ts)
	defer disk.Break(faulty.Fault{Op: faulty.Read, Kind: faulty.Main | faulty.WAL, Err: sqlite3.CORRUPT})()
	tok := c.Publish(sensorOne, 1, false, series(ts, 1, steady))
	select {
	case <-p.Ended():
	case <-time.After(10 * time.Second):
		t.Fatal("the line goes on")
	}
	if acked(tok) {
		t.Error("acknowledged on a damaged database")
	}
	if code, body := ready(t, p); code != http.StatusServiceUnavailable || !strings.Contains(body, "damaged") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if err := stopWithin(p, 4*time.Second); err == nil || !strings.Contains(err.Error(), "restore a copy") || !strings.Contains(err.Error(), DatabaseName) {
		t.Errorf("error %v", err)
	}
}

// tryStart starts a platform that may refuse to.
func tryStart(dir string, change func(*Config)) (*Platform, error) {
	cfg := Config{Data: dir, MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", Stream: stream.DefaultConfig(), CommitEvery: 10 * time.Millisecond, Version: "test", Log: zerolog.Nop()}
	if change != nil {
		change(&cfg)
	}
	return Start(cfg)
}

// TestDamageAtStart refuses to start on a damaged page, and says which file it is in and what to do.
func TestDamageAtStart(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	publish(t, client(t, p, "some"), sensorOne, series(base(), 200, steady))
	stop()
	path := filepath.Join(dir, DatabaseName)
	page := ask(t, dir, `SELECT rootpage FROM sqlite_schema WHERE name = 'sensor'`)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("damage ", 100)), (page-1)*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p, err = tryStart(dir, nil)
	if err == nil {
		_ = stopWithin(p, 4*time.Second)
		t.Fatal("it started")
	}
	for _, part := range []string{"damaged", "restore a copy", DatabaseName} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
}

// TestStartOnAFullDisk starts, says so once something comes that it would have to store, and goes on when there is room.
func TestStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	ts := base()
	publish(t, client(t, p, "before"), sensorOne, series(ts, 200, steady))
	stop()
	disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	t.Cleanup(disk.Close)
	mend := disk.Break(faulty.Fault{Op: faulty.Write, Kind: faulty.Any, Err: faulty.ErrFull})
	p, stop = start(t, dir, func(cfg *Config) { cfg.VFS, cfg.Log = disk.Name(), zerolog.Nop() })
	tok := client(t, p, "after").Publish(sensorOne, 1, false, series(ts+200_000, 10, steady))
	until(t, "the status to tell of it", func() bool { return has(p.status.now().Reasons, "full") })
	if acked(tok) {
		t.Error("acknowledged on a full disk")
	}
	mend()
	if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("not acknowledged after the cause went: %v", tok.Error())
	}
	stop()
	verify(t, dir)
}
