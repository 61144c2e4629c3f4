package platform

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestFullDisk: the whole line while the disk is full, and after. Nothing is acknowledged or stored meanwhile, everybody is told why, and when there is room again
// what was waiting is acknowledged and stored once.
func TestFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(10 << 30)
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) {
		c.fileSystem = func(string) (int64, int64, bool, error) { return free.Load(), 100 << 30, true, nil }
		c.Keep.RawMin = 24 * time.Hour
	})
	c := client(t, p, "loco")
	base := time.Now().Add(-time.Hour).Truncate(time.Minute).UnixMilli()
	topic := stream.TelemetryTopic("douala", "loco-1", "axle1-left")
	publish(t, c, topic, series(base, 30, steady))
	free.Store(1 << 20)
	until(t, "readyz says no", func() bool { return strings.Contains(get(t, p, "/readyz"), "room: the disk is full: 1.0 MiB are free") })
	waiting := c.Publish(topic, 1, false, series(base+30_000, 30, steady))
	if waiting.WaitTimeout(500 * time.Millisecond) {
		t.Fatal("a reading was acknowledged on a full disk")
	}
	if n := ask(t, dir, `SELECT count(*) FROM reading`); n != 30 {
		t.Errorf("%d readings are stored", n)
	}
	if now := p.status.now(); now.State != "degraded" || len(now.Reasons) != 2 { // short, too
		t.Errorf("status %+v", now)
	}
	if text := get(t, p, "/metrics"); !strings.Contains(text, "cidp_disk_free_bytes 1.048576e+06") || !strings.Contains(text, "cidp_ready 0") {
		t.Error("the metrics do not tell of it")
	}
	free.Store(10 << 30)
	if !waiting.WaitTimeout(20*time.Second) || waiting.Error() != nil {
		t.Fatalf("there is room again, and it is not acknowledged: %v", waiting.Error())
	}
	until(t, "it heals", func() bool { ok, _ := p.status.Ready(); return ok })
	stop()
	if n := ask(t, dir, `SELECT count(*) FROM reading`); n != 60 {
		t.Errorf("%d readings are stored", n)
	}
	verify(t, dir)
}

// TestRetentionInTheLine: old readings go while new ones come; what comes again is late; a restart goes on.
func TestRetentionInTheLine(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *Config) { c.Keep = store.Keep{Raw: 30 * time.Minute, Windows: 40 * time.Minute} }
	p, stop := start(t, dir, nil)
	c := client(t, p, "loco")
	base := time.Now().Add(-time.Hour).Truncate(time.Minute).UnixMilli()
	for m := range int64(55) {
		for _, sensor := range []string{"axle1-left", "axle1-right"} {
			publish(t, c, stream.TelemetryTopic("douala", "loco-1", sensor), series(base+m*60_000, 60, steady))
		}
		publish(t, c, stream.ContextTopic("douala", "loco-1"), fmt.Sprintf(`{"ts":%d,"speed_kmh":60}`, base+m*60_000))
	}
	stop()
	_, stop = start(t, dir, keep)
	until(t, "the oldest go", func() bool {
		return ask(t, dir, `SELECT min(key) >> 20 FROM reading`) >= base+29*60_000 && ask(t, dir, `SELECT min(start_ms) FROM telemetry_window`) >= base+19*60_000
	})
	stop()
	verify(t, dir)
	p, stop = start(t, dir, keep)
	c = client(t, p, "loco")
	publish(t, c, stream.TelemetryTopic("douala", "loco-1", "axle1-left"), series(base+60_000, 5, steady))
	if n := ask(t, dir, `SELECT count(*) FROM late_reading`); n != 5 {
		t.Errorf("%d of 5 readings that came again are late", n)
	}
	publish(t, c, stream.TelemetryTopic("douala", "loco-1", "axle1-left"), series(base+55*60_000, 60, steady))
	if text := get(t, p, "/metrics"); !strings.Contains(text, "cidp_checkpoints_total") || !strings.Contains(text, "cidp_wal_bytes") {
		t.Error("the metrics do not tell of the keeper")
	}
	stop()
	verify(t, dir)
}
