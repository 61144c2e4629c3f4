package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// plantWith runs a platform for a test that speaks to it by the command line.
func plantWith(t *testing.T, dir string, change func(*platform.Config)) (p *platform.Platform, end func()) {
	t.Helper()
	cfg := platform.Config{Data: dir, MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", Stream: stream.DefaultConfig(), CommitEvery: 10 * time.Millisecond, Version: "test", Log: zerolog.Nop(),
		ModelFile: modeltest.File(t, modeltest.Default(t, modeltest.Passed()))}
	cfg.Stream.HistoryAfter = 0
	if change != nil {
		change(&cfg)
	}
	p, err := platform.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			if err := stop(p); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end)
	return p, end
}

// TestQuarantineCommands walks the way of a maintenance engineer: list, show, mend, release, show again.
func TestQuarantineCommands(t *testing.T) {
	dir := t.TempDir()
	p, end := plantWith(t, dir, func(c *platform.Config) { c.Stream.TooOld = time.Hour })
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.MQTTAddr()).SetClientID("gateway\x1b[31m").SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	ts := time.Now().Add(-3 * time.Hour).UnixMilli()
	topic := stream.TelemetryTopic("douala", "loco-7", "axle1-left")
	for _, payload := range []string{fmt.Sprintf(`[{"ts":%d,"temp_c":40},{"ts":%d,"temp_c":41}]`, ts, ts+1000), "\xff\x00", strings.Repeat("x", 6000)} {
		if tok := c.Publish(topic, 1, false, payload); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	c.Disconnect(0)

	says := func(want int, args []string, parts ...string) string {
		t.Helper()
		code, out, errOut := cidp(t, append([]string{"quarantine"}, args...)...)
		for _, part := range parts {
			if !strings.Contains(out+errOut, part) {
				t.Errorf("%v does not say %q:\n%s%s", args, part, out, errOut)
			}
		}
		if code != want {
			t.Errorf("%v: exit %d, want %d: %s%s", args, code, want, out, errOut)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%v: an escape reaches the terminal: %q", args, out)
		}
		return out
	}
	data := []string{"--data", dir}
	says(0, append([]string{"list"}, data...), "open: 0 windows; 4 messages (malformed 2, too_old 2)", "m1 ", "m4 ", "gateway")
	if out := says(0, append([]string{"list", "--ids", "--reason", "too_old"}, data...)); out != "m2\nm1\n" {
		t.Errorf("ids %q", out)
	}
	says(0, append([]string{"list", "--limit", "1"}, data...), "3 more: --limit shows them")
	says(0, append([]string{"show", "m1"}, data...), "element 0 of an array", `{"ts":`, "open: too_old", "it could be released now: cidp quarantine release m1")
	says(0, append([]string{"show", "m3"}, data...), "no text, in hex digits: ff00", "it would be refused now, by the default rules: malformed")
	says(0, append([]string{"show", "m4"}, data...), "the first 4096 bytes")
	says(1, append([]string{"show", "m99"}, data...), "no such evidence")
	says(2, append([]string{"show", "99"}, data...), "m and a number is a message")
	says(2, append([]string{"list", "--since", "later"}, data...), "RFC 3339")
	says(1, []string{"list", "--data", filepath.Join(dir, "none")}, "does not exist")

	http := func() []string {
		return []string{"--http", p.HTTPAddr(), "--by", "A. Mbarga", "--note", "gateway was off"}
	}
	says(1, append([]string{"release", "m1"}, http()...), "m1: kept: too_old")
	end()
	says(1, append([]string{"release", "m1"}, http()...), "no platform answers at "+p.HTTPAddr(), "start cidp run")
	p, end = plantWith(t, dir, nil)
	says(1, append([]string{"release", "m1", "m2", "m3"}, http()...), "m1: released: 1 readings stored", "m2: released", "m3: kept: malformed")
	says(0, append([]string{"release", "m1"}, http()...), "m1: already released by A. Mbarga at ")
	says(2, append([]string{"release", "x1"}, http()...), "names no evidence")
	says(1, append([]string{"release", "m77"}, http()...), "no such evidence", "nothing was released")
	out := says(0, append([]string{"release", "m2", "--json"}, http()...))
	if !json.Valid([]byte(out)) {
		t.Errorf("no JSON: %s", out)
	}
	says(0, append([]string{"show", "m1"}, data...), "released: too_old", "A. Mbarga asked to release it: released, 1 readings stored; note: gateway was off", "kept, too_old")
	says(0, append([]string{"list", "--state", "released"}, data...), "released: 0 windows; 2 messages (too_old 2)")
	for _, args := range [][]string{{"list", "--json"}, {"show", "m1", "--json"}} {
		if out := says(0, append(args, data...)); !json.Valid([]byte(out)) {
			t.Errorf("%v: no JSON: %s", args, out)
		}
	}
	end()
	report, err := store.Verify(t.Context(), filepath.Join(dir, platform.DatabaseName), nil)
	if err != nil || !report.OK {
		t.Errorf("%v: %v", err, report.Breaches)
	}
}

func TestConsoleAddress(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", ":8080": "127.0.0.1:8080", "[::]:1": "127.0.0.1:1", "depot:9": "depot:9", "x": "x"} {
		if got := consoleAddress(listen); got != want {
			t.Errorf("%s: %s", listen, got)
		}
	}
}
