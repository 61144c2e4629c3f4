package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// fleetRowFiles writes what a fleet sends as NDJSON, all in one file and a file a sensor, and gives the paths. Its faults are all but those whose readings come farther out of order than
// the law of the digest allows.
func fleetRowFiles(t *testing.T, dir string, span time.Duration) (whole string, parts []string, truth []simulator.Truth) {
	t.Helper()
	faults := slices.DeleteFunc(append(simulator.MachineFaults(), simulator.SensorFaults()...), func(f string) bool { return f == simulator.ClockSkew || f == simulator.LateBursts })
	fleet, err := simulator.New(simulator.Config{Seed: 5, Assets: 3, RateHz: 0.1, Start: time.Date(2025, 6, 2, 4, 0, 0, 0, time.UTC), Span: span, Faults: faults, FaultShare: 0.4})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	by := map[string]*bytes.Buffer{}
	sensors := fleet.Sensors()
	var samples []simulator.Sample
	for end := fleet.Now().Add(span); fleet.Now().Before(end); {
		samples = fleet.Step(samples[:0])
		for _, s := range samples {
			if s.Sensor < 0 {
				continue
			}
			of := sensors[s.Sensor]
			name := of.Asset + "." + of.Name
			line := fmt.Sprintf("{\"site\":%q,\"asset\":%q,\"sensor\":%q,%s\n", of.Site, of.Asset, of.Name, stream.AppendReading(nil, s.Reading)[1:])
			if by[name] == nil {
				by[name] = &bytes.Buffer{}
			}
			all.WriteString(line)
			by[name].WriteString(line)
		}
	}
	for name, text := range by {
		parts = append(parts, writeFile(t, dir, name+".ndjson", text.String()))
	}
	slices.Sort(parts)
	return writeFile(t, dir, "fleet.ndjson", all.String()), parts, fleet.Truth()
}

// backtest runs a backtest that must succeed and gives what it says.
func backtest(t *testing.T, args ...string) backtested {
	t.Helper()
	code, out, errOut := cidp(t, append([]string{"backtest", "--json"}, args...)...)
	var sum backtested
	if err := json.Unmarshal([]byte(out), &sum); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	return sum
}

