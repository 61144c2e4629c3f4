package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/stream"
)

// holdWriter makes another connection hold the write lock, and gives what lets go of it.
func holdWriter(t *testing.T, dir string) (release func()) {
	t.Helper()
	c, err := sqlite3.Open(filepath.Join(dir, DatabaseName))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() {
		if err := c.Exec(`ROLLBACK`); err != nil {
			t.Error(err)
		}
	}
}

// until polls what nothing can be waited for on.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited a minute for %s", what)
}

func stopWithin(p *Platform, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return p.Stop(ctx)
}

const sensorOne = "cidp/v1/telemetry/douala/loco-1/axle1-left"

func acked(tok mqtt.Token) bool {
	select {
	case <-tok.Done():
		return tok.Error() == nil
	default:
		return false
	}
}

func TestStopWhileCommitsFail(t *testing.T) {
	dir := t.TempDir()
	p, _ := startLoose(t, dir, nil)
	release := holdWriter(t, dir)
	tok := client(t, p, "stuck").Publish(sensorOne, 1, false, series(base(), 200, steady))
	until(t, "the status to be degraded", func() bool { ok, _ := p.status.Ready(); return !ok })
	if body := get(t, p, "/readyz"); !strings.Contains(body, "locked") {
		t.Errorf("/readyz says %s", body)
	}
	begin := time.Now()
	err := stopWithin(p, 4*time.Second)
	if took := time.Since(begin); took > 7*time.Second {
		t.Errorf("stopped after %s", took)
	}
	if err == nil || !strings.Contains(err.Error(), "could not be committed") || !strings.Contains(err.Error(), "locked") || strings.Contains(err.Error(), "context") {
		t.Errorf("error %v", err)
	}
	if acked(tok) {
		t.Error("acknowledged without a commit")
	}
	release()
	if n := ask(t, dir, `SELECT count(*) FROM telemetry`); n != 0 {
		t.Errorf("%d readings stored", n)
	}
}

// TestCommitThatSucceedsAfterTheCut lets the commit under way succeed when the line has been cut already.
func TestCommitThatSucceedsAfterTheCut(t *testing.T) {
	for range 6 {
		dir := t.TempDir()
		p, _ := startLoose(t, dir, nil)
		release := holdWriter(t, dir)
		client(t, p, "stuck").Publish(sensorOne, 1, false, series(base(), 200, steady))
		until(t, "the message to be taken", func() bool { s := p.broker.Stats(); return s.Received[1] == 1 && s.Queued == 0 })
		until(t, "its commit to be tried", func() bool { return len(p.line.passes) == 0 })
		p.cut()
		release()
		<-p.ended
		_ = stopWithin(p, 4*time.Second) // what it says is another test's
		verify(t, dir)
	}
}

// TestRemovedDatabaseIsNotAcknowledged takes away the database, or one of the files without which its commits are on no disk.
func TestRemovedDatabaseIsNotAcknowledged(t *testing.T) {
	for _, what := range []string{"", DatabaseName, DatabaseName + "-wal", DatabaseName + "-shm"} {
		t.Run("remove "+what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			p, _ := startLoose(t, dir, nil)
			c := client(t, p, "removed")
			publish(t, c, sensorOne, series(base(), 5, steady))
			if err := os.RemoveAll(filepath.Join(dir, what)); err != nil {
				t.Fatal(err)
			}
			tok := c.Publish(sensorOne, 1, false, series(base()+5000, 5, steady))
			select {
			case <-p.Ended():
			case <-time.After(10 * time.Second):
				t.Fatal("the line goes on without its database")
			}
			if ok, reasons := p.status.Ready(); ok || !strings.Contains(strings.Join(reasons, " "), "removed or replaced") {
				t.Errorf("ready %v, reasons %q", ok, reasons)
			}
			if err := stopWithin(p, 4*time.Second); err == nil || !strings.Contains(err.Error(), "removed or replaced") {
				t.Errorf("error %v", err)
			}
			if acked(tok) {
				t.Error("acknowledged, and in no file")
			}
		})
	}
}

func TestNotReadyWhileStarting(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, dir, nil)
	stop()
	release := holdWriter(t, dir)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 2)
	go func() {
		defer close(said)
		defer release()
		ask := http.Client{Timeout: 500 * time.Millisecond}
		for _, path := range []string{"/readyz", "/healthz"} {
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				res, err := ask.Get("http://" + addr + path)
				if err == nil {
					_ = res.Body.Close()
					said <- fmt.Sprint(path, " ", res.StatusCode)
					break
				}
				if time.Now().After(end) {
					said <- err.Error()
					return
				}
			}
		}
	}()
	start(t, dir, func(c *Config) { c.HTTP = addr })
	for _, want := range []string{"/readyz 503", "/healthz 200"} {
		if got := <-said; got != want {
			t.Errorf("while starting: %s, want %s", got, want)
		}
	}
}

