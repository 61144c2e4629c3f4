package main

import (
	"math"
	"math/bits"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// loadPlan says what a load is: connections that publish readings of their own sensors, each sensor one event second after the other.
type loadPlan struct {
	conns    int
	perAsset int     // connections whose sensors are one asset's
	sensors  int     // of a connection
	batch    int     // readings a message; 1: a single reading, more: an array
	qos      byte    // 0 or 1
	window   int     // messages a connection has unacknowledged at most, below 65,535
	rate     float64 // messages a second that all connections together have to send; 0: always more than goes out
	begin    int64   // event time of the first reading of each sensor, epoch ms
	overload bool    // the rate is more than goes out: latency counts from the writing, not from when a message was due
}

// load is a running generator: raw pipelined MQTT 3.1.1 on many connections. A reading costs it about a tenth of what it costs the program.
type load struct {
	plan  loadPlan
	conns []*loadConn
	start time.Time
	stop  chan struct{} // closed when nothing more is sent
	ended sync.WaitGroup
}

// startLoad connects everything, then begins to publish.
func startLoad(t testing.TB, addr string, plan loadPlan) *load {
	t.Helper()
	l := &load{plan: plan, stop: make(chan struct{})}
	for k := range plan.conns {
		c, err := dialLoad(addr, &l.plan, k)
		if err != nil {
			t.Fatal(err)
		}
		l.conns = append(l.conns, c)
	}
	t.Cleanup(l.close)
	l.start = time.Now()
	for _, c := range l.conns {
		c.start = l.start
		l.ended.Go(func() { c.publish(l.stop) })
		l.ended.Go(c.read)
	}
	return l
}

// stopSending ends the publishing. What was sent is still acknowledged.
func (l *load) stopSending() {
	if isClosed(l.stop) {
		return
	}
	close(l.stop)
	for _, c := range l.conns {
		c.mu.Lock()
		c.room.Broadcast()
		c.mu.Unlock()
	}
}

// finish stops and waits until everything that was sent is acknowledged. No connection may have ended before.
func (l *load) finish(t *testing.T, patience time.Duration) {
	t.Helper()
	l.stopSending()
	for end := time.Now().Add(patience); l.plan.qos > 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f := l.figures(); f.acked == f.sent {
			break
		}
	}
	for _, c := range l.conns {
		c.mu.Lock()
		if c.err != nil {
			t.Errorf("connection %s ended: %v", c.id, c.err)
		} else if l.plan.qos > 0 && c.acked < c.sent {
			t.Errorf("connection %s: %d messages are not acknowledged after %s", c.id, c.sent-c.acked, patience)
		}
		c.mu.Unlock()
	}
	l.close()
}

// close says goodbye and ends every connection.
func (l *load) close() {
	l.stopSending()
	for _, c := range l.conns {
		c.goodbye()
	}
	l.ended.Wait()
}

// loadFigures is where a load stands.
type loadFigures struct {
	sent, acked uint64        // messages
	behind      uint64        // messages that a paced load should have sent and has not
	latency     latencies     // since last asked
	lag         time.Duration // the latest that a paced connection woke since last asked: the machine's doing
	blocked     float64       // share of the time in which a writer had something to send and could not
}

// figures adds up what the connections know.
func (l *load) figures() loadFigures {
	var f loadFigures
	blocked := time.Duration(0)
	for _, c := range l.conns {
		c.mu.Lock()
		f.sent += c.sent
		f.acked += c.acked
		f.latency.join(&c.latency)
		f.lag = max(f.lag, c.lag)
		c.latency, c.lag = latencies{}, 0
		c.mu.Unlock()
		blocked += c.waited()
	}
	elapsed := time.Since(l.start)
	if due := uint64(l.plan.rate * elapsed.Seconds()); due > f.sent {
		f.behind = due - f.sent
	}
	f.blocked = blocked.Seconds() / float64(len(l.conns)) / elapsed.Seconds()
	return f
}

// latencies is a distribution with a precision of six per cent.
type latencies struct {
	counts [512]uint32
	n      uint64
	max    time.Duration
}

func (l *latencies) add(d time.Duration) {
	us := uint64(max(0, d.Microseconds()))
	e := max(0, bits.Len64(us)-5)
	l.counts[min(e*16+int(us>>e), len(l.counts)-1)]++
	l.n++
	l.max = max(l.max, d)
}

func (l *latencies) join(o *latencies) {
	for i, n := range o.counts {
		l.counts[i] += n
	}
	l.n += o.n
	l.max = max(l.max, o.max)
}

