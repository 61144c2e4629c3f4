package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/stream"
)

// restartWithin is how long a start may take from the process's first moment to the first PUBACK, with ten million readings and 5,000 open windows (issue 3).
const restartWithin = 5 * time.Second

// TestLongRestart starts the program on ten million readings with 5,000 open windows and more, wherever those lie, and measures how long it takes until a reading that came
// as soon as there was somebody to take it is acknowledged.
func TestLongRestart(t *testing.T) {
	long(t)
	testRestart(t, restartPlan{assets: 500, minutes: 32, backlog: 50, slow: 30, left: 20}, restartWithin)
}

// TestRestart is the same on a hundredth of that, and asserts no time.
func TestRestart(t *testing.T) {
	testRestart(t, restartPlan{assets: 20, minutes: 8, backlog: 3, slow: 2, left: 2}, 0)
}

// restartPlan says how much there is.
type restartPlan struct {
	assets  int // whose ten sensors send every second, and an eleventh every hour, but for the last two hours
	minutes int // how long they did, a week ago
	backlog int // assets that send their past, each another
	slow    int // assets whose sensors send every hour
	left    int // assets that sent three readings and no more
}

const (
	minuteMs = int64(60_000)
	hourMs   = 60 * minuteMs
	weekMs   = 7 * 24 * hourMs
)

// onward is how an asset's ten sensors, or its slow one, go on after the restart: with count readings from a time on, each step ms. Then their window from start on has n.
type onward struct {
	asset             string
	slow              bool
	from, step, count int64
	start             int64
	n                 int
}

// filling is a warehouse on its way to the placements.
type filling struct {
	*filler
	plan   restartPlan
	ended  int64 // the whole minute about which the fleet stopped a week ago, ms
	now    int64 // and now
	begins int64 // when it began, a week ago
}

func assetName(kind string, i int) string { return fmt.Sprintf("%s-%04d", kind, i) }

func fillTopic(asset string, sensor int) string {
	return stream.TelemetryTopic("douala", asset, fmt.Sprintf("axle%d-%s", sensor/2+1, []string{"left", "right"}[sensor%2]))
}

func slowTopic(asset string) string { return stream.TelemetryTopic("douala", asset, "transformer") }

// slowly sends four days of one reading an hour of a sensor on each asset of the fleet, and tells how one goes on.
func (f *filling) slowly() onward {
	last := f.begins - f.begins%hourMs
	for ts := last - 96*hourMs; ts <= last; ts += hourMs {
		for a := range f.plan.assets {
			f.reading(slowTopic(assetName("loco", a)), ts)
		}
	}
	return onward{asset: assetName("loco", 3), slow: true, from: last + hourMs, step: hourMs, count: 8, start: last - last%(6*hourMs), n: 6}
}

// fleet sends every second of [from, to), and every asset a context every ten.
func (f *filling) fleet(from, to int64) {
	for ts := from; ts < to; ts += 1000 {
		for a := range f.plan.assets {
			name := assetName("loco", a)
			if ts/1000%10 == int64(a%10) {
				f.context(stream.ContextTopic("douala", name), ts)
			}
			for s := range 10 {
				f.reading(fillTopic(name, s), ts)
			}
		}
	}
}

// others sends a number of readings of an asset's ten sensors.
func (f *filling) others(asset string, from, step, count int64) {
	for i := range count {
		for s := range 10 {
			f.reading(fillTopic(asset, s), from+i*step)
		}
	}
}

// atTheEnd is the fleet that stopped in the middle of a window.
func atTheEnd(asset int, minute int64) onward {
	return onward{asset: assetName("loco", asset), from: minute + 9000, step: 1000, count: 80, start: minute - minuteMs, n: 60}
}

