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
	p.died(t, 20*time.Second)
	p.start(t)
	p.ready(t)
	sub := watchCrashes(t, p.mqtt)
	run.publish(t, p.mqtt, client, nil)
	run.reach(t, 600)
	p.kill()
	for _, at := range crashSteps {
		p.start(t, "CIDP_TEST_KILL="+at)
		p.died(t, 20*time.Second)
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

// proveStep looks into what the program left when it was killed at a step: what every kill must leave, and what shows that it was that step.
func proveStep(t *testing.T, p *mortal, run *crashRun, sub *crashSubscriber, at string) {
	t.Helper()
	path := p.corpse(t)
	db := crashOpen(t, path, sqlite3.OPEN_READWRITE)
	sub.committed(t, db)
	holdsAcknowledged(t, db, run.sources)
	switch step, n, _ := strings.Cut(at, ":"); {
	case step == "committed" && n != "1": // the first may hold nothing but what was told
		inFlight := 0
		for _, s := range run.sources {
			stored := storedSince(t, db, s, 0)
			for _, m := range s.pending() {
				for _, ts := range m.times() {
					if _, ok := stored[ts]; ok {
						inFlight++
					}
				}
			}
		}
		if inFlight == 0 {
			t.Errorf("%s: nothing is stored that is not acknowledged", at)
		}
	case step == "published" && n != "1": // the first tells what stood before
		if left := crashAsk(t, db, `SELECT count(*) FROM outbox`); left == "0" {
			t.Errorf("%s: nothing is left to be told again", at)
		}
	case step == "recover" || step == "migrate":
		if p.log.has("cidp is running") {
			t.Errorf("%s: the program says that it ran", at)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.verified(t, path)
}
