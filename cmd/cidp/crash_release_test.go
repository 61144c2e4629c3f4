package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestCrashDuringARelease kills the program with SIGKILL before and after the commit of a release: asked again after the restart, the evidence has gone back once.
func TestCrashDuringARelease(t *testing.T) {
	noRace(t)
	// The first commit after the start records that --too-old is another.
	for step, again := range map[string]string{"commit:2": "m1: released: ", "committed:2": "m1: already released by ngo at "} {
		t.Run(step, func(t *testing.T) {
			p := newMortal(t, "")
			args := p.args
			p.args = append(args[:len(args):len(args)], "--too-old", "1h")
			p.start(t)
			p.ready(t)
			c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("gateway").SetAutoReconnect(false))
			if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
				t.Fatal(tok.Error())
			}
			ts := time.Now().Add(-3 * time.Hour).UnixMilli()
			for i := range int64(3) {
				if tok := c.Publish(stream.TelemetryTopic("douala", "loco-7", "axle1-left"), 1, false, fmt.Sprintf(`{"ts":%d,"temp_c":40}`, ts+i*1000)); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
					t.Fatal(tok.Error())
				}
			}
			c.Disconnect(0)
			p.kill()
			p.args = args
			p.start(t, "CIDP_TEST_KILL="+step)
			p.ready(t)
			release := func() (code int, out string) {
				code, out, errOut := cidp(t, "quarantine", "release", "m1", "m2", "m3", "--http", p.http, "--by", "ngo")
				return code, out + errOut
			}
			if code, out := release(); code == 0 {
				t.Errorf("answered by a program that was killed: %s", out)
			}
			p.died(t)
			p.verified(t, p.database())
			p.start(t)
			p.ready(t)
			if code, out := release(); code != 0 || strings.Count(out, again[2:]) != 3 || !strings.Contains(out, again) {
				t.Errorf("exit %d: %s", code, out)
			}
			p.kill()
			p.verified(t, p.database())
			if code, out, _ := cidp(t, "quarantine", "list", "--data", p.data, "--state", "released"); code != 0 || !strings.Contains(out, "3 messages (too_old 3)") {
				t.Errorf("exit %d: %s", code, out)
			}
			report, err := store.Verify(t.Context(), p.database(), nil)
			if err != nil || report.Counts.Readings != 3 {
				t.Errorf("%v: %+v", err, report)
			}
		})
	}
}
