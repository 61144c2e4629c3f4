package main

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
)

const (
	idleClients = 10_000
	backClients = 2_000
	atOnce      = 64 // connections being opened at a time, where they need not come all at once
)

// TestLongCrowd: ten thousand idle connections and two thousand persistent clients that come back at the same moment do no harm to twenty publishers. It
// reports rate, latency and memory; it asserts that everybody gets in, that the program answers, and that nothing is lost.
func TestLongCrowd(t *testing.T) {
	long(t)
	needFiles(t, idleClients+backClients+500)
	p := startBuilt(t, t.TempDir(), "--history-after", "0")
	plan := load.Plan{Conns: 20, Sensors: 5, AssetSize: 20, Batch: 1, QoS: 1, Window: 1000, Rate: 20_000, Period: time.Second,
		Begin: time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Minute).UnixMilli()}
	l := startLoad(t, p.mqtt, plan)
	w := startWatch(t, p, l)
	c := &crowd{t: t, p: p, load: l, at: time.Now()}

	c.phase("alone", func() { time.Sleep(5 * time.Second) })
	var idle, back []net.Conn
	c.phase("10,000 connect", func() { idle = c.connect("idle", idleClients, atOnce, true, false) })
	c.phase("10,000 idle", func() { time.Sleep(10 * time.Second) })
	c.phase("2,000 persistent ones connect", func() { back = c.connect("back", backClients, atOnce, false, false) })
	c.phase("these subscribe", func() { c.subscribe(back, "cidp/v1/alerts/douala/nobody/#") })
	c.phase("2,000 are cut off and come back at once", func() {
		closeAll(back)
		back = c.connect("back", backClients, backClients, false, true)
	})
	c.phase("2,000 come again while still connected", func() {
		old := back
		back = c.connect("back", backClients, backClients, false, true)
		closeAll(old)
	})
	c.phase("all are there", func() { time.Sleep(5 * time.Second) })
	s, err := p.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if n := int(s["cidp_mqtt_connections"]); n < len(idle)+len(back)+plan.Conns {
		t.Errorf("%d connections are open, want %d idle ones, %d that came back and %d publishers", n, len(idle), len(back), plan.Conns)
	}
	w.end()
	if w.err != nil {
		t.Errorf("a page was refused: %v", w.err)
	}
	still, fewest := w.stillest()
	t.Logf("longest without an acknowledgement %s, in a second at least %d; resident at most %s; slowest page %s",
		still.Round(time.Millisecond), fewest, mb(w.peaks().peak), w.slowest.Round(time.Millisecond))
	finishLoad(t, l, time.Minute)
	closeAll(idle)
	closeAll(back)
	settleLedger(t, p, l)
}

// needFiles skips where a process may not have that many files open. The child inherits the hard limit, and Go raises the soft one to it.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("the limit of open files is not known: %v", err)
	}
	if limit.Max < n {
		t.Skipf("%d open files are needed, the hard limit is %d", n, limit.Max)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("the limit of open files cannot be raised to %d: %v", limit.Max, err)
	}
}

// crowd reports how publishers fare while others come.
type crowd struct {
	t     *testing.T
	p     *program
	load  *load.Load
	acked uint64
	at    time.Time
}

// phase does something and tells what the publishers got meanwhile.
func (c *crowd) phase(what string, do func()) {
	c.t.Helper()
	do()
	f, now := c.load.Figures(), time.Now()
	rss, _ := c.p.resident()
	c.t.Logf("%-40s %6.2f s: %6.0f readings/s, acknowledged after p50 %s p99 %s max %s (generator late %s), resident %s", what, now.Sub(c.at).Seconds(),
		float64(f.Acked-c.acked)/now.Sub(c.at).Seconds(), f.Latency.Quantile(0.5), f.Latency.Quantile(0.99), f.Latency.Max().Round(time.Millisecond),
		f.Lag.Round(time.Millisecond), mb(rss))
	c.acked, c.at = f.Acked, now
}

// connect opens n sessions, some at a time. All must get in, and find what they left.
func (c *crowd) connect(name string, n, atATime int, clean, present bool) []net.Conn {
	c.t.Helper()
	socks, turns := make([]net.Conn, n), make(chan struct{}, atATime)
	var all sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			sock, was, err := load.Connect(c.p.mqtt, fmt.Sprintf("%s-%d", name, i), clean, 600)
			if err == nil && was != present {
				err = fmt.Errorf("session present is %t", was)
			}
			if err != nil {
				c.t.Errorf("%s-%d: %v", name, i, err)
				return
			}
			socks[i] = sock
		})
	}
	all.Wait()
	c.t.Cleanup(func() { closeAll(socks) })
	return socks
}

// subscribe lets each of them ask for a filter, all at once.
func (c *crowd) subscribe(socks []net.Conn, filter string) {
	var all sync.WaitGroup
	for _, sock := range socks {
		all.Go(func() {
			if sock == nil {
				return // reported
			}
			if err := load.Subscribe(sock, filter); err != nil {
				c.t.Error(err)
			}
		})
	}
	all.Wait()
}

// closeAll closes what may be closed already.
func closeAll(socks []net.Conn) {
	for _, s := range socks {
		if s != nil {
			_ = s.Close()
		}
	}
}
