package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// crashRun is a set of assets whose clients publish to one program.
type crashRun struct {
	assets  []*feedAsset
	sources []*feedSource
	bell    crashBell
	clients sync.WaitGroup
	cancel  context.CancelFunc
}

// source adds a source to an asset.
func (r *crashRun) source(a *feedAsset, name string, per int, fault string) *feedSource {
	s := &feedSource{asset: a, index: len(r.sources), name: name, per: per, fault: fault}
	a.sources = append(a.sources, s)
	r.sources = append(r.sources, s)
	return s
}

// publish starts the clients: that of each source, or the one that is left out.
func (r *crashRun) publish(t *testing.T, addr string, client map[*feedSource]crashClient, other crashClient) {
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	for _, s := range r.sources {
		run := client[s]
		if run == nil {
			run = other
		}
		r.clients.Go(func() { run(ctx, t, addr, s) })
	}
	t.Cleanup(func() {
		cancel()
		r.clients.Wait()
	})
}

// finish waits until everything up to the assets' end is acknowledged.
func (r *crashRun) finish(t *testing.T, within time.Duration) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.clients.Wait()
	}()
	select {
	case <-done:
	case <-time.After(within):
		for _, s := range r.sources {
			t.Logf("%s: %d messages are not acknowledged, floor %d of %d", s.topic(), len(s.pending()), s.floor(), s.asset.end/s.per)
		}
		t.Fatalf("not everything was acknowledged within %s", within)
	}
}

// foreign gives the client of a source: mosquitto's, or a raw one where it is not installed.
func foreign(t *testing.T, version string, qos int, bell *crashBell, respawn bool) crashClient {
	if _, err := exec.LookPath("mosquitto_pub"); err != nil && os.Getenv("CIDP_REQUIRE_PEERS") != "1" {
		t.Log("mosquitto_pub is not installed: a raw client takes its place")
		return rawClient(byte(qos))
	}
	return mosquittoClient(t, version, qos, bell, respawn)
}

// fleetOfClients lays out four assets: each sensor and each context comes over a connection of its own, from a client of another kind.
func fleetOfClients(t *testing.T, begin int64) (*crashRun, map[*feedSource]crashClient) {
	r := &crashRun{}
	loco, coach, wagon := newFeedAsset("loco-1", begin), newFeedAsset("coach-2", begin), newFeedAsset("wagon-3", begin)
	shunter := newFeedAsset("shunter-4", begin)
	r.assets = []*feedAsset{loco, coach, wagon, shunter}
	client := map[*feedSource]crashClient{}
	for _, c := range []struct {
		asset *feedAsset
		name  string
		per   int
		fault string
		run   crashClient
	}{
		{loco, "", 5, "", rawClient(1)},
		{loco, "axle1-left", 1, "hot", rawClient(1)},
		{loco, "axle1-right", 1, "away", rawClient(2)},
		{loco, "axle2-left", 1, "", pahoClient(1)},
		{loco, "axle2-right", 30, "stuck", paho5Client(1)},
		{loco, "motor1-drive", 1, "", foreign(t, "mqttv311", 1, &r.bell, true)},
		{coach, "", 5, "", pahoClient(1)},
		{coach, "axle1-left", 5, "hot", rawClient(1)},
		{coach, "axle1-right", 1, "hot", pahoClient(2)},
		{coach, "axle2-left", 1, "gaps", foreign(t, "mqttv5", 1, &r.bell, true)},
		{coach, "axle2-right", 30, "", paho5Client(2)},
		{coach, "transformer", 15, "slow", rawClient(1)},
		{wagon, "axle1-left", 1, "hot", foreign(t, "mqttv311", 1, &r.bell, false)},
		{wagon, "axle1-right", 5, "", foreign(t, "mqttv5", 2, &r.bell, false)},
		{shunter, "transformer", 5, "gaps", paho5Client(1)}, // slowly: it has no mates to wait for
	} {
		s := r.source(c.asset, c.name, c.per, c.fault)
		s.apart, s.lates = c.asset == loco, c.asset == shunter
		client[s] = c.run
	}
	return r, client
}

// crashCount is how often the program is killed.
func crashCount(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("CIDP_CRASHES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("CIDP_CRASHES is %q: it must be a number of crashes", text)
		}
		return n
	}
	if testing.Short() {
		return 10
	}
	return 50
}

