package platform

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
)

// swapLasts is how long the plant publishes while models are swapped.
const swapLasts = 2 * time.Second

// TestSwapUnderLoad publishes as fast as the line takes it while models go live, into shadow and out again, and proves from the tables that every window was scored once, by what was in
// force at its commit, and by every shadow that was.
func TestSwapUnderLoad(t *testing.T) {
	dir := t.TempDir()
	forests := make([]string, 0, 4)
	p, stop := start(t, dir, with(t, modeltest.Small(t, 0, modeltest.Passed())))
	for seed := range uint64(4) {
		f := modeltest.Small(t, seed, modeltest.Passed())
		if err := models.Put(dir, f); err != nil {
			t.Fatal(err)
		}
		forests = append(forests, f.ID())
		if _, status, text := moveModel(t, p, "shadow", f.ID()); status != http.StatusOK {
			t.Fatal(text)
		}
	}
	ts := base() - 30*24*time.Hour.Milliseconds() // nothing of it comes from the future, however fast it is
	const plants = 4
	var minutes [plants]int
	var publishers sync.WaitGroup
	var over atomic.Bool
	for k := range plants {
		c := client(t, p, fmt.Sprint("plant ", k))
		publishers.Go(func() { minutes[k] = flood(t, c, k, ts, &over) })
	}
	var operators sync.WaitGroup // who do not wait for each other
	var swaps [2]int
	for k := range swaps {
		operators.Go(func() {
			n := &swaps[k]
			for end := time.Now().Add(swapLasts); (time.Now().Before(end) || *n < 12) && *n < 200; *n++ {
				action := []string{"activate", "shadow", "activate", "retire", "activate"}[(*n+3*k)%5]
				if _, status, text := moveModel(t, p, action, forests[(3**n+*n/7+k)%len(forests)]); status != http.StatusOK {
					t.Errorf("%s: %d %s", action, status, text)
				}
			}
		})
	}
	operators.Wait()
	over.Store(true)
	publishers.Wait()
	stop()
	verify(t, dir)
	want := int64(0)
	for _, m := range minutes {
		want += int64(m) * sensorsPerPlant
	}
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window`); n != want {
		t.Errorf("%d windows, want %d", n, want)
	}
	proveSwaps(t, dir)
	moves := ask(t, dir, `SELECT count(*) FROM audit WHERE outcome = 'active' AND commit_id > 1`)
	by := ask(t, dir, `SELECT count(DISTINCT model_id) FROM ai_telemetry_predictions`)
	t.Logf("%d requests, %d activations, %d windows by %d models, %d shadow predictions", swaps[0]+swaps[1], moves, want, by, ask(t, dir, `SELECT count(*) FROM shadow_prediction`))
	if moves < 5 || by < 3 {
		t.Errorf("%d activations and %d models: too few to prove anything", moves, by)
	}
}

const sensorsPerPlant = 4

// flood publishes an asset's minutes one after another, a message a sensor and minute, until it is over, and gives how many windows of each sensor have closed by then.
func flood(t *testing.T, c mqtt.Client, plant int, ts int64, over *atomic.Bool) (minutes int) {
	var underWay []mqtt.Token
	await := func(most int) {
		for ; len(underWay) > most; underWay = underWay[1:] {
			if tok := underWay[0]; !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
				t.Errorf("not acknowledged: %v", tok.Error())
				over.Store(true)
			}
		}
	}
	send := func(sensor int, payload string) {
		underWay = append(underWay, c.Publish(fmt.Sprintf("cidp/v1/telemetry/douala/loco-%d/axle%d-left", plant, sensor+1), 1, false, payload))
		await(40)
	}
	defer await(0)
	for ; !over.Load(); minutes++ {
		for s := range sensorsPerPlant {
			send(s, series(ts+int64(minutes)*60_000, 60, func(i int) float64 { return 40 + float64(minutes%50) + float64(s)/2 + steady(i+60*minutes) - 45 }))
		}
	}
	for s := range sensorsPerPlant {
		send(s, fmt.Sprintf(`{"ts":%d,"temp_c":45}`, ts+int64(minutes)*60_000+10_500))
	}
	return minutes
}

// proveSwaps proves from the tables by whom windows were scored. A commit is known by its time, where no other has the same.
func proveSwaps(t *testing.T, dir string) {
	t.Helper()
	const (
		spans = `WITH span AS MATERIALIZED (SELECT model_id, outcome, commit_id AS since, COALESCE((SELECT min(b.commit_id) FROM audit b WHERE b.model_id = a.model_id AND b.audit_id > a.audit_id), 1 << 60) AS until
			FROM audit a WHERE model_id IS NOT NULL),
			came AS MATERIALIZED (SELECT committed_ms AS at, min(commit_id) AS id FROM commit_log GROUP BY committed_ms HAVING count(*) = 1),
			p AS MATERIALIZED (SELECT window_id, revision, model_id, came.id AS commit_id FROM ai_telemetry_predictions JOIN came ON came.at = scored_ms) `
		known = spans + `SELECT 100 * count(*) / (SELECT count(*) FROM ai_telemetry_predictions) FROM p`
		wrong = spans + `SELECT count(*) FROM p WHERE p.model_id <> COALESCE((SELECT s.model_id FROM span s WHERE s.outcome = 'active' AND p.commit_id >= s.since AND p.commit_id < s.until), 'rules')`
		lost  = spans + `SELECT count(*) FROM p JOIN span s ON s.outcome = 'shadow' AND p.commit_id >= s.since AND p.commit_id < s.until
			WHERE NOT EXISTS (SELECT 1 FROM shadow_prediction x WHERE x.window_id = p.window_id AND x.revision = p.revision AND x.model_id = s.model_id)`
		extra = spans + `SELECT count(*) FROM p JOIN shadow_prediction x ON x.window_id = p.window_id AND x.revision = p.revision
			WHERE NOT EXISTS (SELECT 1 FROM span s WHERE s.model_id = x.model_id AND s.outcome = 'shadow' AND p.commit_id >= s.since AND p.commit_id < s.until)`
		twice = `SELECT count(*) FROM (SELECT w.window_id FROM telemetry_window w LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
			WHERE w.verdict = 'valid' GROUP BY w.window_id, w.revision HAVING count(p.window_id) <> 1)`
	)
	if n := ask(t, dir, known); n < 50 {
		t.Errorf("of %d %% of the predictions the commit is known, want half and more", n)
	}
	for what, sql := range map[string]string{"by a model that was not in force at its commit": wrong, "not scored by a shadow that was": lost, "scored by a shadow that was not": extra, "not scored once": twice} {
		if n := ask(t, dir, sql); n != 0 {
			t.Errorf("%d windows %s", n, what)
		}
	}
}
