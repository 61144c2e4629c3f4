package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestForeignClientsDeliver sends with Debian's mosquitto_pub, 3.1.1 and 5, every QoS, one at a time and piped, and with paho, and counts with
// Debian's sqlite3, to the message.
func TestForeignClientsDeliver(t *testing.T) {
	pub := peer(t, "mosquitto_pub")
	peer(t, "sqlite3")
	p := startProgram(t, t.TempDir(), "--history-after", "0")
	begin := time.Now().Add(-2 * time.Hour).Truncate(time.Minute).UnixMilli()
	want := map[string]int{}
	const single, piped = 5, 400
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			base := []string{"-h", "127.0.0.1", "-p", p.port(t), "-V", version, "-q", qos}
			one := "one-" + version + "-q" + qos
			for i := range single {
				args := append(base, "-t", "cidp/v1/telemetry/douala/"+one+"/axle1-left", "-m", reading(begin+int64(i)*1000, i))
				if out, err := exec.Command(pub, args...).CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub %s: %v: %s", one, err, out)
				}
			}
			want[one] = single
			many := "many-" + version + "-q" + qos
			var lines strings.Builder
			for i := range piped {
				fmt.Fprintln(&lines, reading(begin+int64(i)*1000, i))
			}
			cmd := exec.Command(pub, append(base, "-t", "cidp/v1/telemetry/douala/"+many+"/axle1-left", "-l")...)
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mosquitto_pub -l %s: %v: %s", many, err, out)
			}
			want[many] = piped
		}
	}
	paho := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("paho"))
	if tok := paho.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	for qos := range byte(3) {
		asset := fmt.Sprintf("paho-q%d", qos)
		var tokens []mqtt.Token
		for i := range piped {
			tokens = append(tokens, paho.Publish("cidp/v1/telemetry/douala/"+asset+"/axle1-left", qos, false, reading(begin+int64(i)*1000, i)))
		}
		for _, tok := range tokens {
			if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
				t.Fatalf("%s: %v", asset, tok.Error())
			}
		}
		want[asset] = piped
	}
	paho.Disconnect(250)
	total := 0
	for _, n := range want {
		total += n
	}
	wait(t, "QoS 0 to arrive", func() bool { // it is not acknowledged: only the count tells
		return sqlite(t, p.database(), `SELECT count(*) FROM telemetry`) == strconv.Itoa(total)
	})
	p.stop(t)
	for asset, n := range want {
		got := sqlite(t, p.database(), `SELECT count(*) FROM telemetry JOIN sensor USING (sensor_id) JOIN asset USING (asset_id) WHERE asset = '`+asset+`'`)
		if got != strconv.Itoa(n) {
			t.Errorf("%s: sent %d, stored %s", asset, n, got)
		}
	}
	for counter, n := range map[string]int{"received": total, "stored": total} {
		if got := sqlite(t, p.database(), `SELECT sum(value) FROM ledger WHERE counter = '`+counter+`'`); got != strconv.Itoa(n) {
			t.Errorf("ledger %s: %s, want %d", counter, got, n)
		}
	}
	if got := sqlite(t, p.database(), `PRAGMA integrity_check`); got != "ok" {
		t.Errorf("integrity check: %s", got)
	}
	verified(t, p.database())
}

// TestForeignSubscribersAreTold gives a sensor a failing bearing: a subscriber that was there sees the alert events as they come, one that connects
// later gets the retained risk and alert at once, also after a restart.
func TestForeignSubscribersAreTold(t *testing.T) {
	sub := peer(t, "mosquitto_sub")
	dir := t.TempDir()
	p := startProgram(t, dir)
	live := subscribe(t, sub, p, "-t", "cidp/v1/events/#", "-t", "cidp/v1/telemetry/#", "-V", "mqttv5")
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("train"))
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	live.waitFor(t, "cidp/v1/telemetry/douala/probe/s", func() { // until the subscription stands
		c.Publish("cidp/v1/telemetry/douala/probe/s", 1, false, reading(time.Now().UnixMilli(), 0))
	})
	begin := time.Now().Add(-time.Hour).Truncate(time.Minute).UnixMilli()
	for i := range 900 { // from 45 to 135 degC in 15 minutes
		ts := begin + int64(i)*1000
		for side, temp := range map[string]float64{"left": 45 + float64(i)/10, "right": 45} {
			payload := fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25,"speed_kmh":80}`, ts, temp+float64(i%5)/20)
			if tok := c.Publish("cidp/v1/telemetry/douala/loco-7/axle1-"+side, 1, false, payload); i == 899 && !tok.WaitTimeout(10*time.Second) {
				t.Fatal("not acknowledged")
			}
		}
	}
	c.Disconnect(250)
	live.waitFor(t, `cidp/v1/events/douala/loco-7/axle1-left {"event":"alert"`, nil)
	retained := func() {
		now := subscribe(t, sub, p, "-t", "cidp/v1/risk/#", "-t", "cidp/v1/alerts/#", "-t", "cidp/v1/status")
		now.waitFor(t, "cidp/v1/risk/douala/loco-7/axle1-left {", nil)
		now.waitFor(t, "cidp/v1/risk/douala/loco-7/axle1-right {", nil)
		now.waitFor(t, "cidp/v1/alerts/douala/loco-7/axle1-left {", nil)
		now.waitFor(t, `cidp/v1/status {"state":"online"`, nil)
	}
	retained()
	p.stop(t)
	p = startProgram(t, dir)
	retained()
	p.stop(t)
	verified(t, p.database())
}

// subscriber is a running mosquitto_sub.
type subscriber struct {
	lines chan string
	seen  []string
}

func subscribe(t *testing.T, sub string, p *program, args ...string) *subscriber {
	t.Helper()
	cmd := exec.Command(sub, append([]string{"-h", "127.0.0.1", "-p", p.port(t), "-v", "-q", "1"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &subscriber{lines: make(chan string, 10_000)}
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended with the broker
		_ = cmd.Wait()
	})
	return s
}

// waitFor waits for a line that begins so, doing again what may bring it.
func (s *subscriber) waitFor(t *testing.T, prefix string, again func()) {
	t.Helper()
	for _, line := range s.seen {
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
	end := time.After(20 * time.Second)
	for {
		if again != nil {
			again()
		}
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the subscriber ended; %d lines, none beginning with %q", len(s.seen), prefix)
			}
			s.seen = append(s.seen, line)
			if strings.HasPrefix(line, prefix) {
				return
			}
		case <-time.After(100 * time.Millisecond):
		case <-end:
			t.Fatalf("no line beginning with %q among %d: %.500s", prefix, len(s.seen), strings.Join(s.seen, "\n"))
		}
	}
}