// pasts lets each backlog asset send a minute of its past, another for each: half of them all at once, the others a second in a commit.
func (f *filling) pasts() (next []onward) {
	for second := range int64(65) {
		for i := range f.plan.backlog {
			name, at := assetName("backlog", i), f.begins+int64(i*f.plan.minutes/f.plan.backlog)*minuteMs
			switch {
			case i%2 == 1:
				f.others(name, at+second*1000, 1000, 1)
			case second == 0:
				f.others(name, at, 1000, 65)
			}
			if second == 0 && i < 2 {
				next = append(next, onward{asset: name, from: at + 65_000, step: 1000, count: 80, start: at, n: 60})
			}
		}
		f.commit()
	}
	return next
}

// farBehind adds assets whose windows are open somewhere in the week-old past, or before it, and tells how one of each kind goes on.
func (f *filling) farBehind() (next []onward) {
	next = f.pasts()
	for i := range f.plan.slow {
		name, end := assetName("slow", i), f.ended
		if i%2 == 1 {
			end = f.now
		}
		end -= end%(6*hourMs) + 12*hourMs // five readings of six are open, over five hours
		f.others(name, end-90*hourMs, hourMs, 95)
		if i < 2 {
			next = append(next, onward{asset: name, from: end + 5*hourMs, step: hourMs, count: 3, start: end, n: 6})
		}
	}
	for i := range f.plan.left {
		name, at := assetName("left", i), f.begins+int64(i%f.plan.minutes)*minuteMs
		if i%2 == 1 {
			at -= 2 * weekMs
		}
		f.others(name, at, 1000, 3)
		if i < 2 {
			next = append(next, onward{asset: name, from: at + 3000, step: 1000, count: 80, start: at, n: 60})
		}
	}
	return next
}

func testRestart(t *testing.T, plan restartPlan, within time.Duration) {
	now := time.Now().Truncate(time.Minute).UnixMilli()
	f := &filling{filler: newFiller(t, t.TempDir()), plan: plan, now: now, ended: now - weekMs, begins: now - weekMs - int64(plan.minutes)*minuteMs}
	began := time.Now()
	slow := f.slowly()
	f.fleet(f.begins, f.ended+9000)
	t.Logf("filled with %d readings in %s", f.total, time.Since(began).Round(time.Millisecond))
	for _, place := range []struct {
		name string
		fill func() []onward
	}{
		{"all at the end, a week ago", func() []onward { return []onward{slow, atTheEnd(1, f.ended)} }},
		{"all at the end, now", func() []onward {
			f.fleet(f.now-minuteMs, f.now+9000)
			return []onward{slow, atTheEnd(1, f.now)}
		}},
		{"and some far behind", func() []onward { return append(f.farBehind(), slow, atTheEnd(1, f.now)) }},
	} {
		next := place.fill()
		t.Run(place.name, func(t *testing.T) {
			data := t.TempDir()
			f.t = t
			f.leave(data)
			restartOn(t, data, f.now, next, within)
		})
		f.t = t
	}
}

// restartOn starts the program on what a crash left and kills it after the first acknowledgement, twice, starts it again, sends what comes next, and holds the windows
// that were open against what was sent before and after.
func restartOn(t *testing.T, data string, now int64, next []onward, within time.Duration) {
	path := data + "/" + platform.DatabaseName
	t.Logf("%s readings, %s open windows, %d MB and %d MB of log", ask(t, path, `SELECT count(*) FROM telemetry`), ask(t, path, `SELECT count(*) FROM open_window`),
		size(path)>>20, size(path+"-wal")>>20)
	for i, what := range []string{"after a crash", "after kill -9", "once more"} {
		p := launch(t, data)
		c := p.dial(t)
		c.publish(t, fillTopic(assetName("loco", 0), 0), fmt.Sprintf(`{"ts":%d,"temp_c":45.5}`, now+20_000+int64(i)*1000))
		took := time.Since(p.began)
		t.Logf("%s: %s from the start to the connection, %s to the PUBACK", what, p.open.Round(time.Millisecond), took.Round(time.Millisecond))
		if within > 0 && took > within {
			t.Errorf("%s: the first PUBACK took %s, and may take %s", what, took, within)
		}
		if i < 2 {
			p.kill(t)
			spent := p.cmd.ProcessState
			t.Logf("%s: %s of CPU until then", what, (spent.UserTime() + spent.SystemTime()).Round(time.Millisecond))
			continue
		}
		for _, n := range next {
			for _, topic := range n.topics() {
				c.publish(t, topic, n.payload())
			}
		}
		p.stop(t)
	}
	if code, out, errOut := cidp(t, "verify", path); code != 0 {
		t.Errorf("verify: exit %d\n%s%s", code, out, errOut)
	}
	for _, n := range next {
		got := ask(t, path, fmt.Sprintf(`SELECT count(*) || ' windows of ' || min(n) || ' to ' || max(n) FROM telemetry_window JOIN sensor USING (sensor_id) JOIN asset USING (asset_id)
			WHERE asset = '%s' AND start_ms = %d AND (sensor = 'transformer') = %t`, n.asset, n.start, n.slow))
		if want := fmt.Sprintf("%d windows of %d to %d", len(n.topics()), n.n, n.n); got != want {
			t.Errorf("%s from %d on: %s, want %s", n.asset, n.start, got, want)
		}
	}
}

