package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/bench"
)

// measured runs cidp bench with this test binary as the program, and gives its table and its JSON.
func measured(t *testing.T, args ...string) (string, bench.Report) {
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
	var r bench.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return out.String(), r
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
	table, r := measured(t, "single", "--for", "300ms", "--connections", "5", "--sensors", "50", "--inflight", "50")
	if len(r.Scenarios) != 1 || r.Scenarios[0].Name != "single" {
		t.Fatalf("scenarios %v", r.Scenarios)
	}
	s := &r.Scenarios[0]
	if l := s.Ledger; l.Acked == 0 || l.Acked != l.Sent || l.Received != l.Acked || l.Stored != l.Acked || l.Lost != 0 || l.Verified != 1 {
		t.Errorf("ledger %+v", l)
	}
	for _, name := range []string{"readings_per_s", "mochi_messages_per_s", "times_mochi", "ack_p99_ms"} {
		if f := figure(t, s, name); f.Median <= 0 || f.Least > f.Median || f.Greatest < f.Median || len(f.Values) != 1 {
			t.Errorf("%+v", f)
		}
	}
	if len(s.Stages) < 3 {
		t.Errorf("stages %v", s.Stages)
	}
	t.Log(table)
}
