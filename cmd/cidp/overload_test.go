package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// Bounds of what the program holds resident, the collector's headroom included; README and DESIGN.md state them. What is held for slow subscribers has
// its own bound in the broker, and is small here.
const (
	walBound     = 256 * mib
	memoryBase   = 320 * mib // the program itself, a full queue, passes under way, SQLite's caches
	memoryConn   = 64 << 10  // a connection, idle or not
	memorySensor = 10 << 10  // a sensor
	memoryOpen   = 200       // a reading that is in no closed window yet
)

// memoryBound is what the program may hold under a load. Each sensor sends once in a second of event time: it has a window of a minute, the disorder and a
// little more open, and what its mates' messages are ahead.
func memoryBound(p *load.Plan) int64 {
	sensors, open := p.Conns*p.Sensors, 90+2*p.Batch
	return int64(memoryBase + p.Conns*memoryConn + sensors*(memorySensor+open*memoryOpen))
}

// overloadPlan is two hundred connections with five sensors each, four of them on one asset.
func overloadPlan(daysAgo int) load.Plan {
	return load.Plan{Conns: 200, Sensors: 5, AssetSize: 20, Batch: 1, QoS: 1, Window: 500, Period: time.Second,
		Begin: time.Now().Add(-time.Duration(daysAgo) * 24 * time.Hour).Truncate(time.Minute).UnixMilli()}
}

// TestOverload is TestLongOverload for a few seconds.
func TestOverload(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("a few seconds of full load; the program is built without the race detector")
	}
	overload(t, time.Second, 3*time.Second, 6)
}

// TestLongOverload offers the real program five times what it takes for half a minute, from 200 connections, beside a subscriber that never reads, one that
// does, a console page and readers of the database. Nothing is lost, nobody starves, memory and write-ahead log keep their bounds.
func TestLongOverload(t *testing.T) {
	long(t)
	overload(t, 5*time.Second, 30*time.Second, 2)
}

// overload runs it. uneven is how many times as much as another a connection may get: over a few seconds turns do not even out.
func overload(t *testing.T, measure, last time.Duration, uneven float64) {
	p := startBuilt(t, t.TempDir(), "--history-after", "0")
	first, capacity := measureCapacity(t, p, measure, nil)
	plan := overloadPlan(30)
	plan.Overload, plan.Rate = true, max(6*capacity, 600_000) // what the first seconds take may be less than what follows
	hangers := hangOn(t, p)
	l := startLoad(t, p.mqtt, plan)
	w := startWatch(t, p, l)
	time.Sleep(last)
	f, took := l.Figures(), time.Since(l.Started())
	least, greatest := l.Spread()
	w.end()
	s, err := p.scrape()
	if err != nil {
		t.Error(err)
	}
	finishLoad(t, l, time.Minute)
	hangers.end(t)

	offered := float64(f.Sent+f.Behind) / took.Seconds()
	accepted := float64(f.Acked) / took.Seconds()
	top := w.peaks()
	still, fewest := w.stillest()
	t.Logf("capacity %.0f readings/s; offered %.0f, accepted %.0f: %.1f times; writers were blocked %.0f %% of the time",
		capacity, offered, accepted, offered/accepted, 100*f.Blocked)
	t.Logf("in a second at least %d, longest without an acknowledgement %s; of one connection between %d and %d; acknowledged after p50 %s p99 %s max %s",
		fewest, still.Round(time.Millisecond), least, greatest, f.Latency.Quantile(0.5), f.Latency.Quantile(0.99), f.Latency.Max().Round(time.Millisecond))
	t.Logf("resident %s at most (bound %s), WAL %s, slowest page %s, %d outputs received, slowest query %s",
		mb(top.peak), mb(memoryBound(&plan)), mb(top.wal), w.slowest.Round(time.Millisecond),
		hangers.outputs.Load(), hangers.slowest.Round(time.Millisecond))
	for what, broken := range map[string]bool{
		"that is no overload":                       offered < 1.5*accepted,
		"a connection starves":                      float64(greatest) > uneven*float64(least),
		"acknowledgements stop":                     still > 5*time.Second,
		"resident memory is over its bound":         top.peak > memoryBound(&plan),
		"the write-ahead log is over its bound":     top.wal > walBound,
		"/readyz or /metrics is slow":               w.slowest > 5*time.Second,
		fmt.Sprint("a page was refused: ", w.err):   w.err != nil,
		"the live subscriber gets nothing":          hangers.outputs.Load() == 0,
		"the live subscriber got nothing for long":  hangers.longestSilence() > 10*time.Second,
		"the stuck subscriber is still given all":   s["cidp_mqtt_deliveries_dropped_total"] == 0,
		"the console page got nothing":              hangers.page.Load() == 0,
		"the database could not be read meanwhile":  hangers.queries == 0,
		"the child has ended before it was told to": len(p.done) > 0,
	} {
		if broken {
			t.Error(what)
		}
	}
	settleLedger(t, p, first, l)
}

