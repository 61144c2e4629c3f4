package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// knownSensors makes a warehouse that knows some sensors, as a line without a sensors file left it.
func knownSensors(t *testing.T, dir string, names ...string) {
	t.Helper()
	db, err := store.Open(filepath.Join(dir, platform.DatabaseName), store.Options{Window: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, err := stream.NewWindower(stream.DefaultConfig(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := w.FeedReading(stream.TelemetryTopic("douala", "loco-7", name), stream.Reading{TS: 1_700_000_000_000, Temp: 40_000}, 1_700_000_000_000, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Commit(&store.Batch{Batch: w.Take(), ID: 1, Committed: 1_700_000_000_000}); err != nil {
		t.Fatal(err)
	}
}

func TestSensorsCommands(t *testing.T) {
	dir := t.TempDir()
	knownSensors(t, dir, "hub-a", "hub-c", "hub-d", "axle3-right", "gearbox1-de", "oil")
	list := func(args ...string) (rows map[string]sensorRow) {
		t.Helper()
		code, out, errOut := cidp(t, append([]string{"sensors", "list", "--data", dir, "--json"}, args...)...)
		var all struct{ Sensors []sensorRow }
		if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 {
			t.Fatalf("exit %d, %v: %s", code, err, errOut)
		}
		rows = map[string]sensorRow{}
		for _, r := range all.Sensors {
			rows[r.Sensor] = r
		}
		return rows
	}
	rows := list()
	if r := rows["axle3-right"]; r.Kind != "bearing" || r.Mate != "" || r.From.Kind != "pattern axle*" || r.From.Mate != "" || r.Limits["fail_high_c"] != 250.0 {
		t.Errorf("without a file: %+v", r)
	}
	if r := rows["hub-a"]; r.Kind != "other" || r.From.Kind != "default" {
		t.Errorf("without a file: %+v", r)
	}

	code, example, _ := cidp(t, "sensors", "example")
	file := writeFile(t, dir, "sensors.toml", example)
	if code != 0 {
		t.Fatalf("example: exit %d", code)
	}
	code, out, errOut := cidp(t, "sensors", "check", file)
	if code != 0 || !strings.Contains(out, "sensors.toml is right; kinds with limits: 1, rules for sensors: 5\n") || !strings.Contains(out, "the sensor douala/loco-7/hub-a: kind bearing") {
		t.Errorf("check: exit %d, %s%s", code, out, errOut)
	}
	rows = list()
	if r := rows["hub-a"]; r.Kind != "bearing" || r.Mate != "axle3-right" || r.PeriodMs != 10_000 || r.From.Kind != "sensors.toml line 20" || r.From.Limits != "sensors.toml line 9" ||
		r.Limits["fail_high_c"] != 240.0 || !strings.Contains(r.LimitsSource, "4711") {
		t.Errorf("hub-a: %+v", r)
	}
	if rows["axle3-right"].Mate != "hub-a" || rows["hub-c"].Mate != "hub-d" || rows["hub-d"].Mate != "hub-c" || rows["gearbox1-de"].Mate != "gearbox1-nde" || rows["oil"].Mate != "" {
		t.Errorf("mates: %+v", rows)
	}
	code, out, _ = cidp(t, "sensors", "list", "--data", dir)
	if code != 0 || !strings.Contains(out, "douala/loco-7/hub-a") || !strings.Contains(out, "kind, position, period: sensors.toml line 20; mate: position; limits: sensors.toml line 9") {
		t.Errorf("list: exit %d\n%s", code, out)
	}
	other := writeFile(t, dir, "other.toml", "[[sensor]]\nmatch = \"hub-*\"\nkind = \"motor\"\n")
	if r := list("--sensors-file", other)["hub-a"]; r.Kind != "motor" || r.From.Kind != "other.toml line 1" {
		t.Errorf("another file: %+v", r)
	}
}
