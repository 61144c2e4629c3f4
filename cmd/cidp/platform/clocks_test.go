package platform

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// TestClockIsShownBeside: a device two hours behind is told of by the sensor's record and the metrics, and its windows are as valid as any.
func TestClockIsShownBeside(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	c := client(t, p, "slow")
	ts := time.Now().Add(-2 * time.Hour).Truncate(time.Minute).UnixMilli()
	for i := range 130 {
		publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":%.3f}`, ts+int64(i)*1000, steady(i)))
	}
	var d console.SensorDetail
	if err := json.Unmarshal([]byte(get(t, p, "/api/v1/sensors/douala/loco-1/axle1-left")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Clock == nil || d.Clock.BehindMs < 115*60_000 || d.Clock.BehindMs > 122*60_000 || d.Clock.Jumps != 0 {
		t.Errorf("clock %+v", d.Clock)
	}
	if m := get(t, p, "/metrics"); !strings.Contains(m, "cidp_clocks_wrong 1\n") || !strings.Contains(m, "cidp_clock_jumps_total 0\n") {
		t.Error("not in /metrics")
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window WHERE verdict = 'quarantined'`); n != 0 {
		t.Errorf("%d windows are quarantined for a clock", n)
	}
	stop()
	verify(t, dir)
}
