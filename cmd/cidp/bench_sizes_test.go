package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBenchAtSizes measures few sensors, a small database that is started again and asked, and people who ask beside a load; then fills a document from what it wrote.
func TestBenchAtSizes(t *testing.T) {
	benchPast = 20 * time.Minute
	t.Cleanup(func() { benchPast = 0 })
	table, text, r := measured(t, "scale-sensors", "queries", "--up-to", "20", "--for", "600ms", "--rate", "2000", "--connections", "2", "--batch", "2")
	_, _, grown := measured(t, "scale-database", "--up-to", "20000")
	r.Scenarios = append(grown.Scenarios, r.Scenarios...)
	if len(r.Scenarios) != 3 {
		t.Fatalf("scenarios %v", r.Scenarios)
	}
	for i := range r.Scenarios {
		if l := r.Scenarios[i].Ledger; l.Acked == 0 || l.Received != l.Acked || l.Stored != l.Acked || l.Lost != 0 || l.Verified < 1 {
			t.Errorf("%s: ledger %+v", r.Scenarios[i].Name, l)
		}
	}
	for i, size := range []float64{20_000, 10} {
		s := &r.Scenarios[i]
		if len(s.Points) != 1 || s.Points[0].Size != size {
			t.Fatalf("%s: points %+v", s.Name, s.Points)
		}
		for _, name := range []string{"start_ms", "ask_risk_now_p50_ms", "ask_window_readings_rows", "database_mib"} {
			found := false
			for _, f := range s.Points[0].Figures {
				found = found || f.Name == name && f.Median > 0
			}
			if !found {
				t.Errorf("%s has no %s: %+v", s.Name, name, s.Points[0].Figures)
			}
		}
	}
	for name, least := range map[string]float64{"ack_p99_ms": 0.01, "asked_ack_p99_ms": 0.01, "ask_alerts_week_rows": 200, "ask_risk_now_rows": 100, "ask_sensor_day_rows": 10, "ask_quality_all_answers": 1} {
		if f := figure(t, &r.Scenarios[2], name); f.Median < least {
			t.Errorf("%+v, want at least %g", f, least)
		}
	}
	for _, want := range []string{"quality by asset, the last hour", "start ms", "with readers"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q\n%s", want, table)
		}
	}
	dir := t.TempDir()
	report, document := filepath.Join(dir, "bench.json"), filepath.Join(dir, "performance.md")
	for name, content := range map[string]string{report: string(text), document: "<!-- cidp bench: queries -->\n<!-- end -->\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"bench", "--from", report, "--markdown", document, "--plots", dir}, &out, &errOut); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut.String())
	}
	if filled, err := os.ReadFile(document); err != nil || !strings.Contains(string(filled), "| alerts of a week | 200 |") {
		t.Errorf("%v\n%s", err, filled)
	}
}