// quantile gives the latency below which a share of them lies.
func (l *latencies) quantile(q float64) time.Duration {
	left := uint64(q * float64(l.n))
	for i, n := range l.counts {
		if left < uint64(n) {
			e := max(0, i/16-1)
			return time.Duration(uint64(i-e*16)<<e) * time.Microsecond
		}
		left -= uint64(n)
	}
	return l.max
}

// fate is what became of the readings of a load that were acknowledged.
type fate struct{ stored, late, expired int64 }

// fate proves by key that every acknowledged reading is in the database, stored or late. Where retention was at work, those that are missing and older than what it says it has
// come to may have expired: the ledger must have counted as many.
func (l *load) fate(t *testing.T, database string) (f fate) {
	t.Helper()
	db, err := sqlite3.OpenFlags(database, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seen := l.newSeen(t, db)
	f.stored = seen.mark(t, db, `SELECT sensor_id, ts_ms FROM telemetry`)
	f.late = seen.mark(t, db, `SELECT sensor_id, ts_ms FROM late_reading`)
	gone := int64(math.MinInt64)
	rows(t, db, `SELECT value FROM meta WHERE name = 'raw_expired_ms'`, func(row *sqlite3.Stmt) { gone = row.ColumnInt64(0) })
	for _, c := range l.conns {
		missing := 0
		for m := range c.acked {
			s, second := l.plan.place(m)
			for i := second; i < second+uint64(l.plan.batch); i++ {
				switch {
				case seen.has(c.index, s, i):
				case l.plan.begin+int64(i)*1000 < gone:
					f.expired++
				default:
					missing++
				}
			}
		}
		if missing > 0 {
			t.Errorf("connection %s: %d readings were acknowledged and are not in the database", c.id, missing)
		}
	}
	return f
}

// readings is how many readings were sent.
func (l *load) readings() int64 { return int64(l.figures().sent) * int64(l.plan.batch) }

// spread gives the least and the greatest number of messages of one connection that were acknowledged.
func (l *load) spread() (least, greatest uint64) {
	least = math.MaxUint64
	for _, c := range l.conns {
		c.mu.Lock()
		least, greatest = min(least, c.acked), max(greatest, c.acked)
		c.mu.Unlock()
	}
	return least, greatest
}

// seen is which readings of a load a database holds.
type seen struct {
	plan    *loadPlan
	sensors map[int64][2]int // connection and its sensor, by sensor id
	bits    [][][]uint64     // by connection, sensor: a bit for each event second
}

func (l *load) newSeen(t *testing.T, db *sqlite3.Conn) *seen {
	t.Helper()
	s := &seen{plan: &l.plan, sensors: map[int64][2]int{}, bits: make([][][]uint64, len(l.conns))}
	names := map[[2]string][2]int{}
	for k, c := range l.conns {
		s.bits[k] = make([][]uint64, l.plan.sensors)
		for i := range l.plan.sensors {
			names[[2]string{c.asset(), c.sensor(i)}] = [2]int{k, i}
			s.bits[k][i] = make([]uint64, (c.sent*uint64(l.plan.batch)/uint64(l.plan.sensors)+uint64(l.plan.batch))/64+1)
		}
	}
	rows(t, db, `SELECT sensor_id, asset, sensor FROM sensor JOIN asset USING (asset_id)`, func(row *sqlite3.Stmt) {
		if at, ok := names[[2]string{row.ColumnText(1), row.ColumnText(2)}]; ok {
			s.sensors[row.ColumnInt64(0)] = at
		}
	})
	return s
}

// mark notes the readings that a query gives, and says how many.
func (s *seen) mark(t *testing.T, db *sqlite3.Conn, sql string) (n int64) {
	t.Helper()
	rows(t, db, sql, func(row *sqlite3.Stmt) {
		at, ok := s.sensors[row.ColumnInt64(0)]
		second := uint64(row.ColumnInt64(1)-s.plan.begin) / 1000
		if b := s.bits[at[0]][at[1]]; ok && second/64 < uint64(len(b)) {
			b[second/64] |= 1 << (second % 64)
			n++
		}
	})
	return n
}

func (s *seen) has(conn, sensor int, second uint64) bool {
	return s.bits[conn][sensor][second/64]&(1<<(second%64)) != 0
}

// rows asks a database one question.
func rows(t *testing.T, db *sqlite3.Conn, sql string, row func(*sqlite3.Stmt)) {
	t.Helper()
	s, _, err := db.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	for s.Step() {
		row(s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
