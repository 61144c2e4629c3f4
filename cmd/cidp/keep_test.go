package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestLongTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0d": 0} {
		var d longTime
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(d), err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "90", "1d-25h", "-5m", "1x", "1d1", "99999999d", "2000000000d", "1h1d"} {
		var d longTime
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, time.Duration(d))
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"0": 0, "1048576": 1 << 20, "500MB": 500e6, "20GiB": 20 << 30, "1.5 GiB": 3 << 29, "7kb": 7000, "1TiB": 1 << 40, "12B": 12} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "-1", "GiB", "1XB", "1e30", "1 2", "9999999999TiB", "NaN", "Inf", "1GiBB"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, b)
		}
	}
	for text, want := range map[string]roomMark{"auto": 0, "off": -1, "0": -1, "2GiB": 2 << 30} {
		var m roomMark
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s: %d, %v", text, m, err)
		}
	}
	var m roomMark
	if err := m.UnmarshalText([]byte("some")); err == nil {
		t.Error("some is no mark")
	}
}

// TestKeepFlagsThatMakeNoSense are refused before anything is opened, in a sentence.
func TestKeepFlagsThatMakeNoSense(t *testing.T) {
	for want, args := range map[string][]string{
		"is no duration":                      {"--keep-raw", "90"},
		"is no number of bytes":               {"--keep-bytes", "much"},
		"or auto, or off":                     {"--disk-low", "much"},
		"a window is kept at least as long":   {"--keep-raw", "90d", "--keep-windows", "30d"},
		"an alert is kept at least as long":   {"--keep-raw", "1d", "--keep-windows", "30d", "--keep-alerts", "2d"},
		"only then nothing more":              {"--disk-low", "1MiB", "--disk-stop", "2MiB"},
		"stored a moment ago":                 {"--keep-raw-min", "0"},
		"readings are kept for ever: a windo": {"--keep-windows", "30d"},
	} {
		var out, errs bytes.Buffer
		code := Main(context.Background(), append([]string{"run", "--data", t.TempDir(), "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit %d, %s; want %q", args, code, errs.String(), want)
		}
	}
}

// TestKeepFlags reach the platform's configuration, from the config file too.
func TestKeepFlags(t *testing.T) {
	f := lineFlags{streamFlags: streamFlags{Window: time.Minute, Disorder: 10 * time.Second, FutureAfter: 2 * time.Minute}, Idle: 30 * time.Second, MaxPayload: 1000, keepFlags: keepFlags{
		KeepRaw: longTime(time.Hour), KeepRawMin: longTime(time.Minute), KeepWindows: longTime(2 * time.Hour), KeepAlerts: longTime(3 * time.Hour),
		KeepEvidence: longTime(4 * time.Hour), KeepBytes: 5, DiskLow: 7, DiskStop: 6}}
	cfg, err := f.config(&terminal{settings: &settings{}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	k := cfg.Keep
	if k.Raw != time.Hour || k.RawMin != time.Minute || k.Windows != 2*time.Hour || k.Alerts != 3*time.Hour || k.Evidence != 4*time.Hour || k.Bytes != 5 ||
		cfg.DiskLow != 7 || cfg.DiskStop != 6 {
		t.Errorf("%+v, low %d, stop %d", k, cfg.DiskLow, cfg.DiskStop)
	}
}
