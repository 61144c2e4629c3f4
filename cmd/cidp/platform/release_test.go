package platform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// askRelease asks a running platform over its API to put evidence back.
func askRelease(t *testing.T, p *Platform, ids ...string) (out []console.ReleaseResult) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"ids": ids, "by": "ngo", "note": "after the fix"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+p.HTTPAddr()+"/api/v1/quarantine/release", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", res.StatusCode, text, err)
	}
	var answer struct{ Results []console.ReleaseResult }
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Results) != len(ids) {
		t.Fatalf("%s: %v", text, err)
	}
	return answer.Results
}

// evidenceShown is what the API shows of a piece of evidence, but for its payload.
type evidenceShown struct {
	State, Refused string
	Revisions      []console.WindowRevision
	Audit          []console.AuditEntry
}

// TestReleaseMessagesThroughTheLine: what was refused by the rules of before is decoded, stored and windowed under those of now, once, over a restart; what they refuse too stays.
func TestReleaseMessagesThroughTheLine(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) { c.Stream.TooOld = time.Hour })
	c := client(t, p, "gateway")
	ts := base()
	publish(t, c, sensorOne, series(ts, 90, steady))                                                     // m1 to m90: too old
	publish(t, c, sensorOne, `{"ts":`)                                                                   // m91: malformed
	publish(t, c, "cidp/v1/context/douala/loco-1", fmt.Sprintf(`{"ts":%d,"speed_kmh":60}`, ts))          // m92
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":1}`, time.Now().Add(time.Hour).UnixMilli())) // m93: future
	if r := askRelease(t, p, "m1", "m91", "m93"); r[0].Outcome != "kept" || r[0].Reasons[0] != "too_old" || r[1].Reasons[0] != "malformed" || r[2].Reasons[0] != "future" {
		t.Errorf("under the same rules: %+v", r)
	}
	if n := ask(t, dir, `SELECT count(*) FROM reading`); n != 0 {
		t.Errorf("%d readings are stored", n)
	}
	stop()
	verify(t, dir)

	p, stop = start(t, dir, nil)
	ids := []string{"m92"}
	for i := 1; i <= 90; i++ {
		ids = append(ids, fmt.Sprintf("m%d", i))
	}
	var both sync.WaitGroup // two people ask at once
	var answers [2][]console.ReleaseResult
	for i := range answers {
		both.Go(func() { answers[i] = askRelease(t, p, ids...) })
	}
	both.Wait()
	for i := range ids {
		a, b := answers[0][i], answers[1][i]
		if a.Outcome != "released" || b.Outcome != "released" || a.Already == b.Already || a.Stored+b.Stored != 1 {
			t.Fatalf("%s: %+v and %+v", ids[i], a, b)
		}
	}
	if n := ask(t, dir, `SELECT count(*) FROM reading`); n != 90 {
		t.Errorf("%d readings are stored", n)
	}
	if r := askRelease(t, p, "m1", "m91"); !r[0].Already || r[0].By != "ngo" || r[0].At == 0 || r[1].Outcome != "kept" {
		t.Errorf("once more: %+v", r)
	}
	publish(t, client(t, p, "goes on"), sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts+200_000))
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window WHERE verdict = 'valid' AND n = 60 AND speed_mean_kmh = 60`); n != 1 {
		t.Error("what was released makes no window")
	}
	var e evidenceShown
	if err := json.Unmarshal([]byte(get(t, p, "/api/v1/quarantine/m1")), &e); err != nil || e.State != "released" || len(e.Audit) != 2 || e.Audit[0].Actor != "ngo" || e.Audit[0].Note != "after the fix" || e.Audit[1].Outcome != "kept" {
		t.Errorf("%v: %+v", err, e)
	}
	if err := json.Unmarshal([]byte(get(t, p, "/api/v1/quarantine/m91")), &e); err != nil || !strings.HasPrefix(e.Refused, "malformed: ") {
		t.Errorf("%v: %+v", err, e)
	}
	if page := get(t, p, "/api/v1/quarantine?state=open&of=messages"); !strings.Contains(page, `"matching":{"windows":0,"messages":2,`) || strings.Contains(page, `"m1"`) {
		t.Errorf("open: %s", page)
	}
	if m := get(t, p, "/metrics"); !strings.Contains(m, `cidp_releases_total{outcome="released"} 91`) {
		t.Error("not in /metrics")
	}
	stop()
	p, stop = start(t, dir, nil)
	if r := askRelease(t, p, "m1"); !r[0].Already {
		t.Errorf("after a restart: %+v", r)
	}
	stop()
	verify(t, dir)
	if n := ask(t, dir, `SELECT count(*) FROM audit WHERE outcome = 'released'`); n != 91 {
		t.Errorf("%d releases on record", n)
	}
}

// TestReleaseWindowsThroughTheLine: windows that wrong limits quarantined are scored once the limits are right, and supersede; bad data are not.
func TestReleaseWindowsThroughTheLine(t *testing.T) {
	dir := t.TempDir()
	writeSensors(t, dir, "[kind.bearing]\nfail_high_c = 40\nsuspect_high_c = 39\n")
	p, stop := start(t, dir, withSensors(dir))
	c := client(t, p, "loco")
	ts := base()
	gappy := func(i int) float64 {
		if i >= 60 && i < 100 {
			return math.NaN()
		}
		return steady(i)
	}
	publish(t, c, sensorOne, series(ts, 251, gappy))
	if n := ask(t, dir, `SELECT count(*) FROM quarantine_window WHERE reasons LIKE '%out_of_range%'`); n != 4 {
		t.Fatalf("%d windows are out of range: the test shows nothing", n)
	}
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = fmt.Sprintf("w%d", (ts+int64(i)*60_000)<<20|1)
	}
	if r := askRelease(t, p, ids[0]); r[0].Outcome != "kept" || !strings.Contains(r[0].Detail, "judged anew it says the same") {
		t.Errorf("under the same limits: %+v", r)
	}
	writeSensors(t, dir, "[kind.bearing]\nfail_high_c = 250\nsuspect_high_c = 110\n")
	until(t, "the limits to be in force", func() bool { return ask(t, dir, `SELECT count(*) FROM config_change`) == 2 })
	r := askRelease(t, p, ids...)
	for i, want := range []string{"released", "quarantined", "released", "released"} {
		if r[i].Outcome != want || r[i].Revision != 1 || r[i].Already {
			t.Errorf("window %d: %+v", i, r[i])
		}
	}
	if again := askRelease(t, p, ids[0], ids[1]); !again[0].Already || again[1].Outcome != "kept" {
		t.Errorf("once more: %+v", again)
	}
	if n := ask(t, dir, `SELECT count(*) FROM window_now WHERE verdict = 'valid' AND p_failure IS NOT NULL AND revision = 1`); n != 3 {
		t.Errorf("%d windows are scored", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM quarantine_window WHERE released_ms IS NOT NULL`); n != 4 {
		t.Errorf("%d marks", n)
	}
	var e evidenceShown
	if err := json.Unmarshal([]byte(get(t, p, "/api/v1/quarantine/"+ids[1])), &e); err != nil || e.State != "open" || len(e.Revisions) != 2 || len(e.Audit) != 2 || e.Revisions[1].State != "released" {
		t.Errorf("%v: %+v", err, e)
	}
	stop()
	verify(t, dir)
}

