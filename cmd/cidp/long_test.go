package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// long skips what takes minutes unless CIDP_LONG=1 asks for it, as .ci/run does.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("CIDP_LONG") != "1" {
		t.Skip("takes minutes: CIDP_LONG=1 runs it")
	}
}

// TestTrainOnTheFleet trains on few assets, on one thread and on several: the same file, whoever simulated which fleet.
func TestTrainOnTheFleet(t *testing.T) {
	dir := t.TempDir()
	alone, together := filepath.Join(dir, "alone.cidpmodel"), filepath.Join(dir, "together.cidpmodel")
	for out, threads := range map[string]string{alone: "1", together: "4"} {
		must(t, "train", "--assets", "24", "--span", "1h", "--trees", "5", "--folds", "0", "--threads", threads, "--out", out)
	}
	same(t, alone, together)
}

// TestLongDefaultModelIsReproduced trains with the defaults and compares with the embedded file, byte for byte. It takes two minutes on two cores.
func TestLongDefaultModelIsReproduced(t *testing.T) {
	long(t)
	want, err := os.ReadFile(filepath.Join("..", "..", "model", "default.cidpmodel"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "again.cidpmodel")
	var o, e bytes.Buffer
	if code := Main(t.Context(), []string{"train", "--out", out}, &o, &e); code != 0 {
		t.Fatalf("exit %d: %s", code, e.String())
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("cidp train gives another model than the embedded one (%d and %d bytes): run it with --out model/default.cidpmodel and say why it changed\n%s",
			len(got), len(want), o.String())
	}
}

// TestLongDemoKeepsItsWord runs the newcomer's command and checks what its summary promises.
func TestLongDemoKeepsItsWord(t *testing.T) {
	long(t)
	dir := filepath.Join(t.TempDir(), "database")
	var o, e bytes.Buffer
	if code := Main(t.Context(), []string{"demo", "--for", "60s", "--data", dir, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json"}, &o, &e); code != 0 {
		t.Fatalf("exit %d: %s", code, e.String())
	}
	var s demoSummary
	if err := json.Unmarshal(o.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	matches := 0
	for _, n := range s.Matches {
		matches += n
	}
	for what, ok := range map[string]bool{
		"received = stored + the rest":                s.Received > 0 && s.Received == s.Stored+s.Duplicate+s.Late+s.Refused,
		"an alert on a faulty sensor":                 s.AlertsFaulty >= 1,
		"no alert on 95 % of healthy sensors":         s.HealthyQuiet >= 95,
		"a quarantined window that matches its fault": matches >= 1,
		"the ledger holds":                            s.LedgerHolds,
	} {
		if !ok {
			t.Errorf("not so: %s\n%s", what, o.String())
		}
	}
	verified(t, filepath.Join(dir, "industrial_dwh.sqlite"))
}
