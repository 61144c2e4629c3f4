package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
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
	if raceDetector {
		t.Skip("nearly all of it is arithmetic; TestBacktest has the line of a backtest under the detector")
	}
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

	far := fmt.Sprintf("douala,another-vehicle,axle1-left,spall,,%d\n", r.Data.ToMs)
	more := evaluated(t, "--data", sum.Database, "--truth", writeFile(t, dir, "depot.csv", text.String()+far))
	if !reflect.DeepEqual(more.Line, r.Line) || more.Data.Elsewhere != 1 || !slices.ContainsFunc(more.Caveats, func(s string) bool { return strings.HasPrefix(s, "1 failure is on assets") }) {
		t.Errorf("a failure of a vehicle that is not in the data: %+v, %+v, %q", more.Data, more.Line.All, more.Caveats)
	}
	refused(t, exitFailed, "all failures that are known of, 1, are of assets", "evaluate", "--data", sum.Database, "--truth", writeFile(t, dir, "far.csv", "site,asset,sensor,fault,onset_ms,failure_ms\n"+far))
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

// TestEvaluateByWorkshops takes its labels from what a workshop found, over MQTT, and records the trial for the registry.
func TestEvaluateByWorkshops(t *testing.T) {
	if raceDetector {
		t.Skip("nearly all of it is sequential; platform's TestVerdictsThroughTheLine has the findings that come while the line works")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	whole, _, truth := fleetRowFiles(t, dir, 3*time.Hour)
	backtest(t, whole, "--data", data)
	refused(t, exitFailed, "nothing is known of failures in", "evaluate", "--data", data)

	p := startProgram(t, data)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("workshop"))
	tell := func(tok mqtt.Token) {
		t.Helper()
		if !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	tell(c.Connect())
	failures := 0
	for _, row := range truth {
		topic := "cidp/v1/verdicts/" + row.Site + "/" + row.Asset + "/" + row.Sensor
		switch {
		case row.FailureMs != 0:
			failures++
			tell(c.Publish(topic, 1, false, fmt.Sprintf(`{"ts":%d,"since":%d,"finding":"failed"}`, row.FailureMs+60_000, row.FailureMs)))
		case row.Fault == simulator.Stuck:
			tell(c.Publish(topic, 1, false, fmt.Sprintf(`{"ts":%d,"finding":"sensor_fault"}`, row.OnsetMs)))
		}
	}
	c.Disconnect(100)
	p.stop(t)

	r := evaluated(t, "--data", data, "--record", "--split", "time")
	if failures == 0 || r.Data.Failures != failures || r.Line.Warnings == 0 || !strings.Contains(r.Data.Labels, "findings of workshops") || r.Data.Simulated != nil {
		t.Errorf("%d failures told, %+v", failures, r.Data)
	}
	var trial model.Trial
	text, err := os.ReadFile(filepath.Join(data, "models", r.Model.ID+".trial.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &trial); err != nil || !reflect.DeepEqual(&trial, r.Trial) || trial.ModelID != r.Model.ID || trial.Split != model.ByTime || trial.Passed {
		t.Errorf("%v: %+v, recorded %+v", err, r.Trial, trial)
	}
	if trial.Failures > failures || trial.Failures == 0 || !strings.Contains(trial.Why, "too few to tell it from chance") {
		t.Errorf("%+v", trial)
	}
}

// TestEvaluateTable scores a table by a model trained on its like, and says what cidp model predict says.
func TestEvaluateTable(t *testing.T) {
	sequential(t)
	train, test := shared(t, "data/cmapss/thermal_windows_train.csv.gz"), shared(t, "data/cmapss/thermal_windows_test.csv.gz")
	file, page := filepath.Join(t.TempDir(), "engine.cidpmodel"), filepath.Join(t.TempDir(), "report.html")
	if code, out, errOut := cidp(t, "train", "--csv", train, "--label", "fails_within_30", "--group", "u", "--drop", "t,rul", "--folds", "0", "--trees", "30", "--out", file); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	r := evaluated(t, "--model", file, "--csv", test, "--label", "fails_within_30", "--group", "u", "--report", page)
	want := predictions(t, file, test, "--label", "fails_within_30").Evaluation
	got := r.Candidates[0].Rows
	if got.ROCAUC != want.ROCAUC || got.PRAUC != want.PRAUC || *got.Brier != want.Brier || got.Assets != 100 || len(r.Candidates) != 4 || r.Line != nil || r.Trial != nil {
		t.Errorf("%+v, predict says %+v", got, want)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), r.Verdict) {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBeEvaluatedIsRefused(t *testing.T) {
	dir := t.TempDir()
	table := writeFile(t, dir, "table.csv", "x,u,y\n1,1,0\n2,2,1\n")
	truth := writeFile(t, dir, "truth.csv", "site,asset,sensor,fault,onset_ms,failure_ms\ns,a,b,spall,1736132400000,1736132500000\n")
	rows := writeFile(t, dir, "rows.csv", "ts,a\n1700000000,20\n")
	wrong := writeFile(t, dir, "wrong.csv", "site,asset,sensor,fault,onset_ms,failure_ms\ns,a,b,drift,1736132400000,1736132500000\n")
	empty := filepath.Join(dir, "empty")
	backtest(t, rows, "--site", "s", "--asset", "a", "--data", empty)
	for _, test := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "give a warehouse with --data, or a table with --csv", []string{"evaluate"}},
		{exitUsage, "a table needs --label", []string{"evaluate", "--csv", table}},
		{exitUsage, "--truth is for a warehouse", []string{"evaluate", "--csv", table, "--label", "y", "--group", "u", "--truth", truth}},
		{exitUsage, "columns of a table: give it with --csv", []string{"evaluate", "--data", empty, "--label", "y"}},
		{exitUsage, "--record is for a warehouse", []string{"evaluate", "--csv", table, "--label", "y", "--group", "u", "--record"}},
		{exitUsage, "your word of how", []string{"evaluate", "--data", empty, "--record"}},
		{exitUsage, "your word of how", []string{"evaluate", "--data", empty, "--record", "--split", "row"}},
		{exitUsage, "horizon is 0s", []string{"evaluate", "--data", empty, "--horizon", "0s"}},
		{exitUsage, "lead is 3h0m0s", []string{"evaluate", "--data", empty, "--lead", "3h"}},
		{exitUsage, "budget is -1", []string{"evaluate", "--data", empty, "--budget=-1"}},
		{exitFailed, `no column "kind_code"`, []string{"evaluate", "--csv", table, "--label", "y", "--group", "u"}},
		{exitFailed, "does not exist", []string{"evaluate", "--data", filepath.Join(dir, "none"), "--truth", truth}},
		{exitFailed, "has no valid window", []string{"evaluate", "--data", empty, "--truth", truth}},
		{exitFailed, "line 2: drift is a fault of the sensor", []string{"evaluate", "--data", empty, "--truth", wrong}},
		{exitFailed, "model file none.cidpmodel does not exist", []string{"evaluate", "--data", empty, "--truth", truth, "--model", "none.cidpmodel"}},
		{exitUsage, "name files, or a warehouse with --from", []string{"backtest"}},
		{exitUsage, "name files, or a warehouse with --from", []string{"backtest", rows, "--from", empty}},
		{exitUsage, "the backtest would replace", []string{"backtest", "--from", empty, "--data", empty}},
		{exitFailed, "line 2: drift is", []string{"backtest", rows, "--truth", wrong, "--data", filepath.Join(dir, "new")}},
		{exitUsage, "--report needs --truth", []string{"backtest", rows, "--report", "x.html"}},
		{exitFailed, "does not exist", []string{"backtest", filepath.Join(dir, "none.csv"), "--data", filepath.Join(dir, "new")}},
	} {
		refused(t, test.code, test.says, test.args...)
	}
}

// FuzzTruth: whatever a truth file holds, its rows are ones that can be used, and they read the same once written by the simulator.
func FuzzTruth(f *testing.F) {
	for _, text := range []string{
		"site,asset,sensor,fault,onset_ms,failure_ms\ns,a,b,spall,1736132400000,1736132500000\ns,a,c,drift,1736132400000,\n",
		"sensor,site,asset,failure_ms,fault,onset_ms,sound_ms\ns,d,a,2025-01-06T04:00:00Z,spall,2025-01-06T03:00:00Z,2025-01-07T00:00:00Z\n",
		"site,asset,sensor,failure_ms\n\"a\",b,c,1e12\n", "\xef\xbb\xbfsite,asset,sensor,failure_ms\r\na,b,c,17\r\n", "0,1,2,3\n1,2,3,4\n", "site,site,asset,sensor,failure_ms\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readTruth(strings.NewReader(text))
		if err != nil {
			return
		}
		var out []simulator.Truth
		for _, r := range rows {
			if !stream.ValidName(r.site) || !stream.ValidName(r.asset) || !stream.ValidName(r.sensor) || r.failure != 0 && (r.onset > r.failure || r.ofSensor()) ||
				r.onset == 0 && r.failure == 0 && r.sound == 0 {
				t.Fatalf("%+v", r)
			}
			for _, at := range []int64{r.onset, r.failure, r.sound} {
				if at != 0 && (at < stream.MinTS || at >= stream.MaxTS) {
					t.Fatalf("%+v", r)
				}
			}
			if r.sound == 0 && r.onset != 0 {
				out = append(out, simulator.Truth{Site: r.site, Asset: r.asset, Sensor: r.sensor, Fault: r.fault, OnsetMs: r.onset, FailureMs: r.failure})
			}
		}
		if len(out) == 0 {
			return
		}
		var written bytes.Buffer
		if err := simulator.WriteTruth(&written, out); err != nil {
			t.Fatal(err)
		}
		again, err := readTruth(&written)
		if err != nil || len(again) != len(out) {
			t.Fatalf("%v: %d rows of %d", err, len(again), len(out))
		}
		for i, r := range again {
			if o := out[i]; r.place != (place{o.Site, o.Asset, o.Sensor}) || r.onset != o.OnsetMs || r.failure != o.FailureMs {
				t.Fatalf("%+v became %+v", o, r)
			}
		}
	})
}
