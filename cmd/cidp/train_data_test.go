package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// pastFleet is a fleet whose failures a warehouse remembers.
func pastFleet(t *testing.T, assets int) *simulator.Fleet {
	t.Helper()
	fleet, err := simulator.New(simulator.Config{Seed: 5, Assets: assets, RateHz: 0.1, Start: trainingStart, Span: 3 * time.Hour, Faults: simulator.MachineFaults(), OtherShare: 0.25, FaultShare: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

// asItComes is the scorer of the model that comes with the program.
func asItComes(t *testing.T) *model.Scorer {
	t.Helper()
	forest, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := model.NewScorer(forest, model.DefaultRules(), model.DefaultAlertConfig())
	if err != nil {
		t.Fatal(err)
	}
	return scorer
}

// warehouse lets a fleet's past go through windower, model and store, and gives the data folder. tell adds what workshops found to the last batch.
func warehouse(t *testing.T, fleet *simulator.Fleet, tell ...stream.Finding) string {
	t.Helper()
	dir := t.TempDir()
	scorer := asItComes(t)
	cfg := stream.DefaultConfig()
	db, err := store.Open(filepath.Join(dir, platform.DatabaseName), store.Options{Window: cfg.Window, Disorder: cfg.Disorder})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	live := store.ModelInfo{ID: scorer.ModelID(), Name: "default", Features: "[]", Metrics: "{}", Trial: `{"passed":true}`, State: store.ModelActive}
	if err := db.MoveModels([]store.ModelMove{{Model: live, Action: store.ActionStart, Actor: model.ActorLine}}); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{}
	holds := map[int64]model.Hold{}
	windower, err := stream.NewWindower(cfg, nil, func(w *stream.Window) bool {
		if !w.Valid() {
			return holds[w.Sensor.ID].Level != model.Normal
		}
		s, err := scorer.Score(w, holds[w.Sensor.ID])
		if err != nil {
			t.Fatal(err)
		}
		holds[w.Sensor.ID] = s.Prediction.Hold
		b.Predictions, b.Transitions = append(b.Predictions, s.Prediction), append(b.Transitions, s.Transitions...)
		if s.Alert != nil {
			b.Alerts = append(b.Alerts, *s.Alert)
		}
		return s.Prediction.Level != model.Normal
	})
	if err != nil {
		t.Fatal(err)
	}
	commit := func() {
		b.Batch, b.ID, b.Committed = windower.Take(), db.LastCommit()+1, fleet.Now().UnixMilli()
		if err := db.Commit(b); err != nil {
			t.Fatal(err)
		}
		b = &store.Batch{}
	}
	names := fleetTopics(fleet, form{})
	end := fleet.Now().Add(3 * time.Hour)
	var samples []simulator.Sample
	for n := 1; fleet.Now().Before(end); n++ {
		samples = fleet.Step(samples[:0])
		for i := range samples {
			if err := names.feed(windower, &samples[i], fleet.Now().UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
		if n%100 == 0 {
			commit()
		}
	}
	for _, f := range tell {
		text := fmt.Sprintf(`{"ts":%d,"finding":%q,"since":%d}`, f.TS, f.Found, f.Since)
		if _, err := windower.Feed(stream.Message{Topic: stream.VerdictTopic(f.Site, f.Asset, f.Sensor), Payload: []byte(text), Received: f.TS}, 0); err != nil {
			t.Fatal(err)
		}
	}
	commit()
	return dir
}

// retrain trains on a data folder and gives what --json says, and the model's file.
func retrain(t *testing.T, dir string, more ...string) (out trained, file []byte) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "own.cidpmodel")
	text := must(t, append([]string{"train", "--data", dir, "--trees", "10", "--folds", "3", "--json", "--out", to}, more...)...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return out, file
}

// TestTrainOnItsOwnHistory: a warehouse and what is known of its failures make a model, the same one each time, whether the failures stand in a file or were told on MQTT.
func TestTrainOnItsOwnHistory(t *testing.T) {
	sequential(t)
	fleet := pastFleet(t, 12)
	truth := fleet.Truth()
	file := filepath.Join(t.TempDir(), "truth.csv")
	if err := writeTruth(file, truth); err != nil {
		t.Fatal(err)
	}
	failures := 0
	var told []stream.Finding
	for _, row := range truth {
		if row.FailureMs == 0 || row.FailureMs > trainingStart.Add(3*time.Hour).UnixMilli() {
			continue
		}
		failures++
		key := stream.FindingKey{Site: row.Site, Asset: row.Asset, Sensor: row.Sensor, TS: row.FailureMs + 1000}
		told = append(told, stream.Finding{FindingKey: key, Found: stream.Failed, Since: row.FailureMs})
	}
	dir := warehouse(t, fleet, told...)
	byFile, first := retrain(t, dir, "--truth", file)
	again, second := retrain(t, dir, "--truth", file, "--threads", "1")
	if !bytes.Equal(first, second) {
		t.Errorf("models %s and %s", byFile.Model, again.Model)
	}
	h := byFile.History
	if h.Failures < failures || h.Learnt < 3 || h.Learnt > h.Failures || h.Failing == 0 || h.Down == 0 || h.Censored == 0 || h.Assets != 12 || byFile.Manifest.Rows != h.Windows || byFile.Manifest.Positives != h.Failing {
		t.Errorf("%d failures; %s", failures, h)
	}
	if m := byFile.Manifest; m.Folds == nil || m.Folds.Split != model.ByGroup || m.Folds.Pooled.ROCAUC < 0.8 {
		t.Errorf("folds %+v", m.Folds)
	}
	if trial := byFile.Manifest.Trial; trial == nil || trial.Passed || trial.Failures == 0 || trial.Failures > h.Learnt || len(trial.Rules) == 0 || !strings.Contains(trial.Why, "30") {
		t.Errorf("trial %+v", trial)
	}
	byVerdicts, _ := retrain(t, dir)
	if v := byVerdicts.History; v.Failures != failures || v.Learnt < h.Learnt-1 || v.Failing < h.Failing {
		t.Errorf("by verdicts %s\nby file %s", v, h)
	}
	refused(t, exitFailed, "--folds 0 trains without measuring", "train", "--data", dir, "--trees", "1", "--folds", "2", "--split", "time") // nothing fails in the first third
	must(t, "verify", filepath.Join(dir, platform.DatabaseName))
	refused(t, exitUsage, "resemble each other", "train", "--data", dir, "--split", "row")
	refused(t, exitUsage, "train on one of them", "train", "--data", dir, "--csv", "x.csv")
	refused(t, exitUsage, "give it with --data", "train", "--truth", file)
	refused(t, exitUsage, "more than 0", "train", "--data", dir, "--horizon=-1s")
	refused(t, exitFailed, "does not exist", "train", "--data", t.TempDir())
}

// TestHistoryFolds: by asset where two have failed, else by time, with a gap of what labels looked ahead.
func TestHistoryFolds(t *testing.T) {
	for _, c := range []struct {
		split   string
		assets  int
		failing map[int]bool
		want    model.FoldConfig
	}{
		{"", 5, map[int]bool{1: true, 4: true}, model.FoldConfig{Split: model.ByGroup, Folds: 5}},
		{"", 4, map[int]bool{1: true, 4: true}, model.FoldConfig{Split: model.ByTime, Folds: 5, Gap: 77}},
		{"", 5, map[int]bool{1: true}, model.FoldConfig{Split: model.ByTime, Folds: 5, Gap: 77}},
		{"group", 4, nil, model.FoldConfig{Split: model.ByGroup, Folds: 5}},
		{"time", 5, map[int]bool{1: true, 4: true}, model.FoldConfig{Split: model.ByTime, Folds: 5, Gap: 77}},
	} {
		cmd := trainCmd{trainTable: trainTable{Split: c.split, Folds: 5}}
		if got := cmd.historyFolds(&labelled{Assets: c.assets, failing: c.failing, reach: 77}); got != c.want {
			t.Errorf("%q, %d assets, %v: %+v", c.split, c.assets, c.failing, got)
		}
	}
}

// TestTrainNeedsFailures: without any, the refusal says how to tell of them.
func TestTrainNeedsFailures(t *testing.T) {
	dir := warehouse(t, pastFleet(t, 1))
	t.Setenv("CIDP_DATA", dir)
	refused(t, exitFailed, "publish what workshops found on cidp/v1/verdicts/", "train", "--data", dir)
	for text, says := range map[string]string{
		"site,asset,sensor,failure_ms\n":                                             "no failure is known of",
		"site,asset,sensor\nd,a,s\n":                                                 `no column "failure_ms"`,
		"site,asset,sensor,failure_ms\nd,a b,s,1736132400000\n":                      `line 2: "a b" is no site`,
		"site,asset,sensor,failure_ms\nd,a,s,soon\n":                                 `line 2: "soon" is not a time`,
		"site,asset,sensor,failure_ms,onset_ms\nd,a,s,1736132400000,1736132500000\n": "line 2: the onset is after the failure",
		"site,asset,sensor,failure_ms\nd,never-heard,s,1736132400000\n":              "no failure is known of",
	} {
		file := writeFile(t, t.TempDir(), "truth.csv", text)
		refused(t, exitFailed, says, "train", "--data", dir, "--truth", file)
	}
}

// TestKnownOfAFile: a repair ends a failure, a sensor's own fault is none of its component, and a fault that never failed leaves its windows out.
func TestKnownOfAFile(t *testing.T) {
	what := known{}
	text := "sensor,site,asset,failure_ms,fault,onset_ms,sound_ms\n" +
		"s,d,a,2025-01-06T04:00:00Z,spall,2025-01-06T03:00:00Z,2025-01-07T00:00:00Z\ns,d,a,2025-01-08T04:00:00Z,,,\nt,d,a,,drift,2025-01-06T03:00:00Z,\nu,d,a,,seal_rub,2025-01-06T03:00:00Z,\n"
	rows, err := openTruth(writeFile(t, t.TempDir(), "maintenance.csv", text))
	if err != nil {
		t.Fatal(err)
	}
	what.read(rows)
	at := func(s string) int64 { v, _ := time.Parse(time.RFC3339, s); return v.UnixMilli() }
	s, u := what[place{"d", "a", "s"}], what[place{"d", "a", "u"}]
	want := []model.Outage{{Onset: at("2025-01-06T03:00:00Z"), At: at("2025-01-06T04:00:00Z"), Until: at("2025-01-07T00:00:00Z")}, {At: at("2025-01-08T04:00:00Z"), Until: 1<<63 - 1}}
	if got := model.Outages(s.told); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(u.told) != 0 || !slices.Equal(u.unclear, []model.Span{{From: at("2025-01-06T03:00:00Z"), To: stream.MaxTS}}) {
		t.Errorf("%+v", u)
	}
	if of := what[place{"d", "a", "t"}]; len(of.told)+len(of.unclear) != 0 {
		t.Errorf("%+v", of)
	}
	if !strings.Contains((&labelled{Strangers: 2}).String(), "2 sensors with a finding") {
		t.Error("strangers are not told")
	}
}
