package simulator

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/camrail/cidp/stream"
)

// SensorInfo is one sensor of the fleet with the truth about it.
type SensorInfo struct {
	Site, Asset, Name string
	Kind              stream.Kind // what it really measures, whatever its name tells
	AssetIndex        int
	Axle              int    // from 1; 0 for none
	Side              string // "left", "right" or empty
	Fault             string // empty when healthy
	OnsetMs           int64  // event time; 0 when healthy
	FailureMs         int64  // event time; 0 when it does not fail

	topic string
}

// Truth is what is wrong with one sensor, from when, and when its component fails.
type Truth struct {
	Site, Asset, Sensor, Fault string
	OnsetMs, FailureMs         int64 // event time; FailureMs is 0 for sensor faults and for what never fails
}

// Sensors lists every sensor. A Sample's Sensor is a position in it. The caller must not change it.
func (f *Fleet) Sensors() []SensorInfo { return f.info }

// Unplaced lists the faults asked for that found no place in the fleet, in placing order.
func (f *Fleet) Unplaced() []string { return f.unplaced }

// Truth lists what is wrong, a row a sensor, in the order of Sensors. A dragging brake has a row for the disc, with the
// failure, and one for each bearing of the axle, without. A swap has a row for each of the two sensors.
func (f *Fleet) Truth() []Truth {
	var rows []Truth
	for _, s := range f.info {
		if s.Fault != "" {
			rows = append(rows, Truth{Site: s.Site, Asset: s.Asset, Sensor: s.Name, Fault: s.Fault, OnsetMs: s.OnsetMs, FailureMs: s.FailureMs})
		}
	}
	return rows
}

// Fault tells what is wrong with a sensor at an event time: nothing before the onset, nothing for a name that is not known.
func (f *Fleet) Fault(asset, sensor string, ts int64) (Truth, bool) {
	i, ok := f.index[[2]string{asset, sensor}]
	if !ok || f.info[i].Fault == "" || ts < f.info[i].OnsetMs {
		return Truth{}, false
	}
	s := f.info[i]
	return Truth{Site: s.Site, Asset: s.Asset, Sensor: s.Name, Fault: s.Fault, OnsetMs: s.OnsetMs, FailureMs: s.FailureMs}, true
}

// FailsWithin is the label for training: true when a machine fault of the sensor has begun at event time ts (ms) and its failure
// comes no later than horizon after ts, or has come already. Before the onset there is nothing to learn, so it is false.
func (f *Fleet) FailsWithin(asset, sensor string, ts int64, horizon time.Duration) bool {
	t, ok := f.Fault(asset, sensor, ts)
	return ok && t.FailureMs != 0 && t.FailureMs <= ts+horizon.Milliseconds()
}

// truthHeader is the truth file's first line (contract, section 1).
var truthHeader = []string{"site", "asset", "sensor", "fault", "onset_ms", "failure_ms"}

// WriteTruth writes the rows as CSV with a header; failure_ms is empty where nothing fails.
func WriteTruth(w io.Writer, rows []Truth) error {
	out := csv.NewWriter(w)
	record := truthHeader
	for i := 0; ; i++ {
		if err := out.Write(record); err != nil {
			return fmt.Errorf("write truth: %w", err)
		}
		if i == len(rows) {
			break
		}
		t := rows[i]
		record = []string{t.Site, t.Asset, t.Sensor, t.Fault, strconv.FormatInt(t.OnsetMs, 10), ""}
		if t.FailureMs != 0 {
			record[5] = strconv.FormatInt(t.FailureMs, 10)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return nil
}
