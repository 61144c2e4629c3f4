package platform

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// lines reads rows of one text column.
func lines(t *testing.T, dir, sql string) (out []string) {
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
	for s.Step() {
		out = append(out, s.ColumnText(0))
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOverlappingWindowsMoveNoAlert: the same readings, tumbling and hopping, over a restart, with late ones: alerts, holds and predictions of the windows that learn are the same. The
// others are scored and told besides.
func TestOverlappingWindowsMoveNoAlert(t *testing.T) {
	ts := base()
	heat := func(i int) float64 { // calm, hot for four minutes, calm
		if i >= 200 && i < 440 {
			return 90 + steady(i)
		}
		return steady(i)
	}
	run := func(hop time.Duration, risks int) (dir string) {
		dir = t.TempDir()
		change := func(c *Config) { c.Stream.Hop = hop }
		p, stop := start(t, dir, change)
		heard := hear(t, p, "cidp/v1/risk/#")
		c := client(t, p, "hops")
		publish(t, c, sensorOne, series(ts, 250, heat))
		publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":45.1}`, ts+150_500)) // late
		until(t, fmt.Sprint(risks, " risks of four minutes to be told"), func() bool { return len(heard.of("cidp/v1/risk/")) >= risks })
		stop()
		p, stop = start(t, dir, change)
		c = client(t, p, "again")
		rest := func(i int) float64 { return heat(250 + i) }
		publish(t, c, sensorOne, series(ts+250_000, 80, rest))
		publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":135}`, ts+280_500)) // late, in its newest window
		publish(t, c, sensorOne, series(ts+330_000, 400, func(i int) float64 { return heat(330 + i) }))
		stop()
		verify(t, dir)
		return dir
	}
	tumbling, hopping := run(0, 3), run(20*time.Second, 6)
	for _, sql := range []string{
		`SELECT kind || ' ' || at_ms || ' ' || from_severity || ' ' || to_severity || ' ' || state || ' ' || window_id || ' ' || revision FROM alert_event ORDER BY event_id`,
		`SELECT window_id || ' ' || revision || ' ' || p_failure || ' ' || level || ' ' || hold_level || ' ' || hold_above || ' ' || hold_below || ' ' || hold_alert FROM ai_telemetry_predictions
			WHERE hold_last_end_ms >= 0 ORDER BY window_id, revision`,
		`SELECT window_id || ' ' || revision || ' ' || n || ' ' || verdict || ' ' || mean_c || ' ' || hex(memory) FROM telemetry_window WHERE hex(substr(memory, 1, 1)) <> '68' ORDER BY window_id, revision`,
		`SELECT key || ' ' || flag FROM reading_flag ORDER BY key`,
		`SELECT period_ms || ' ' || evaluated_ms || ' ' || last_seen_ms FROM sensor`,
	} {
		got, want := strings.Join(lines(t, hopping, sql), "\n"), strings.Join(lines(t, tumbling, sql), "\n")
		if got != want {
			t.Errorf("%s:\n%s\nwithout hopping\n%s", sql, got, want)
		}
	}
	if n := ask(t, hopping, `SELECT count(*) FROM alert WHERE rule <> 'quarantined_hot'`); n != 1 {
		t.Errorf("%d alerts: the test shows little", n)
	}
	if n := ask(t, hopping, `SELECT count(*) FROM window_now WHERE hopping AND level IN ('alarm', 'critical') AND p_failure > 0`); n < 3 {
		t.Errorf("%d windows between show the level that stands", n)
	}
	if n := ask(t, hopping, `SELECT count(*) FROM window_now WHERE hopping AND revision > 0`); n != 2 {
		t.Errorf("%d windows between were revised, want the 2 that the first late reading lies in: those of the second had not closed", n)
	}
}

// TestWhoHopsOtherwiseIsNotMissing: a sensor without a window of that time is missing only where it should have one.
func TestWhoHopsOtherwiseIsNotMissing(t *testing.T) {
	dir := t.TempDir()
	writeSensors(t, dir, "[[sensor]]\nmatch = \"axle1-*\"\nlimits = { hop_s = 30 }\n")
	p, stop := start(t, dir, withSensors(dir))
	c := client(t, p, "members")
	ts := base()
	for i := 0; i < 130; i += 10 {
		for _, s := range []string{"axle1-left", "axle1-right", "axle2-left"} {
			if s == "axle1-right" && i >= 60 {
				continue
			}
			publish(t, c, "cidp/v1/telemetry/douala/loco-1/"+s, series(ts+int64(i)*1000, 10, func(n int) float64 { return steady(i + n) }))
		}
	}
	d := detail(t, p, "axle1-left")
	got := map[int64]string{}
	for _, w := range d.Windows {
		got[(int64(w.WindowStart)-ts)/1000] = fmt.Sprint(w.Missing)
	}
	if len(got) == 0 || got[-30] != "[]" || got[0] != "[]" && got[0] != "" {
		t.Errorf("missing %v", got)
	}
	stop()
	verify(t, dir)
}