// TestReleaseIsRefused where nothing can come of it.
func TestReleaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	publish(t, client(t, p, "c"), sensorOne, `{"ts":`)
	for _, c := range []struct {
		name, method, body string
		header             http.Header
		status             int
		says               string
	}{
		{name: "no such message", body: `{"ids":["m9"],"by":"x"}`, status: 404, says: "no such evidence"},
		{name: "none of them is there", body: `{"ids":["m7","w5"],"by":"x"}`, status: 404, says: "nothing was released"},
		{name: "no id", body: `{"ids":["9"],"by":"x"}`, status: 404, says: "names no evidence"},
		{name: "nobody", body: `{"ids":["m1"]}`, status: 400, says: "by must name"},
		{name: "another site", body: `{"ids":["m1"],"by":"x"}`, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, status: 403, says: "another web site"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, "http://"+p.HTTPAddr()+"/api/v1/quarantine/release", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = c.header.Clone()
			if req.Header == nil {
				req.Header = http.Header{}
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(text), c.says) {
				t.Errorf("%d %s %v", res.StatusCode, text, err)
			}
		})
	}
	if n := ask(t, dir, `SELECT count(*) FROM audit WHERE model_id IS NULL`); n != 0 {
		t.Errorf("%d entries", n)
	}
	stop()
	verify(t, dir)
}

// TestReleaseWhileTheDiskRefuses is answered once it is on disk, and not before.
func TestReleaseWhileTheDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) { c.Stream.TooOld = time.Hour })
	publish(t, client(t, p, "c"), sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":45}`, base()))
	stop()
	p, stop = start(t, dir, nil)
	letGo := holdWriter(t, dir)
	answered := make(chan []console.ReleaseResult, 1)
	go func() { answered <- askRelease(t, p, "m1") }()
	select {
	case r := <-answered:
		t.Errorf("answered before it is on disk: %+v", r)
	case <-time.After(300 * time.Millisecond):
	}
	letGo()
	if r := <-answered; r[0].Outcome != "released" || r[0].Stored != 1 {
		t.Errorf("%+v", r)
	}
	stop()
	verify(t, dir)
}
