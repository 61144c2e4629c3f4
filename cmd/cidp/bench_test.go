package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/bench"
)

// measured runs cidp bench with this test binary as the program, and gives its table and its JSON, as it is and as it reads.
func measured(t *testing.T, args ...string) (table string, text []byte, r bench.Report) {
	t.Helper()
	noRace(t)
	benchEnv = []string{"CIDP_TEST_AS_PROGRAM=1"}
	file := filepath.Join(t.TempDir(), "bench.json")
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), append([]string{"bench", "--runs", "1", "--data", t.TempDir(), "--json", file}, args...), &out, &errOut); code != 0 {
		t.Fatalf("exit %d: %s\n%s", code, errOut.String(), out.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return out.String(), text, r
}

// figure finds one of a scenario's figures.
func figure(t *testing.T, s *bench.Result, name string) bench.Figure {
	t.Helper()
	for _, f := range s.Figures {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("scenario %s has no figure %s: %v", s.Name, name, s.Figures)
	return bench.Figure{}
}

func TestBenchMeasuresWhatIsAcknowledged(t *testing.T) {
	_, text, r := measured(t, "single", "--for", "400ms", "--connections", "5", "--sensors", "50", "--inflight", "50")
	if len(r.Scenarios) != 1 || r.Scenarios[0].Name != "single" {
		t.Fatalf("scenarios %v", r.Scenarios)
	}
	s := &r.Scenarios[0]
	if l := s.Ledger; l.Acked == 0 || l.Acked != l.Sent || l.Received != l.Acked || l.Stored != l.Acked || l.Lost != 0 || l.Verified != 1 {
		t.Errorf("ledger %+v", l)
	}
	for _, key := range []string{`"version"`, `"started"`, `"machine"`, `"cpus"`, `"scenarios"`, `"name"`, `"load"`, `"connections"`, `"figures"`, `"median"`, `"least"`, `"greatest"`,
		`"values"`, `"targets"`, `"stages"`, `"us_per_reading"`, `"ledger"`, `"acknowledged"`, `"lost"`, `"verified"`} {
		if !bytes.Contains(text, []byte(key)) {
			t.Errorf("the JSON has no %s:\n%s", key, text)
		}
	}
	for _, name := range []string{"readings_per_s", "mochi_readings_per_s", "times_mochi", "ack_p99_ms"} {
		if f := figure(t, s, name); f.Median <= 0 || f.Least > f.Median || f.Greatest < f.Median || len(f.Values) != 1 {
			t.Errorf("%+v", f)
		}
	}
	if len(s.Stages) < 3 {
		t.Errorf("stages %v", s.Stages)
	}
}

// TestBenchLosesNothing runs a paced load at QoS 2, and alerts beside one: everything arrives.
func TestBenchLosesNothing(t *testing.T) {
	_, _, r := measured(t, "paced", "alert", "--qos", "2", "--rate", "500", "--connections", "5", "--sensors", "50", "--for", "1300ms")
	if len(r.Scenarios) != 2 {
		t.Fatalf("scenarios %v", r.Scenarios)
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if l := s.Ledger; l.Acked == 0 || l.Acked != l.Sent || l.Stored != l.Acked || l.Verified != 1 {
			t.Errorf("%s: ledger %+v", s.Name, l)
		}
		if f := figure(t, s, "readings_per_s"); f.Median < 50 || f.Median > 1000 { // what a slow disk held back before may come on top
			t.Errorf("%s: %g readings/s, 500 are due", s.Name, f.Median)
		}
		if s.Load.QoS != 2 || s.Load.Rate != 500 {
			t.Errorf("%s: load %+v", s.Name, s.Load)
		}
	}
	if n := figure(t, &r.Scenarios[1], "alerts"); n.Median != 3 {
		t.Errorf("%g alerts, three are due", n.Median)
	}
	if f := figure(t, &r.Scenarios[1], "alert_p99_ms"); f.Median <= 0 {
		t.Errorf("%+v", f)
	}
}

// TestBenchOfAnotherBroker measures a platform that runs, twice: the second run repeats nothing of the first.
func TestBenchOfAnotherBroker(t *testing.T) {
	noRace(t)
	p := startProgram(t, t.TempDir())
	for range 2 {
		table, _, r := measured(t, "waiting", "--addr", p.mqtt, "--for", "100ms")
		s := &r.Scenarios[0]
		if f := figure(t, s, "ack_p50_ms"); f.Median <= 0 {
			t.Errorf("%+v", f)
		}
		if s.Ledger.Received != 0 || !strings.Contains(table, "was not started here") {
			t.Errorf("ledger %+v of what was not started here\n%s", s.Ledger, table)
		}
	}
	s, err := bench.Scrape("http://" + p.http)
	if err != nil {
		t.Fatal(err)
	}
	if s["cidp_readings_received_total"] == 0 || s.Sum(`cidp_readings_total{outcome="stored"`) != s["cidp_readings_received_total"] {
		t.Errorf("received %g, stored %g", s["cidp_readings_received_total"], s.Sum(`cidp_readings_total{outcome="stored"`))
	}
}

func TestBenchWrongUsage(t *testing.T) {
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{`no scenario "sinlge"; there are single, arrays`, exitUsage, []string{"sinlge"}},
		{"QoS is 3", exitUsage, []string{"single", "--qos", "3"}},
		{"messages in flight", exitUsage, []string{"single", "--inflight", "70000"}},
		{"scenario queries: it needs a platform of its own", exitUsage, []string{"queries", "--addr", "127.0.0.1:1"}},
		{"scenario scale-rate: it needs a platform of its own, and acknowledgements", exitUsage, []string{"scale-rate", "--qos", "0"}},
		{"largest size are positive", exitUsage, []string{"scale-rate", "--up-to=-1"}},
		{"dial", exitFailed, []string{"waiting", "--addr", "127.0.0.1:1"}},
	} {
		var out, errOut bytes.Buffer
		code := Main(t.Context(), append([]string{"bench"}, c.args...), &out, &errOut)
		if code != c.code || !strings.Contains(out.String()+errOut.String(), c.says) {
			t.Errorf("%v: exit %d, %s%s", c.args, code, errOut.String(), out.String())
		}
	}
}
