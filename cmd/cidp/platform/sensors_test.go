package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// withSensors starts a platform that looks at dir/sensors.toml often.
func withSensors(dir string) func(*Config) {
	return func(c *Config) {
		c.SensorsFile, c.sensorsEvery = filepath.Join(dir, "sensors.toml"), 10*time.Millisecond
	}
}

// writeSensors puts the file in its place whole: a platform that looks often may see one that is being written twice.
func writeSensors(t *testing.T, dir, text string) {
	t.Helper()
	path := filepath.Join(dir, "sensors.toml")
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// askText reads one text from the warehouse.
func askText(t *testing.T, dir, sql string) string {
	t.Helper()
	n := ask(t, dir, `SELECT length((`+sql+`))`)
	var b strings.Builder
	for i := range n {
		b.WriteByte(byte(ask(t, dir, fmt.Sprintf(`SELECT unicode(substr((%s), %d, 1))`, sql, i+1))))
	}
	return b.String()
}

func detail(t *testing.T, p *Platform, sensor string) (d console.SensorDetail) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, p, "/api/v1/sensors/douala/loco-1/"+sensor)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// feedMinutes sends readings of two sensors whose names say nothing, a quarter of a minute at a time.
func feedMinutes(t *testing.T, c mqtt.Client, ts int64, from, to int) {
	t.Helper()
	for i := from * 60; i < to*60; i += 15 {
		for k, s := range []string{"hub-a", "hub-b"} {
			publish(t, c, "cidp/v1/telemetry/douala/loco-1/"+s, series(ts+int64(i)*1000, 15, func(n int) float64 { return steady(i+n) + 10*float64(k) }))
		}
	}
}

const hubs = `[[sensor]]
match = "douala/*/hub-a"
kind = "bearing"
position = "axle9"
axle = 9
side = "left"
mate = "hub-b"
period = "1s"
`

// TestSensorsFileChangesARunningPlatform: kind, place, mate and limits follow the file; one with a mistake and one that is gone change nothing; each change is on record.
func TestSensorsFileChangesARunningPlatform(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, withSensors(dir))
	c := client(t, p, "hubs")
	ts := base()
	feedMinutes(t, c, ts, 0, 2)
	if d := detail(t, p, "hub-a"); d.Kind != "other" || d.Registry.Mate != "" || d.Registry.From["kind"] != "default" || d.Registry.Limits["fail_high_c"] != 1000.0 {
		t.Fatalf("before: %+v", d.Registry)
	}
	writeSensors(t, dir, hubs)
	until(t, "the file to be in force", func() bool { return ask(t, dir, `SELECT count(*) FROM config_change`) == 2 })
	if n := ask(t, dir, `SELECT count(*) FROM sensor WHERE sensor = 'hub-a' AND kind = 'bearing' AND position = 'axle9' AND axle = 9 AND side = 'left' AND period_ms = 1000`); n != 1 {
		t.Error("the table sensor does not follow")
	}
	if n := ask(t, dir, `SELECT count(*) FROM config_change a JOIN config_change b ON b.old_digest = a.new_digest AND b.commit_id > a.commit_id WHERE a.old_digest = '' AND b.who = 'file'`); n != 1 {
		t.Error("the changes do not follow each other")
	}
	what := askText(t, dir, `SELECT what FROM config_change ORDER BY change_id DESC LIMIT 1`)
	want := "douala/*/hub-a: kind bearing, position axle9, axle 9, side left, mate hub-b, period 1s; known sensors that changed, 1: " +
		"douala/loco-1/hub-a kind other to bearing, position none to axle9, axle 0 to 9, side none to left, period learned to 1s"
	if what != want {
		t.Errorf("recorded %q\nwant %q", what, want)
	}
	feedMinutes(t, c, ts, 2, 4)
	d := detail(t, p, "hub-a")
	if r := d.Registry; d.Kind != "bearing" || r.Mate != "hub-b" || r.From["kind"] != "sensors.toml line 1" || r.From["mate"] != "sensors.toml line 1" || r.Limits["fail_high_c"] != 250.0 || r.PeriodMs != 1000 {
		t.Errorf("after: %+v", r)
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window w JOIN sensor s USING (sensor_id) WHERE s.sensor = 'hub-a' AND kind_code = 1 AND mate_diff_c BETWEEN -11 AND -9 AND start_ms >= ?`,
		fmt.Sprint(ts+60_000)); n < 2 {
		t.Errorf("%d windows follow the new kind and mate", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window w JOIN sensor s USING (sensor_id) WHERE s.sensor = 'hub-a' AND kind_code = 0`); n != 1 {
		t.Errorf("%d windows closed before the change", n)
	}

	until(t, "the page to show the new kind", func() bool { return strings.Contains(get(t, p, "/api/v1/assets"), `"sensor":"hub-a","kind":"bearing"`) })

	for _, bad := range []struct{ text, says string }{
		{hubs + "colour = 1\n", `sensors.toml line 9: unknown key "sensor.colour"`},
		{"[kind.bearing]\nfail_high_c = 1\n", "sensors.toml line 1: the limits of kind bearing must be in order"},
	} {
		writeSensors(t, dir, bad.text)
		until(t, "the file to be refused", func() bool { return strings.Contains(strings.Join(p.status.now().Reasons, " "), bad.says) })
	}
	if now := p.status.now(); now.State != "online" || !strings.Contains(now.Reasons[0], "the registry of before stays in force") {
		t.Errorf("status %+v", now)
	}
	if err := os.Remove(filepath.Join(dir, "sensors.toml")); err != nil {
		t.Fatal(err)
	}
	until(t, "the file to be missed", func() bool { return strings.Contains(strings.Join(p.status.now().Reasons, " "), "does not exist") })
	if d := detail(t, p, "hub-a"); d.Kind != "bearing" || d.Registry.Mate != "hub-b" {
		t.Errorf("a refused file changed something: %+v", d.Registry)
	}
	writeSensors(t, dir, "# moved down\n"+hubs)
	until(t, "the status to heal", func() bool { return len(p.status.now().Reasons) == 0 })
	if d := detail(t, p, "hub-a"); d.Registry.From["kind"] != "sensors.toml line 2" {
		t.Errorf("from %v", d.Registry.From)
	}
	if n := ask(t, dir, `SELECT count(*) FROM config_change`); n != 2 {
		t.Errorf("%d changes on record: what changes nothing is none", n)
	}
	stop()
	verify(t, dir)
}

