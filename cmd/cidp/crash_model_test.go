package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestCrashDuringASwap kills the program with SIGKILL before and after the commit of a swap, and within the transaction of one that is entered at the start: after it the old or the new
// is in force, in the table, the audit and the line, and asked again it comes to be once.
func TestCrashDuringASwap(t *testing.T) {
	noRace(t)
	newer := modeltest.Small(t, 1, modeltest.Passed())
	for step, swapped := range map[string]bool{"commit:2": false, "committed:2": true, "acknowledged:2": true} { // the first is that of a reading
		t.Run(step, func(t *testing.T) {
			p := newMortal(t, "")
			older := modeltest.Default(t, modeltest.Passed()).ID()
			p.start(t) // enters the older
			p.ready(t)
			p.stop(t)
			if err := models.Put(p.data, newer); err != nil {
				t.Fatal(err)
			}
			p.start(t, "CIDP_TEST_KILL="+step)
			p.ready(t)
			ts := time.Now().Add(-3 * time.Hour).Truncate(time.Minute).UnixMilli()
			publishMinute(t, p.mqtt, ts, 1)
			activate := func() (code int, out string) {
				code, out, errOut := cidp(t, "model", "activate", newer.ID(), "--data", p.data, "--http", p.http, "--by", "ngo")
				return code, out + errOut
			}
			if code, out := activate(); code == 0 && step != "acknowledged:2" {
				t.Errorf("answered by a program that was killed: %s", out)
			}
			p.died(t)
			p.verified(t, p.database())
			want := older
			if swapped {
				want = newer.ID()
			}
			inForce := func(want string) {
				t.Helper()
				page, err := platform.ReadModels(t.Context(), p.data)
				if err != nil || page.Live != want {
					t.Errorf("%s is live, want %s: %v", page.Live, want, err)
				}
			}
			inForce(want)
			p.start(t)
			p.ready(t)
			publishMinute(t, p.mqtt, ts+60_000, 60)
			publishMinute(t, p.mqtt, ts+130_000, 1)
			if code, out := activate(); code != 0 || strings.Contains(out, "already") != swapped {
				t.Errorf("asked again: exit %d: %s", code, out)
			}
			publishMinute(t, p.mqtt, ts+180_000, 60)
			publishMinute(t, p.mqtt, ts+250_000, 1)
			p.kill()
			inForce(newer.ID())
			p.verified(t, p.database())
			rows, err := store.ReadModels(t.Context(), p.database(), model.DefaultAlertConfig())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				n := 0
				for _, a := range r.Audit {
					if a.Outcome == store.Outcome(store.ModelActive) {
						n++
					}
				}
				if n != 1 {
					t.Errorf("model %s went live %d times", r.ID, n)
				}
			}
		})
	}
}

// publishMinute sends n readings, one a second, of one sensor, and waits for their acknowledgement.
func publishMinute(t *testing.T, broker string, ts int64, n int) {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("gateway").SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	defer c.Disconnect(0)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"ts":%d,"temp_c":%.2f}`, ts+int64(i)*1000, 45+float64(i%7)/10)
	}
	tok := c.Publish(stream.TelemetryTopic("douala", "loco-7", "axle1-left"), 1, false, "["+b.String()[1:]+"]")
	if !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("not acknowledged: %v", tok.Error())
	}
}