func (n onward) topics() (topics []string) {
	if n.slow {
		return []string{slowTopic(n.asset)}
	}
	for s := range 10 {
		topics = append(topics, fillTopic(n.asset, s))
	}
	return topics
}

// payload is an array of readings.
func (n onward) payload() string {
	var b strings.Builder
	for i := range n.count {
		ts := n.from + i*n.step
		fmt.Fprintf(&b, `,{"ts":%d,"temp_c":%.3f}`, ts, fillTemp(ts).Float())
	}
	return "[" + b.String()[1:] + "]"
}

func size(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// ask gives the one value of a query.
func ask(t *testing.T, path, query string) (v string) {
	t.Helper()
	db, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, _, err := db.Prepare(query)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Step() {
		v = s.ColumnText(0)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

// restarted is the program as a child that nobody waited for.
type restarted struct {
	*program
	began time.Time
	open  time.Duration // from there until a connection was accepted
}

func launch(t *testing.T, data string) *restarted {
	t.Helper()
	began := time.Now()
	return &restarted{program: launched(t, os.Args[0], data), began: began}
}

func (p *restarted) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// wire is a bare MQTT 3.1.1 connection with one publication under way.
type wire struct {
	net.Conn
	in *bufio.Reader
	id uint16
}

// dial knocks until somebody opens, and says who is there.
func (p *restarted) dial(t *testing.T) *wire {
	t.Helper()
	c := &wire{}
	for {
		var err error
		if c.Conn, err = net.Dial("tcp", p.mqtt); err == nil {
			break
		}
		if time.Since(p.began) > 30*time.Second {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // nothing to wait on: another process listens when it does
	}
	c.in = bufio.NewReader(c.Conn)
	p.open = time.Since(p.began)
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.send(t, 0x10, "\x00\x04MQTT\x04\x02\x00\x3c\x00\x07restart")
	c.expect(t, "\x20\x02\x00\x00")
	return c
}

// publish sends at QoS 1 and waits for the PUBACK.
func (c *wire) publish(t *testing.T, topic, payload string) {
	t.Helper()
	c.id++
	id := string(binary.BigEndian.AppendUint16(nil, c.id))
	c.send(t, 0x32, string(binary.BigEndian.AppendUint16(nil, uint16(len(topic))))+topic+id+payload)
	c.expect(t, "\x40\x02"+id)
}

func (c *wire) send(t *testing.T, first byte, body string) {
	t.Helper()
	head := binary.AppendUvarint([]byte{first}, uint64(len(body))) // MQTT writes lengths as varints do
	if _, err := c.Write(append(head, body...)); err != nil {
		t.Fatal(err)
	}
}

func (c *wire) expect(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.in, got); err != nil || string(got) != want {
		t.Fatalf("got %x, %v, want %x", got, err, want)
	}
}