// TestSensorsFileOverRestarts: with a file that stays, stopping and starting changes neither digest nor record; another file is a change.
func TestSensorsFileOverRestarts(t *testing.T) {
	whole, parts := t.TempDir(), t.TempDir()
	ts := base()
	for _, dir := range []string{whole, parts} {
		writeSensors(t, dir, hubs)
	}
	for _, run := range []struct {
		dir      string
		from, to int
	}{{whole, 0, 6}, {parts, 0, 2}, {parts, 2, 3}, {parts, 3, 6}} {
		p, stop := start(t, run.dir, withSensors(run.dir))
		feedMinutes(t, client(t, p, "hubs"), ts, run.from, run.to)
		stop()
		verify(t, run.dir)
		if n := ask(t, run.dir, `SELECT count(*) FROM config_change WHERE what = 'cidp started with sensors.toml, rules for sensors: 1'`); n != 1 {
			t.Errorf("%d starts on record", n)
		}
	}
	var digests [2]string
	for i, dir := range []string{whole, parts} {
		var err error
		if digests[i], err = store.Digest(t.Context(), filepath.Join(dir, DatabaseName)); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] {
		t.Error("stopping and starting under one sensors file changed the content")
	}

	writeSensors(t, parts, strings.Replace(hubs, `"1s"`, `"12s"`, 1))
	_, stop := start(t, parts, withSensors(parts))
	until(t, "the start to be on record", func() bool { return ask(t, parts, `SELECT count(*) FROM config_change`) == 2 })
	if n := ask(t, parts, `SELECT period_ms FROM sensor WHERE sensor = 'hub-a'`); n != 12_000 {
		t.Errorf("period %d ms", n)
	}
	stop()
	verify(t, parts)
}