func TestPassIsBoundedInBytes(t *testing.T) {
	l := &line{filling: newPass(), began: time.Now()}
	var err error
	if l.windower, err = stream.NewWindower(stream.DefaultConfig(), nil, l.judge); err != nil {
		t.Fatal(err)
	}
	l.waiting = make([]broker.Message, 64)
	for i := range l.waiting {
		l.waiting[i] = broker.Message{Topic: "plant/boiler/7", Payload: make([]byte, 256<<10)}
	}
	if err := l.take(); err != nil {
		t.Fatal(err)
	}
	if len(l.filling.acks) != 32 || len(l.waiting) != 32 {
		t.Errorf("the pass holds %d messages of 256 KiB, %d wait", len(l.filling.acks), len(l.waiting))
	}
	if wait := l.due(false); wait != 0 {
		t.Errorf("a full pass waits %s", wait)
	}
}

// TestStopLeavesWhatIsTooMuch stops while more is under way than can be committed in time: that is left, unacknowledged, and the stop is in order.
func TestStopLeavesWhatIsTooMuch(t *testing.T) {
	dir := t.TempDir()
	p, _ := startLoose(t, dir, nil)
	release := holdWriter(t, dir)
	c := client(t, p, "much")
	tokens := make([]mqtt.Token, 100)
	for i := range tokens {
		tokens[i] = c.Publish("plant/boiler/7", 1, false, strings.Repeat(" ", 250<<10))
	}
	until(t, "all to be taken", func() bool { return p.broker.Stats().Received[1] == int64(len(tokens)) })
	go func() {
		<-p.line.enough
		release()
	}()
	if err := stopWithin(p, 6*time.Second); err != nil {
		t.Errorf("stop: %v", err)
	}
	n := 0
	for _, tok := range tokens {
		if acked(tok) {
			n++
		}
	}
	stored := ask(t, dir, `SELECT value FROM ledger WHERE counter = 'refused'`)
	if stored == 0 || stored > 70 || int64(n) > stored {
		t.Errorf("%d acknowledged, %d in the database", n, stored)
	}
	verify(t, dir)
}

// TestHeldBackPublishersAreNotSilent fills a pass while commits fail, for longer than a member may be silent: its window waits for what it sent meanwhile.
func TestHeldBackPublishersAreNotSilent(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, func(c *Config) { c.Stream.Idle = time.Second })
	c := client(t, p, "held")
	ts := base()
	publish(t, c, "cidp/v1/telemetry/douala/loco-1/axle1-right", series(ts, 90, steady))
	for i := range 58 { // one by one: who sends arrays is waited for longer
		publish(t, c, sensorOne, series(ts+int64(i)*1000, 1, func(int) float64 { return steady(i) }))
	}
	release := holdWriter(t, dir)
	for range 80 {
		c.Publish("plant/boiler/7", 1, false, strings.Repeat(" ", 250<<10))
	}
	tok := c.Publish(sensorOne, 1, false, series(ts+58_000, 62, func(i int) float64 { return steady(58 + i) }))
	until(t, "the pass to be full", func() bool { return p.broker.Stats().Received[1] == 140 })
	time.Sleep(5 * time.Second) // the passing of time is what this test is about: longer than idle and three periods
	release()
	if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("not acknowledged: %v", tok.Error())
	}
	if n := ask(t, dir, `SELECT COALESCE(max(value), 0) FROM ledger WHERE counter = 'late'`); n != 0 {
		t.Errorf("%d readings are late: their sender was held back, not silent", n)
	}
	stop()
	verify(t, dir)
}

func TestStatusIsToldInOrder(t *testing.T) {
	var told []Status
	s := &status{reasons: map[string]string{}}
	s.changed = func(payload []byte) {
		var st Status
		if err := json.Unmarshal(payload, &st); err != nil {
			t.Error(err)
		}
		told = append(told, st) // the race detector sees it when two are told at once
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 500 {
				s.degrade(fmt.Sprint(i), "x")
				s.heal(fmt.Sprint(i))
			}
		})
	}
	all.Wait()
	if len(told) != 4000 || len(told[len(told)-1].Reasons) != 0 {
		t.Fatalf("told %d times, at last %v", len(told), told[len(told)-1])
	}
	for i := 1; i < len(told); i++ {
		if d := len(told[i].Reasons) - len(told[i-1].Reasons); d != 1 && d != -1 {
			t.Fatalf("change %d: %v after %v", i, told[i].Reasons, told[i-1].Reasons)
		}
	}
}
