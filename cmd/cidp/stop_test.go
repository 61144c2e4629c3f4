package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/cmd/cidp/platform"
)

// TestStopUnderLoad sends SIGTERM to the real program while several clients publish as fast as they can: exit 0 within 10 s, and every
// acknowledged reading is in the database, stored or late.
func TestStopUnderLoad(t *testing.T) {
	p := startProgram(t, t.TempDir())
	begin := time.Now().Add(-20 * time.Hour).Truncate(time.Minute).UnixMilli()
	const clients = 4
	acked := make([][]int64, clients)
	var running sync.WaitGroup
	stop := make(chan struct{})
	for k := range clients {
		running.Go(func() { acked[k] = flood(t, p, k, begin, stop) })
	}
	p.stores(t, 20_000) // a load is what this test is about
	p.stop(t)
	close(stop)
	running.Wait()
	db, err := sqlite3.OpenFlags(p.database(), sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	total := 0
	for k, want := range acked {
		stored := map[int64]bool{}
		s, _, err := db.Prepare(`SELECT ts_ms FROM telemetry JOIN sensor USING (sensor_id) WHERE sensor = 's` + strconv.Itoa(k) + `'`)
		if err != nil {
			t.Fatal(err)
		}
		for s.Step() {
			stored[s.ColumnInt64(0)] = true
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, ts := range want {
			if !stored[ts] {
				t.Errorf("client %d: the reading at %d was acknowledged and is not in the database", k, ts)
			}
		}
		total += len(want)
	}
	if total < 1000 {
		t.Errorf("only %d readings were acknowledged: that is no load", total)
	}
	t.Logf("%d readings acknowledged before the stop", total)
	verified(t, p.database())
}

// flood publishes without waiting and gives the event times that were acknowledged.
func flood(t *testing.T, p *program, k int, begin int64, stop <-chan struct{}) (acked []int64) {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID(fmt.Sprintf("flood-%d", k)).
		SetAutoReconnect(false).SetCleanSession(false).SetWriteTimeout(time.Second))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Error(tok.Error())
		return nil
	}
	type sent struct {
		ts  int64
		tok mqtt.Token
	}
	var all []sent
	window := make(chan struct{}, 200)
	topic := fmt.Sprintf("cidp/v1/telemetry/douala/loco-1/s%d", k)
	for i := 0; c.IsConnectionOpen(); i++ {
		select {
		case window <- struct{}{}:
		case <-stop:
			continue // the connection is about to close
		}
		ts := begin + int64(i)*1000
		tok := c.Publish(topic, 1, false, reading(ts, i))
		all = append(all, sent{ts, tok})
		go func() {
			<-tok.Done()
			<-window
		}()
	}
	for _, s := range all {
		select {
		case <-s.tok.Done():
			if s.tok.Error() == nil {
				acked = append(acked, s.ts)
			}
		default:
		}
	}
	return acked
}

func TestSecondProcessIsRefused(t *testing.T) {
	p := startProgram(t, t.TempDir())
	code, _, errOut := cidp(t, "run", "--data", p.data, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0")
	if want := strconv.Itoa(p.cmd.Process.Pid); code != 1 || !strings.Contains(errOut, want) || !strings.Contains(errOut, filepath.Base(p.data)) {
		t.Errorf("exit %d, %q; want the folder and process %s named", code, errOut, want)
	}
	p.stop(t)
}

// TestStopWhileStarting sends the signal while the recovery would still take long.
func TestStopWhileStarting(t *testing.T) {
	ctx, signal := context.WithCancel(t.Context())
	signal()
	recovering := make(chan struct{})
	defer close(recovering)
	_, err := start(ctx, func() (*platform.Platform, error) {
		<-recovering
		return nil, nil
	})
	if !errors.Is(err, errStopped) {
		t.Errorf("error %v", err)
	}
}

// TestDemoLeavesWhatRunHasUsed runs the platform in a demo's folder, as a newcomer does: the next demo must not replace what was stored there.
func TestDemoLeavesWhatRunHasUsed(t *testing.T) {
	dir := t.TempDir()
	if err := freshFolder(dir, "demo"); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, dir)
	p.stop(t)
	if err := freshFolder(dir, "demo"); err == nil || !strings.Contains(err.Error(), "cidp run has used") {
		t.Errorf("the demo would replace the database: %v", err)
	}
}
