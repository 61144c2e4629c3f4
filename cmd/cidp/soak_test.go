package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// TestSoak is TestLongSoak for a few seconds, without what only time shows.
func TestSoak(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("a few seconds of half load; the program is built without the race detector")
	}
	soak(t, time.Second, 3*time.Second, time.Second, nil)
}

// TestLongSoak runs the real program at half of what the machine takes for CIDP_SOAK (half an hour), prints a table of its state, and holds memory, write-ahead
// log, database and ledger to their word. The database is bounded by --keep-bytes, so that retention works all the time, and while capacity is measured too: what is taken
// in must go out again.
func TestLongSoak(t *testing.T) {
	long(t)
	last := 30 * time.Minute
	if s := os.Getenv("CIDP_SOAK"); s != "" {
		var err error
		if last, err = time.ParseDuration(s); err != nil {
			t.Fatalf("CIDP_SOAK: %v", err)
		}
	}
	every := min(30*time.Second, last/30)
	settled := func(p *program) {
		for end := time.Now().Add(10 * time.Minute); ; time.Sleep(time.Second) {
			s, err := p.scrape()
			if err != nil {
				t.Fatal(err)
			}
			if s.expired() > 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("nothing has expired in 10 minutes: the database has %s of the %s it may have", mb(fileSize(p.database())), mb(soakBytes))
			}
		}
		time.Sleep(30 * time.Second)
	}
	table := soak(t, time.Minute, last, every, settled, "--keep-bytes", fmt.Sprint(soakBytes), "--keep-raw-min", "1h", "--keep-windows", "2h")
	if len(table) < 9 {
		return
	}
	third := len(table) / 3
	for i := third; i < len(table); i++ {
		if table[i].used > soakBytes+soakBytes/5 {
			t.Errorf("after %.1f minutes the database has %s in use, where %s were asked for", table[i].at.Minutes(), mb(table[i].used), mb(soakBytes))
			break
		}
	}
	if n := len(table) - 1; table[n].expired <= table[third].expired || table[n].db > table[third].db+table[third].db/10 {
		t.Errorf("between minute %.1f and %.1f %.0f rows expired, and the database's file grew from %s to %s", table[third].at.Minutes(), table[n].at.Minutes(),
			table[n].expired-table[third].expired, mb(table[third].db), mb(table[n].db))
	}
	before, after := median(table[third:2*third]), median(table[2*third:])
	t.Logf("resident: median of the second third %s, of the last %s", mb(before), mb(after))
	if float64(after) > 1.15*float64(before) {
		t.Error("memory grows")
	}
}

// soakBytes is how large the database may be in a long soak: retention begins to work after a minute or two, on readings and on windows.
const soakBytes = 512 << 20

// median gives that of resident memory.
func median(rows []soakRow) int64 {
	var rss []int64
	for i := range rows {
		rss = append(rss, rows[i].rss)
	}
	slices.Sort(rss)
	return rss[len(rss)/2]
}

// soakRow is one interval of a soak.
type soakRow struct {
	at             time.Duration
	readings       float64 // acknowledged a second
	rss, heap      int64   // bytes
	goroutines     int
	wal, db, used  int64 // bytes; used: of the database, without pages to be used again
	commits        float64
	commit50       time.Duration // upper bound of the bucket
	commit99       time.Duration
	ack            load.Latencies // from when a message was due, whatever held it up
	lag            time.Duration  // the generator woke this late: the machine's doing
	behind         uint64         // messages that were due and not sent
	expired, lates float64
}

const soakHead = `
| minute | readings/s | resident | heap | goroutines | WAL | database | in use | commits/s | commit p50 ≤ | p99 ≤ | ack p50 | p99 | max | generator late | behind | late | expired |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

func (r *soakRow) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	return fmt.Sprintf("| %.1f | %.0f | %s | %s | %d | %s | %s | %s | %.0f | %s | %s | %s | %s | %s | %s | %d | %.0f | %.0f |\n",
		r.at.Minutes(), r.readings, mb(r.rss), mb(r.heap), r.goroutines, mb(r.wal), mb(r.db), mb(r.used), r.commits, ms(r.commit50), ms(r.commit99),
		ms(r.ack.Quantile(0.5)), ms(r.ack.Quantile(0.99)), ms(r.ack.Max()), ms(r.lag), r.behind, r.lates, r.expired)
}

// soak measures what the machine takes beside subscribers and a report that reads the database, then offers half of it, and looks at the program at each
// interval. settled, if not nil, waits until the program does all that it does later.
func soak(t *testing.T, measure, last, every time.Duration, settled func(*program), args ...string) (table []soakRow) {
	p := startBuilt(t, t.TempDir(), append([]string{"--history-after", "0"}, args...)...)
	hangers := hangOn(t, p)
	var ready func()
	if settled != nil {
		ready = func() { settled(p) }
	}
	first, capacity := measureCapacity(t, p, measure, ready)
	plan := overloadPlan(30)
	plan.Rate = capacity / 2
	l := startLoad(t, p.mqtt, plan)
	w := startWatch(t, p, l)
	tick := time.NewTicker(every)
	defer tick.Stop()
	scraped, err := p.scrape()
	if err != nil {
		t.Fatal(err)
	}
	at, acked := l.Started(), uint64(0)
	for time.Since(l.Started()) < last {
		<-tick.C
		f, now := l.Figures(), time.Now()
		s, err := p.scrape()
		if err != nil {
			t.Errorf("after %s: %v", time.Since(l.Started()), err)
			break
		}
		span := now.Sub(at).Seconds()
		table = append(table, soakLook(p, s, s.since(scraped), &f, span, now.Sub(l.Started()), acked))
		at, acked, scraped = now, f.Acked, s
	}
	w.end()
	finishLoad(t, l, time.Minute)
	hangers.end(t)
	var out strings.Builder
	for i := range table {
		out.WriteString(table[i].String())
	}
	t.Logf("half of %.0f readings/s%s%s", capacity, soakHead, out.String())
	if top := w.peaks(); top.wal > walBound {
		t.Errorf("the write-ahead log had %s, more than %s", mb(top.wal), mb(walBound))
	}
	settleLedger(t, p, first, l)
	return table
}

// soakLook makes a row of what is known at the end of an interval. grown is how the figures moved in it.
func soakLook(p *program, now, grown figures, f *load.Figures, span float64, at time.Duration, ackedBefore uint64) soakRow {
	r := soakRow{
		at: at, readings: float64(f.Acked-ackedBefore) / span, heap: int64(now["go_memstats_heap_inuse_bytes"]), goroutines: int(now["go_goroutines"]),
		wal: fileSize(p.database() + "-wal"), db: fileSize(p.database()), commits: grown["cidp_commits_total"] / span,
		commit50: grown.quantile("cidp_commit_duration_seconds", 0.5), commit99: grown.quantile("cidp_commit_duration_seconds", 0.99),
		ack: f.Latency, lag: f.Lag, behind: f.Behind, lates: now[`cidp_readings_total{outcome="late",reason="late"}`],
	}
	r.used, r.expired = int64(now["cidp_database_bytes"]-now["cidp_database_reusable_bytes"]), now.expired()
	r.rss, _ = p.resident()
	return r
}

// expired is how many rows retention has let go of.
func (f figures) expired() (n float64) {
	for name, v := range f {
		if strings.HasPrefix(name, "cidp_expired_total") {
			n += v
		}
	}
	return n
}
