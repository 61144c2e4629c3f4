package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/simulator"
)

// evaluated runs an evaluation that must succeed.
func evaluated(t *testing.T, args ...string) report.Report {
	t.Helper()
	code, out, errOut := cidp(t, append([]string{"evaluate", "--json"}, args...)...)
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	return r
}

// TestEvaluateAgreesWithTheLine: the alerts that an evaluation raises over stored windows are those that the line raised when it made them, so both reports say the same; and its counts
// are those of the tables.
func TestEvaluateAgreesWithTheLine(t *testing.T) {
	dir := t.TempDir()
	whole, _, truth := fleetRowFiles(t, dir, 3*time.Hour)
	var text bytes.Buffer
	if err := simulator.WriteTruth(&text, truth); err != nil {
		t.Fatal(err)
	}
	truthFile := writeFile(t, dir, "truth.csv", text.String())
	page, again := filepath.Join(dir, "report.html"), filepath.Join(dir, "again.html")
	sum := backtest(t, whole, "--data", filepath.Join(dir, "data"), "--truth", truthFile, "--report", page)
	r := evaluated(t, "--data", filepath.Join(dir, "data"), "--truth", truthFile, "--report", again)
	if r.Line.All.Failures < 3 || r.Line.All.Warned == 0 || len(r.Candidates) < 9 || sum.Report == nil {
		t.Fatalf("%+v", r.Line)
	}
	if !reflect.DeepEqual(r.Line, sum.Report.Line) {
		t.Errorf("the line raised\n%+v, an evaluation\n%+v", sum.Report.Line, r.Line)
	}
	for sql, got := range map[string]int{
		`SELECT count(*) FROM window_now`:                                                                     r.Data.Windows,
		`SELECT count(*) FROM window_now WHERE verdict = 'valid'`:                                             r.Data.Rows,
		`SELECT count(*) FROM window_now WHERE verdict = 'quarantined'`:                                       r.Data.Quarantined,
		`SELECT count(DISTINCT site || '/' || asset) FROM window_now`:                                         r.Data.Assets,
		`SELECT sum(end_ms - start_ms) FROM (SELECT DISTINCT site, asset, start_ms, end_ms FROM window_now)`:  int(r.Data.AssetHours*3_600_000 + 0.5),
		`SELECT count(*) FROM alert WHERE sensor_id > 0 AND rule NOT IN ('silence', 'failsafe')`:              r.Line.Warnings,
		fmt.Sprintf(`SELECT count(*) FROM window_now WHERE verdict = 'valid' AND start_ms < %d`, r.Data.ToMs): r.Data.Rows,
	} {
		if want := count(t, sum.Database, sql); int64(got) != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
	first, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(first), "backtest of fleet.ndjson") {
		t.Errorf("the report of the backtest: %v", err)
	}
	second := evaluated(t, "--data", sum.Database, "--truth", truthFile, "--report", filepath.Join(dir, "once-more.html"))
	if !reflect.DeepEqual(second, r) {
		t.Error("the same windows gave other figures")
	}
	same(t, again, filepath.Join(dir, "once-more.html"))
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ", a, b)
	}
}