// TestSensorsFileAtTheStart: a mistake ends the start, a named file must be there, the default one need not.
func TestSensorsFileAtTheStart(t *testing.T) {
	dir := t.TempDir()
	fails := func(says string, must bool) {
		t.Helper()
		cfg := Config{Data: dir, MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", Version: "test"}
		cfg.Stream = defaultStream()
		withSensors(dir)(&cfg)
		cfg.SensorsMust = must
		if _, err := Start(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %s", err, says)
		}
	}
	fails("does not exist", true)
	writeSensors(t, dir, "[[sensor]]\n")
	fails("sensors.toml line 1: a [[sensor]] needs match", false)
}

// TestSensorsFileIsTakenWhole: half of a file that is being written is not put in force.
func TestSensorsFileIsTakenWhole(t *testing.T) {
	dir := t.TempDir()
	f := &sensorsFile{path: filepath.Join(dir, "sensors.toml"), base: defaultStream(), status: &status{reasons: map[string]string{}}}
	if c, err := f.start(); err != nil || len(c.stream.Rules) != 0 {
		t.Fatal(err)
	}
	looks := func(want string) {
		t.Helper()
		got := "nothing"
		if c := f.look(); c != nil {
			got = fmt.Sprint(len(c.stream.Rules), " rules")
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	looks("nothing")
	writeSensors(t, dir, hubs)
	looks("nothing")
	writeSensors(t, dir, hubs+"[[sensor]]\nmatch = \"x\"\n")
	looks("nothing")
	looks("2 rules")
	looks("nothing")
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	looks("nothing")
	writeSensors(t, dir, hubs+"[[sensor]]\nmatch = \"x\"\n")
	looks("nothing") // an editor that replaces a file takes it away for a moment
	if len(f.status.now().Reasons) != 0 {
		t.Errorf("status %v", f.status.now().Reasons)
	}
}

// TestMissingMembersAreNamed in the record of a window.
func TestMissingMembersAreNamed(t *testing.T) {
	dir := t.TempDir()
	writeSensors(t, dir, "[[sensor]]\nmatch = \"*/loco-1/axle1-left\"\nmate = \"axle7-right\"\n")
	p, stop := start(t, dir, withSensors(dir))
	c := client(t, p, "members")
	ts := base()
	for i := 0; i < 180; i += 15 {
		for _, s := range []string{"axle1-left", "axle1-right", "axle2-left", "motor1"} {
			if s == "axle2-left" && i >= 60 && i < 120 {
				continue
			}
			publish(t, c, "cidp/v1/telemetry/douala/loco-1/"+s, series(ts+int64(i)*1000, 15, func(n int) float64 { return steady(i + n) }))
		}
	}
	d := detail(t, p, "axle1-left")
	if len(d.Windows) != 2 || fmt.Sprint(d.Windows[0].Missing, d.Windows[1].Missing) != "[axle2-left axle7-right] [axle7-right]" {
		t.Errorf("%d windows, missing %v", len(d.Windows), d.Windows)
	}
	if d := detail(t, p, "motor1"); len(d.Windows) != 2 || len(d.Windows[0].Missing) != 0 || d.Windows[0].Missing == nil {
		t.Errorf("motor: %+v", d.Windows)
	}
	stop()
	verify(t, dir)
}

func defaultStream() stream.Config {
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	return cfg
}

// TestRegistryWaitsForThePassToEnd: what has gone into a pass stays under one registry; changes that follow each other before a commit are one record.
func TestRegistryWaitsForThePassToEnd(t *testing.T) {
	var configs [3]*configuration
	for i := range configs {
		cfg := defaultStream()
		if i > 0 {
			kind := stream.Kind(i)
			cfg.Rules = []stream.Rule{{Match: "hub-a", Kind: &kind}}
		}
		var err error
		if configs[i], err = newConfiguration(cfg); err != nil {
			t.Fatal(err)
		}
	}
	w, err := stream.NewWindower(configs[0].stream, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var now inForce
	now.Store(configs[0])
	l := &line{windower: w, filling: newPass(), config: &now, status: &status{reasons: map[string]string{}}}
	change := func(to *configuration, want string) {
		t.Helper()
		l.next = to
		l.reconfigure()
		got := "waits"
		if l.next == nil {
			got = "in force, nothing to record"
			if c := l.filling.batch.Config; c != nil {
				got = "recorded: " + c.What
				if c.OldDigest != configs[0].digest || c.NewDigest != to.digest {
					t.Errorf("from %s to %s", c.OldDigest, c.NewDigest)
				}
			}
		}
		if got != want || (l.next == nil) != (now.Load() == to) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	l.filling.acks = append(l.filling.acks, broker.Ack{})
	change(configs[1], "waits")
	l.filling = newPass()
	if _, err := w.FeedReading(sensorOne, stream.Reading{TS: base(), Temp: 40_000}, base(), 0); err != nil {
		t.Fatal(err)
	}
	change(configs[1], "waits")
	w.Take()
	change(configs[1], "recorded: hub-a: kind bearing")
	change(configs[2], "recorded: hub-a: kind bearing; hub-a: kind motor, was kind bearing")
	change(configs[0], "in force, nothing to record")
}