// TestLongOverloadShapes offers more than is taken in other shapes: arrays, large arrays, QoS 0. Memory keeps its bound, and nothing is lost, of QoS 0
// neither: the broker reads no faster than the disk writes.
func TestLongOverloadShapes(t *testing.T) {
	long(t)
	for name, shape := range map[string]func(*load.Plan){
		"arrays of 50":                 func(p *load.Plan) { p.Batch, p.Window = 50, 60 },
		"arrays of 500":                func(p *load.Plan) { p.Batch, p.Window = 500, 8 },
		"arrays of 200 kB, one sensor": func(p *load.Plan) { p.Batch, p.Window, p.Sensors, p.AssetSize = 3000, 2, 1, 1 },
		"QoS 0":                        func(p *load.Plan) { p.QoS = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			p := startBuilt(t, t.TempDir(), "--history-after", "0")
			plan := overloadPlan(200)
			plan.Overload = true
			shape(&plan)
			l := startLoad(t, p.mqtt, plan)
			w := startWatch(t, p, l)
			time.Sleep(15 * time.Second)
			l.Stop()
			if plan.QoS == 0 { // nobody is told, so it is asked
				wait(t, "everything that was sent to be taken", func() bool {
					s, err := p.scrape()
					return err == nil && uint64(s["cidp_mqtt_messages_qos0_total"]) == l.Figures().Sent
				})
			}
			finishLoad(t, l, 3*time.Minute)
			w.end()
			top := w.peaks()
			t.Logf("resident %s at most (bound %s), WAL %s, slowest page %s", mb(top.peak), mb(memoryBound(&plan)), mb(top.wal), w.slowest.Round(time.Millisecond))
			if top.peak > memoryBound(&plan) || top.wal > walBound || w.err != nil {
				t.Errorf("memory or write-ahead log is over its bound, or a page was refused: %v", w.err)
			}
			settleLedger(t, p, l)
		})
	}
}

// measureCapacity publishes as fast as it goes and gives what the machine takes, in readings a second. The first half is for the start, and for what settled, if it
// is not nil, waits for.
func measureCapacity(t *testing.T, p *program, last time.Duration, settled func()) (*load.Load, float64) {
	t.Helper()
	l := startLoad(t, p.mqtt, overloadPlan(60))
	if settled != nil {
		settled()
	}
	time.Sleep(last / 2)
	before, begin := l.Acked(), time.Now()
	time.Sleep(last / 2)
	capacity := float64(l.Acked()-before) / time.Since(begin).Seconds()
	finishLoad(t, l, time.Minute)
	return l, max(capacity, 10_000) // a machine that is busy with something else
}