// TestBacktestGivesWhatTheLiveStreamGave feeds one file to a running platform over MQTT and to a backtest: equal digests. So have the same readings a file a sensor, and those that
// the live warehouse accepted; another window length has not.
func TestBacktestGivesWhatTheLiveStreamGave(t *testing.T) {
	dir := t.TempDir()
	whole, parts, _ := fleetRowFiles(t, dir, 100*time.Minute)
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	again := strings.Replace(lines[400], `"temp_c":`, `"temp_c":1`, 1) // another value for the same time
	writeFile(t, dir, "fleet.ndjson", strings.Join(slices.Insert(lines, 402, lines[401], again, "{\"ts\":17\n"), ""))
	first := filepath.Join(dir, sensorFile(t, again))
	own, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, filepath.Base(first), strings.Replace(string(own), lines[400], lines[400]+again, 1))

	p := startProgram(t, filepath.Join(dir, "live"))
	if code, out, errOut := cidp(t, "replay", whole, "--broker", "tcp://"+p.mqtt); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	p.stop(t)
	live := verified(t, p.database())

	sum := backtest(t, whole, "--data", filepath.Join(dir, "file"))
	if sum.Rows != int64(len(lines)+2) || sum.Malformed != 1 || sum.Duplicate == 0 || sum.Refused != 1 || sum.Alerts == 0 || sum.Quarantined == 0 || !sum.LedgerHolds {
		t.Errorf("%+v", sum)
	}
	if got := verified(t, sum.Database); got != live {
		t.Errorf("the file: digest %s, live %s", got, live)
	}
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM outbox`:                                        0,
		`SELECT count(*) FROM telemetry_window WHERE closed_by = 'idle'`:     0,
		`SELECT count(*) FROM alert WHERE rule = 'silence'`:                  0,
		`SELECT count(*) FROM quarantine_message WHERE reason <> 'conflict'`: 0,
	} {
		if got := count(t, sum.Database, sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
	for name, args := range map[string][]string{"a file a sensor": parts, "the live warehouse": {"--from", p.database()}} {
		sum := backtest(t, append(args, "--data", filepath.Join(dir, "again"))...)
		if got := verified(t, sum.Database); got != live {
			t.Errorf("%s: digest %s, live %s", name, got, live)
		}
	}
	if got := verified(t, backtest(t, whole, "--window", "2m", "--data", filepath.Join(dir, "again")).Database); got == live {
		t.Error("another window length, and the digest is the same")
	}
}

// sensorFile names the file of its sensor that a line is in.
func sensorFile(t *testing.T, line string) string {
	t.Helper()
	var at struct{ Asset, Sensor string }
	if err := json.Unmarshal([]byte(line), &at); err != nil {
		t.Fatal(err)
	}
	return at.Asset + "." + at.Sensor + ".ndjson"
}

// TestBacktestTouchesNobodysDatabase replaces its own and nothing else.
func TestBacktestTouchesNobodysDatabase(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, dir, "a.csv", "ts,a\n1700000000,20\n1700000001,21\n1700000002,x\n")
	data := filepath.Join(dir, "data")
	for range 2 {
		code, out, errOut := cidp(t, "backtest", file, "--data", data)
		if code != 0 || !strings.Contains(out, "3, 1 malformed") || !strings.Contains(errOut, `line 4: "x" is not a temperature; skipped`) {
			t.Fatalf("exit %d: %s%s", code, out, errOut)
		}
	}
	p := startProgram(t, data)
	p.stop(t)
	code, _, errOut := cidp(t, "backtest", file, "--data", data)
	if want := "holds a database that no backtest made"; code != 1 || !strings.Contains(errOut, want) {
		t.Errorf("exit %d, %q, want %q", code, errOut, want)
	}
	if n := count(t, filepath.Join(data, "industrial_dwh.sqlite"), `SELECT count(*) FROM telemetry`); n != 2 {
		t.Errorf("%d readings", n)
	}
}

// TestBacktestInterrupted keeps what was read, and says so.
func TestBacktestInterrupted(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, dir, "a.csv", "ts,a\n1700000000,20\n")
	ctx, interrupt := context.WithCancel(t.Context())
	from := &interrupting{given: mustOpen(t, ctx, file), interrupt: interrupt}
	c := backtestCmd{Data: filepath.Join(dir, "data"), streamFlags: streamFlags{Window: time.Minute, Disorder: 10 * time.Second, FutureAfter: 2 * time.Minute}}
	cfg, err := c.config(&terminal{settings: &settings{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	err = pass(&afterStart{Context: ctx}, cfg, from)
	if err == nil || err.Error() != "stopped before the end of the file; what was read so far is in the database" {
		t.Fatalf("error %v", err)
	}
	if n := count(t, filepath.Join(c.Data, "industrial_dwh.sqlite"), `SELECT count(*) FROM telemetry`); n != 1 {
		t.Errorf("%d readings", n)
	}
}

// afterStart is a context that ends only for those who ask after the first one, which is the start of the platform: its line may read before that is done.
type afterStart struct {
	context.Context
	asked bool
}

func (c *afterStart) Done() <-chan struct{} {
	if !c.asked {
		c.asked = true
		return nil
	}
	return c.Context.Done()
}

// interrupting stops the program after its first reading.
type interrupting struct {
	given
	interrupt func()
}

func (i *interrupting) Next() (string, []byte, error) {
	topic, payload, err := i.given.Next()
	i.interrupt()
	return topic, payload, err
}

func mustOpen(t *testing.T, ctx context.Context, file string) given {
	t.Helper()
	s, err := openSource(ctx, &rowFlags{Site: "s", Unit: "c", TZ: "UTC"}, []string{file}, &terminal{err: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}
