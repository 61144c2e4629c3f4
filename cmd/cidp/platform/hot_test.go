package platform

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// readings writes an array of readings of seconds from to to, around a temperature.
func readings(base int64, from, to int, temp float64) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"ts":%d,"temp_c":%.2f}`, base+int64(i)*1000, temp+float64(i%4)/20))
	}
	return "[" + strings.Join(out, ",") + "]"
}

const hotStands = `SELECT count(*) FROM alert WHERE rule = 'quarantined_hot' AND state = 'active'`

// TestHotRevisionIsTold: a window that late readings make hot, and leave quarantined, is told as one whose readings came in time; again and again over its revisions, restart or not.
func TestHotRevisionIsTold(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		p, stop := start(t, dir, nil)
		c, ts := client(t, p, "c"), base()
		publish(t, c, sensorOne, readings(ts, 0, 30, 78.9))
		publish(t, c, sensorOne, readings(ts, 75, 76, 80.3))
		if n := ask(t, dir, hotStands); n != 0 {
			t.Fatalf("%d alerts: the test shows nothing", n)
		}
		publish(t, c, sensorOne, readings(ts, 30, 42, 80.4)) // still incomplete
		if n := ask(t, dir, hotStands); n != 1 {
			t.Errorf("restart %v: %d alerts of a hot revision", restart, n)
		}
		if restart {
			stop()
			p, stop = start(t, dir, nil)
			c = client(t, p, "d")
		}
		publish(t, c, sensorOne, readings(ts, 42, 60, 78.9)) // whole, and cooler
		if n := ask(t, dir, hotStands); n != 0 {
			t.Errorf("restart %v: %d alerts after a valid revision", restart, n)
		}
		var spoilt []string
		for i := range 20 {
			spoilt = append(spoilt, fmt.Sprintf(`{"ts":%d,"temp_c":850}`, ts+int64(i)*1500+250))
		}
		publish(t, c, sensorOne, "["+strings.Join(spoilt, ",")+"]")
		publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":81}`, ts+59_900))
		if n := ask(t, dir, hotStands); n != 1 {
			t.Errorf("restart %v: %d alerts of a revision that is hot again", restart, n)
		}
		stop()
		verify(t, dir)
	}
}

// TestReleaseClearsHot: what a release makes valid no longer stands as quarantined and hot.
func TestReleaseClearsHot(t *testing.T) {
	dir := t.TempDir()
	writeSensors(t, dir, "[kind.bearing]\nfail_high_c = 126\nsuspect_high_c = 125.9\n")
	p, stop := start(t, dir, withSensors(dir))
	ts := base()
	publish(t, client(t, p, "c"), sensorOne, series(ts, 75, func(i int) float64 {
		if i%4 == 2 && i < 55 {
			return 126.5
		}
		return 125 + float64(i%5)/10
	}))
	if n := ask(t, dir, hotStands); n != 1 {
		t.Fatalf("%d alerts: the test shows nothing", n)
	}
	writeSensors(t, dir, "[kind.bearing]\nfail_high_c = 250\nsuspect_high_c = 130\n")
	until(t, "the limits to be in force", func() bool { return ask(t, dir, `SELECT count(*) FROM config_change`) == 2 })
	if r := askRelease(t, p, fmt.Sprintf("w%d", ts<<20|1)); r[0].Outcome != "released" {
		t.Errorf("%+v", r)
	}
	if n := ask(t, dir, hotStands); n != 0 {
		t.Errorf("%d alerts stand", n)
	}
	stop()
	verify(t, dir)
}

// TestReleaseOfWhatStays: evidence that would be something else by itself, or is late for good, stays.
func TestReleaseOfWhatStays(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) { c.Stream.TooOld, c.MaxPayload = time.Hour, 6000 })
	c, ts := client(t, p, "c"), base()
	publish(t, c, sensorOne, fmt.Sprintf(`[[{"ts":%d,"temp_c":45}]]`, ts))                                  // m1: an array is no reading
	publish(t, c, "cidp/v1/context/douala/loco-1", fmt.Sprintf(`{"ts":%d,"speed_kmh":60}`, ts))             // m2: too old
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts)+strings.Repeat(" ", 5000)+"and more") // m3: cut behind what could be read
	stop()
	p, stop = start(t, dir, nil)
	publish(t, client(t, p, "d"), sensorOne, series(ts, 251, steady))
	for i, r := range askRelease(t, p, "m1", "m2", "m3") {
		if want := []string{"malformed", "late", "malformed"}[i]; r.Outcome != "kept" || r.Stored+r.Late+r.Refused > 0 || r.Reasons[0] != want {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	if r := askRelease(t, p, "m1", "m99"); r[1].Outcome != "kept" || !strings.Contains(r[1].Detail, "no such evidence") {
		t.Errorf("%+v", r)
	}
	stop()
	verify(t, dir)
}