// settleLedger stops the child and proves that nothing of the loads is lost: the ledger holds and has received what was sent, and every acknowledged
// reading is there by its key.
func settleLedger(t *testing.T, p *program, loads ...*load.Load) {
	t.Helper()
	p.stop(t)
	var out bytes.Buffer
	if code := Main(t.Context(), []string{"verify", p.database()}, &out, &out); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out.String())
	}
	db, err := sqlite3.OpenFlags(p.database(), sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := map[string]int64{}
	rows(t, db, `SELECT counter, sum(value) FROM ledger GROUP BY counter`, func(row *sqlite3.Stmt) { count[row.ColumnText(0)] = row.ColumnInt64(1) })
	var all fate
	var sent int64
	for _, l := range loads {
		f := fateOf(t, l, p.database())
		sent += l.Readings()
		all.stored, all.late, all.expired = all.stored+f.stored, all.late+f.late, all.expired+f.expired
	}
	if count["received"] != sent || count["refused"] != 0 || count["duplicate"] != 0 || count["expired"] != all.expired {
		t.Errorf("%d readings were sent and %d have expired, the ledger has %v", sent, all.expired, count)
	}
	t.Logf("sent %d; in the database %d and %d late, %d expired; ledger %v", sent, all.stored, all.late, all.expired, count)
}

// hangers are the others that want something of a program under load.
type hangers struct {
	outputs atomic.Int64 // messages of the live subscriber
	page    atomic.Int64 // bytes of the console's stream
	stuck   net.Conn
	live    mqtt.Client
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	newest  time.Time  // when the live subscriber got its last message
	silence time.Duration
	queries int
	slowest time.Duration
}

// hangOn starts them.
func hangOn(t *testing.T, p *program) *hangers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &hangers{cancel: cancel, newest: time.Now()}
	t.Cleanup(cancel)
	var err error
	if h.stuck, _, err = load.Connect(p.mqtt, "stuck", true, 0); err != nil {
		t.Fatal(err)
	}
	if err := load.Subscribe(h.stuck, "#"); err != nil {
		t.Fatal(err)
	}
	h.live = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID("live").SetAutoReconnect(false).SetOrderMatters(false))
	if tok := h.live.Connect(); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("connect the live subscriber: %v", tok.Error())
	}
	if tok := h.live.Subscribe("cidp/v1/risk/#", 1, h.got); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("subscribe: %v", tok.Error())
	}
	h.work.Go(func() { h.watchPage(ctx, t, p) })
	h.work.Go(func() { h.query(ctx, t, p) })
	return h
}

func (h *hangers) got(mqtt.Client, mqtt.Message) {
	h.outputs.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.silence = max(h.silence, now.Sub(h.newest))
	h.newest = now
}

// longestSilence is how long the live subscriber had to wait for a message.
func (h *hangers) longestSilence() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.silence
}

// watchPage is a browser with the console open.
func (h *hangers) watchPage(ctx context.Context, t *testing.T, p *program) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/api/v1/stream", nil)
	if err != nil {
		t.Error(err)
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := res.Body.Read(buf)
		h.page.Add(int64(n))
		if err != nil {
			if ctx.Err() == nil {
				t.Error("the console page was cut off")
			}
			return
		}
	}
}

// lately counts the readings of the newest minute. Of all that a flood brought, which is packed, that would take seconds, and hold the log back for as long (store/DESIGN.md).
const lately = `SELECT count(*) FROM telemetry WHERE near > (SELECT max(COALESCE((SELECT max(key) FROM reading), 0), COALESCE((SELECT max(last) FROM reading_packed WHERE first > (SELECT max(first) FROM reading_packed) - (2048 << 20)), 0))) - (60000 << 20)`

// query is a report that reads the live database a few times a second, on connections that come and go.
func (h *hangers) query(ctx context.Context, t *testing.T, p *program) {
	for ctx.Err() == nil {
		begin := time.Now()
		db, err := sqlite3.OpenFlags(p.database(), sqlite3.OPEN_READONLY)
		if err != nil {
			t.Errorf("open the live database: %v", err)
			return
		}
		err = db.Exec(`PRAGMA busy_timeout = 5000; ` + lately + `; SELECT count(*) FROM risk_now; SELECT sum(value) FROM ledger`)
		if err != nil {
			t.Errorf("query the live database: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the live database: %v", err)
		}
		h.mu.Lock()
		h.queries++
		h.slowest = max(h.slowest, time.Since(begin))
		h.mu.Unlock()
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// end sends them home.
func (h *hangers) end(t *testing.T) {
	t.Helper()
	h.cancel()
	h.work.Wait()
	h.live.Disconnect(100)
	_ = h.stuck.Close() // the program may have closed it long ago
}
