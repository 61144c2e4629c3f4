package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// demoSummary is what a demo ends with.
type demoSummary struct {
	Received        int64            `json:"received"`
	Stored          int64            `json:"stored"`
	Duplicate       int64            `json:"duplicate"`
	Late            int64            `json:"late"`
	Refused         int64            `json:"refused"`
	RefusedByReason map[string]int64 `json:"refused_by_reason"`
	Windows         int64            `json:"windows"`
	Quarantined     int64            `json:"quarantined"`
	ByReason        map[string]int64 `json:"quarantined_by_reason"`
	Predictions     int64            `json:"predictions"`
	Alerts          int64            `json:"alerts"`
	Sensors         int              `json:"sensors"`
	Faulty          int              `json:"faulty_sensors"`
	AlertsFaulty    int              `json:"faulty_sensors_with_alert"`
	AlertsHealthy   int              `json:"healthy_sensors_with_alert"`
	HealthyQuiet    float64          `json:"healthy_sensors_without_alert_percent"`
	Matches         map[string]int   `json:"quarantined_windows_matching_fault"`
	LedgerHolds     bool             `json:"ledger_holds"`
}

// signs says which reasons of quarantine a sensor fault leads to.
var signs = map[string][]stream.Reason{
	"stuck":        {stream.Flatline},
	"spikes":       {stream.Spikes},
	"dropout":      {stream.Incomplete, stream.Gap},
	"open_circuit": {stream.OutOfRange, stream.RateOfChange},
	"late_bursts":  {stream.Incomplete, stream.Gap},
	"drift":        {stream.SensorDrift, stream.PeerDisagreement, stream.Fouling},
	"swap":         {stream.Swapped},
	"fouling":      {stream.Fouling, stream.SensorDrift, stream.PeerDisagreement}, // the line between the two is thin while a fleet warms up
}

// gather asks the running platform for its totals and compares them with the truth.
func (c *demoCmd) gather(p *platform.Platform, fleet *simulator.Fleet, truth []simulator.Truth) (*demoSummary, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s := &demoSummary{Matches: map[string]int{}, Sensors: len(fleet.Sensors())}
	w := p.Warehouse()
	sum, err := w.Summary(ctx)
	if err != nil {
		return nil, err
	}
	t := store.Sum(sum.Ledger)
	s.Received, s.Stored, s.Duplicate, s.Late, s.Refused = t.Received, t.Stored, t.Duplicate, t.Late, t.Refused
	s.RefusedByReason, s.ByReason = t.RefusedByReason, t.QuarantinedByReason
	s.Windows, s.Quarantined, s.Predictions, s.Alerts = sum.Windows, sum.Quarantined, sum.Predictions, sum.AlertsAll
	faults := map[[3]string]simulator.Truth{}
	for _, row := range truth {
		faults[[3]string{row.Site, row.Asset, row.Sensor}] = row
	}
	s.Faulty = len(faults)
	alerts, err := w.Alerts(ctx, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	alerted := map[[3]string]bool{}
	for _, a := range alerts {
		if a.Sensor == model.WholeAsset || a.Sensor == model.WholeSite {
			continue
		}
		alerted[[3]string{a.Site, a.Asset, a.Sensor}] = true
	}
	for name := range alerted {
		if _, faulty := faults[name]; faulty {
			s.AlertsFaulty++
		} else {
			s.AlertsHealthy++
		}
	}
	if healthy := s.Sensors - s.Faulty; healthy > 0 {
		s.HealthyQuiet = math.Round(1000*float64(healthy-s.AlertsHealthy)/float64(healthy)) / 10
	}
	page, err := w.Quarantine(ctx, store.QuarantineFilter{Windows: true, Limit: math.MaxInt32})
	if err != nil {
		return nil, err
	}
	for _, q := range page.Windows {
		fault, ok := faults[[3]string{q.Site, q.Asset, q.Sensor}]
		var reasons []stream.Reason
		if !ok || q.EndMs <= fault.OnsetMs || json.Unmarshal(q.Reasons, &reasons) != nil {
			continue
		}
		if slices.ContainsFunc(signs[fault.Fault], func(r stream.Reason) bool { return slices.Contains(reasons, r) }) {
			s.Matches[fault.Fault]++
		}
	}
	return s, nil
}

// print writes the summary for people, or as JSON for programs.
func (s *demoSummary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(w).Encode(s); err != nil {
			return fmt.Errorf("write summary: %w", err)
		}
		return nil
	}
	holds := "holds: received = stored + duplicate + late + refused"
	if !s.LedgerHolds {
		holds = "DOES NOT HOLD"
	}
	matches := 0
	for _, n := range s.Matches {
		matches += n
	}
	_, err := fmt.Fprintf(w, `summary
  received:     %d
  stored:       %d
  duplicate:    %d
  late:         %d
  refused:      %d%s
  windows:      %d
  quarantined:  %d%s
  predictions:  %d
  alerts:       %d
  sensors:      %d, of which the truth calls %d faulty
  faulty sensors with an alert:            %d
  healthy sensors without an alert:        %.1f %% (%d with one)
  quarantined windows that match a fault:  %d%s
  ledger:       %s
`, s.Received, s.Stored, s.Duplicate, s.Late, s.Refused, reasonList(s.RefusedByReason), s.Windows, s.Quarantined, reasonList(s.ByReason),
		s.Predictions, s.Alerts, s.Sensors, s.Faulty, s.AlertsFaulty, s.HealthyQuiet, s.AlertsHealthy, matches, reasonList(s.Matches), holds)
	return err
}

// reasonList writes counts by reason in brackets, in order of name; nothing when there are none.
func reasonList[N int | int64](counts map[string]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, counts[k]))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