// crashSeed gives the seed of this run, CIDP_SEED or another one each time, and names it.
func crashSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CIDP_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CIDP_SEED is %q: it must be a number", text)
		}
		seed = n
	}
	t.Logf("CIDP_SEED=%d draws the same instants; what falls into them is another matter", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// instant draws how long the program lives: every fourth time from its start on, no longer than its recovery may take, else from when it says that it runs, however slow the machine is.
func instant(draw *rand.Rand) (alive time.Duration, running bool) {
	switch draw.IntN(8) {
	case 0:
		return time.Duration(draw.IntN(60)) * time.Millisecond, false
	case 1:
		return time.Duration(draw.IntN(300)) * time.Millisecond, false
	}
	return time.Duration(50+draw.IntN(700)) * time.Millisecond, true
}

// TestCrash kills the program with SIGKILL at random instants while foreign clients publish at full speed and send again what was not acknowledged, and proves by
// their logs that nothing acknowledged is missing, nothing is stored twice, and windows, predictions and alerts are those of a run without a crash.
func TestCrash(t *testing.T) {
	notBuiltForRaces(t)
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	crashes, draw := crashCount(t), crashSeed(t)
	run, client := fleetOfClients(t, time.Now().AddDate(-1, 0, 0).Truncate(time.Hour).UnixMilli())
	p := newMortal(t, path)
	p.start(t)
	p.ready(t)
	sub, second := watchCrashes(t, p.mqtt), watchWithMosquitto(t, p.mqtt)
	began := time.Now()
	run.publish(t, p.mqtt, client, nil)
	acknowledged := 0
	for k := 1; k <= crashes; k++ {
		alive, running := instant(draw)
		if running {
			p.runs(t)
		}
		p.livesFor(t, alive)
		if k == crashes/2 {
			p.ready(t)
			p.verified(t, p.database())
		}
		if draw.IntN(8) == 0 { // while it stops in order
			_ = p.running.Process.Signal(syscall.SIGTERM)
			time.Sleep(time.Duration(draw.IntN(40)) * time.Millisecond)
			p.stopping++
		}
		p.kill()
		run.bell.ring()
		if k <= 10 || k%6 == 0 { // later it takes longer: there is more
			acknowledged += proveCorpse(t, p, run, sub, second)
		}
		if t.Failed() {
			t.Fatalf("after kill %d, which came %s after the start (or, %t, after it said that it runs)", k, alive, running)
		}
		p.start(t, "CIDP_COMMIT_EVERY="+[]string{"0s", "1ms", "10ms", "10ms", "50ms"}[draw.IntN(5)])
	}
	for _, a := range run.assets {
		a.stop()
	}
	run.finish(t, time.Minute)
	killing := time.Since(began)
	p.ready(t)
	story, readings, transitions := proveEnd(t, p, run, sub, second)
	for _, s := range run.sources {
		acknowledged += len(s.taken())
	}
	digest := p.verified(t, p.database())
	told, repeated := sub.count()
	told5, repeated5 := second.count()
	t.Logf("%d kills, %d of them before the program said that it runs, %d while it stopped, %d starts in %s; %d messages acknowledged, %d readings and contexts; %d transitions; the subscribers were told %d and %d messages, %d and %d again",
		p.kills, p.inRecovery, p.stopping, p.starts, killing.Round(time.Millisecond), acknowledged, readings, transitions, told, told5, repeated, repeated5)
	if readings < 300*crashes || transitions < 4 || p.kills > 20 && p.inRecovery == 0 {
		t.Error("that was no test: too few readings, transitions, or kills during a recovery")
	}
	again := time.Now()
	wantDigest, wantStory := uninterrupted(t, path, run)
	t.Logf("the uninterrupted run took %s", time.Since(again).Round(time.Millisecond))
	if digest != wantDigest {
		t.Errorf("the digest with crashes is %s, without %s", digest, wantDigest)
	}
	sameStory(t, story, wantStory)
}

// proveCorpse looks into what a killed program left: all that was acknowledged is there, and nothing was told that is not.
func proveCorpse(t *testing.T, p *mortal, run *crashRun, subs ...*crashSubscriber) (messages int) {
	t.Helper()
	db := crashOpen(t, p.corpse(t), sqlite3.OPEN_READWRITE)
	defer db.Close()
	for _, sub := range subs {
		sub.committed(t, db)
	}
	return holdsAcknowledged(t, db, run.sources)
}

// proveEnd proves a run whose clients are done, kills the program once more, asks the next one to end, and gives the alerts, what was stored and how many transitions
// there are.
func proveEnd(t *testing.T, p *mortal, run *crashRun, subs ...*crashSubscriber) (story []string, readings, transitions int) {
	t.Helper()
	db := crashOpen(t, p.database(), sqlite3.OPEN_READONLY)
	wait(t, "the outbox to be empty", func() bool { return crashAsk(t, db, `SELECT count(*) FROM outbox`) == "0" })
	for _, sub := range subs {
		transitions = max(transitions, sub.complete(t, db))
		sub.committed(t, db)
	}
	if len(subs) > 0 { // a run with crashes
		p.kill()
		p.start(t)
		p.ready(t)
	}
	retained(t, p.mqtt, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	db = crashOpen(t, p.database(), sqlite3.OPEN_READWRITE)
	defer db.Close()
	readings = whole(t, db, run.assets)
	return alertStory(t, db), readings, transitions
}

// uninterrupted publishes the same readings to the same program without a crash, and gives digest and alerts.
func uninterrupted(t *testing.T, path string, crashed *crashRun) (digest string, story []string) {
	t.Helper()
	p, run := again(t, path, crashed)
	story, _, _ = proveEnd(t, p, run)
	return p.verified(t, p.database()), story
}

// again publishes what a run has published to a program of its own, from clients of one kind, and waits until everything is acknowledged.
func again(t *testing.T, path string, crashed *crashRun) (*mortal, *crashRun) {
	t.Helper()
	run := &crashRun{}
	for _, a := range crashed.assets {
		b := newFeedAsset(a.name, a.begin)
		b.end = a.end
		run.assets = append(run.assets, b)
		for _, s := range a.sources {
			own := run.source(b, s.name, s.per, s.fault)
			own.apart, own.lates = s.apart, s.lates
		}
	}
	p := newMortal(t, path)
	p.start(t)
	p.ready(t)
	run.publish(t, p.mqtt, nil, rawClient(1))
	run.finish(t, 20*time.Minute) // a longer run has more
	return p, run
}
