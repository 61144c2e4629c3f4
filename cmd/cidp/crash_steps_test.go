package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/ncruces/go-sqlite3"
)

// killAtStep makes the hook that ends this process with SIGKILL at the n-th time that a step is reached: "commit:7". Nothing for an empty text.
func killAtStep(at string) func(step string) {
	if at == "" {
		return nil
	}
	step, count, _ := strings.Cut(at, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("CIDP_TEST_KILL is %q: it must be a step and how often it is reached", at))
	}
	var reached atomic.Int64
	return func(s string) {
		if s == step && reached.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing follows
		}
	}
}

// smallFleet lays out one asset whose sensors come over connections of their own.
func smallFleet(begin int64) (*crashRun, map[*feedSource]crashClient) {
	r := &crashRun{}
	a := newFeedAsset("loco-1", begin)
	r.assets = []*feedAsset{a}
	client := map[*feedSource]crashClient{
		r.source(a, "", 5, ""):                rawClient(1),
		r.source(a, "axle1-left", 1, "hot"):   rawClient(1),
		r.source(a, "axle1-right", 1, "away"): rawClient(2),
		r.source(a, "axle2-left", 5, "hot"):   pahoClient(1),
		r.source(a, "brake1", 10, "stuck"):    rawClient(1),
		r.source(a, "motor1", 15, "slow"):     rawClient(1),
	}
	for _, s := range r.sources {
		s.apart = true
	}
	return r, client
}

// killedAfter has a small fleet publish to the program and kills it once all have reached a tick. The clients go on trying.
func killedAfter(t *testing.T, tick int) (*crashRun, *mortal) {
	t.Helper()
	run, client := smallFleet(time.Now().AddDate(-1, 0, 0).Truncate(time.Hour).UnixMilli())
	p := newMortal(t, "")
	p.start(t)
	p.ready(t)
	run.publish(t, p.mqtt, client, nil)
	run.reach(t, tick)
	p.kill()
	return run, p
}

// crashSteps are the places of a pass at which the program is killed in turn, each with how often it is reached before. Between them it recovers
// from the kill before.
var crashSteps = []string{
	"commit:1", "commit:2", "commit:25",
	"committed:1", "committed:2", "committed:20",
	"acknowledged:1", "acknowledged:2", "acknowledged:20",
	"published:1", "published:2", "published:3", "published:10",
	"recover:1", "recover:2", "recover:100", "recover:700",
	"migrate:1",
	"acknowledged:15", "recover:1", "published:2", "recover:500", "committed:15", "commit:15",
}

// TestCrashAtEachStep kills the program with SIGKILL at each step of a pass, of the recovery and of the migration in turn, while clients publish, and proves after each kill
// and at the end what TestCrash proves.
func TestCrashAtEachStep(t *testing.T) {
	noRace(t)
	run, client := smallFleet(time.Now().AddDate(-1, 0, 0).Truncate(time.Hour).UnixMilli())
	p := newMortal(t, "")
	p.start(t, "CIDP_TEST_KILL=migrate:1") // while the database is made
	p.died(t)
	p.start(t)
	p.ready(t)
	sub := watchCrashes(t, p.mqtt)
	run.publish(t, p.mqtt, client, nil)
	run.reach(t, 600)
	p.kill()
	for _, at := range crashSteps {
		proveStep(t, p, run, sub, at)
		if t.Failed() {
			t.Fatalf("after a kill at %s", at)
		}
	}
	p.start(t)
	run.assets[0].stop()
	run.finish(t, time.Minute)
	p.ready(t)
	story, readings, transitions := proveEnd(t, p, run, sub)
	told, repeated := sub.count()
	t.Logf("%d kills, %d readings and contexts, %d transitions; the subscriber was told %d messages, %d again", p.kills, readings, transitions, told, repeated)
	digest := p.verified(t, p.database())
	wantDigest, wantStory := uninterrupted(t, "", run)
	if digest != wantDigest {
		t.Errorf("the digest with crashes is %s, without %s", digest, wantDigest)
	}
	sameStory(t, story, wantStory)
}

// reach waits until everything before a tick was acknowledged to all sources.
func (r *crashRun) reach(t *testing.T, tick int) {
	t.Helper()
	for _, a := range r.assets {
		wait(t, fmt.Sprintf("%s to reach tick %d", a.name, tick), func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.reached(tick)
		})
	}
}

// proveStep kills the program at a step and looks into what it left. A commit that carries nothing but a session's change or marks of what was sent
// looks the same whether it was acknowledged or not, so a kill that shows nothing is repeated one commit on.
func proveStep(t *testing.T, p *mortal, run *crashRun, sub *crashSubscriber, at string) {
	t.Helper()
	step, count, _ := strings.Cut(at, ":")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	const tries = 10
	for i := range tries {
		p.start(t, fmt.Sprintf("CIDP_TEST_KILL=%s:%d", step, n+i))
		p.died(t)
		missing := judgeStep(t, p, run, sub, step, n)
		if missing == "" || t.Failed() {
			return
		}
		t.Logf("%s:%d: %s", step, n+i, missing)
	}
	t.Errorf("%s: %d kills, and none shows that it was at that step", at, tries)
}

// judgeStep looks into what the program left when it was killed at a step: what every kill must leave. It says what is missing to show that it was that step.
func judgeStep(t *testing.T, p *mortal, run *crashRun, sub *crashSubscriber, step string, n int) (missing string) {
	t.Helper()
	path := p.corpse(t)
	db := crashOpen(t, path, sqlite3.OPEN_READWRITE)
	sub.committed(t, db)
	holdsAcknowledged(t, db, run.sources)
	switch {
	case step == platform.StepCommitted && n > 1: // the first may hold nothing but what was told
		if !storedUnanswered(t, db, run.sources) {
			missing = "nothing is stored that is not acknowledged"
		}
	case step == platform.StepPublished && n > 1: // the first tells what stood before
		if left := crashAsk(t, db, `SELECT count(*) FROM outbox`); left == "0" {
			t.Errorf("%s: nothing is left to be told again", step)
		}
	case step == platform.StepRecover || step == "migrate":
		if p.log.has(saysItRuns) {
			t.Errorf("%s: the program says that it ran", step)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.verified(t, path)
	return missing
}

// storedUnanswered says whether the database holds a reading that its publisher waits for.
func storedUnanswered(t *testing.T, db *sqlite3.Conn, sources []*feedSource) bool {
	t.Helper()
	for _, s := range sources {
		stored := storedSince(t, db, s, 0)
		for _, m := range s.pending() {
			for _, ts := range m.times() {
				if _, ok := stored[ts]; ok {
					return true
				}
			}
		}
	}
	return false
}
