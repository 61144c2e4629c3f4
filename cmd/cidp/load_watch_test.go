package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/bench"
	"github.com/camrail/cidp/cmd/cidp/load"
)

// startBuilt builds the program as a user does and runs it as a child: the memory of a test binary, or of one with the race detector, is not its own.
func startBuilt(t *testing.T, data string, args ...string) *program {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not there to build the program with")
	}
	binary := filepath.Join(t.TempDir(), "cidp")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v: %s", err, out)
	}
	p := launched(t, binary, data, args...)
	wait(t, "the child to be ready", func() bool { return p.ask("/readyz", time.Second) == nil })
	return p
}

// ask gets a page and wants a 200 for it in time.
func (p *program) ask(path string, within time.Duration) error {
	client := http.Client{Timeout: within}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://" + p.http + path)
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", path, res.Status, body)
	}
	return nil
}

// figures are the numbers of /metrics by name with labels.
type figures bench.Counts

// scrape reads /metrics.
func (p *program) scrape() (figures, error) {
	counts, err := bench.Scrape("http://" + p.http)
	return figures(counts), err
}

// stores waits until the child has stored so many readings.
func (p *program) stores(t *testing.T, n float64) {
	t.Helper()
	wait(t, fmt.Sprintf("%.0f readings to be stored", n), func() bool {
		s, err := p.scrape()
		return err == nil && bench.Counts(s).Sum(`cidp_readings_total{outcome="stored"`) >= n
	})
}

// since gives the growth of every figure.
func (f figures) since(before figures) figures {
	out := figures{}
	for name, v := range f {
		out[name] = v - before[name]
	}
	return out
}

// quantile gives the upper bound of the bucket of a histogram in which a share of its observations ends.
func (f figures) quantile(histogram string, q float64) time.Duration {
	var bounds []float64
	prefix := histogram + `_bucket{le="`
	for name := range f {
		if le, ok := strings.CutPrefix(name, prefix); ok {
			if v, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64); err == nil {
				bounds = append(bounds, v)
			}
		}
	}
	slices.Sort(bounds)
	need := q * f[histogram+"_count"]
	for _, b := range bounds {
		if !math.IsInf(b, 0) && f[prefix+strconv.FormatFloat(b, 'g', -1, 64)+`"}`] >= need {
			return time.Duration(b * float64(time.Second))
		}
	}
	return time.Duration(math.MaxInt64)
}

// watched is what was seen of the child at one moment.
type watched struct {
	at                 time.Time
	rss, peak, wal, db int64 // bytes
	acked              uint64
}

// watch looks at the child every 200 ms, and asks it for /readyz and /metrics once a second.
type watch struct {
	p       *program
	load    *load.Load
	samples []watched     // owned by its goroutine until ended is done
	slowest time.Duration // answer of /readyz or /metrics
	err     error
	stop    chan struct{}
	ended   sync.WaitGroup
}

const watchEvery = 200 * time.Millisecond

func startWatch(t *testing.T, p *program, l *load.Load) *watch {
	t.Helper()
	w := &watch{p: p, load: l, stop: make(chan struct{})}
	w.ended.Go(w.look)
	w.ended.Go(w.ask)
	t.Cleanup(w.end)
	return w
}

// end stops looking. The samples may be read then.
func (w *watch) end() {
	if !isClosed(w.stop) {
		close(w.stop)
	}
	w.ended.Wait()
}

func (w *watch) look() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for !isClosed(w.stop) {
		s := watched{at: time.Now(), wal: fileSize(w.p.database() + "-wal"), db: fileSize(w.p.database())}
		s.rss, s.peak = w.p.resident()
		s.acked = w.load.Acked()
		w.samples = append(w.samples, s)
		select {
		case <-tick.C:
		case <-w.stop:
		}
	}
}

func (w *watch) ask() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !isClosed(w.stop) {
		for _, page := range []string{"/readyz", "/metrics"} {
			begin := time.Now()
			if err := w.p.ask(page, 10*time.Second); err != nil && w.err == nil {
				w.err = err
			}
			w.slowest = max(w.slowest, time.Since(begin))
		}
		select {
		case <-tick.C:
		case <-w.stop:
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// peaks gives the highest of what was seen.
func (w *watch) peaks() (top watched) {
	for _, s := range w.samples {
		top.rss, top.peak = max(top.rss, s.rss), max(top.peak, s.peak)
		top.wal, top.db = max(top.wal, s.wal), max(top.db, s.db)
	}
	return top
}

// stillest gives the longest time without an acknowledgement, and the lowest number of them in a second.
func (w *watch) stillest() (longest time.Duration, fewest uint64) {
	fewest = math.MaxUint64
	for i, j := 0, 0; i < len(w.samples); i++ {
		s := &w.samples[i]
		for j+1 < i && s.at.Sub(w.samples[j+1].at) >= time.Second {
			j++
		}
		if span := s.at.Sub(w.samples[j].at); span >= time.Second {
			fewest = min(fewest, uint64(float64(s.acked-w.samples[j].acked)/span.Seconds()))
		}
	}
	still := 0
	for i := 1; i < len(w.samples); i++ {
		if w.samples[i].acked > w.samples[i-1].acked {
			still = i
		}
		longest = max(longest, w.samples[i].at.Sub(w.samples[still].at))
	}
	return longest, fewest
}

// resident is how much memory the child holds, and at most held.
func (p *program) resident() (now, peak int64) { return bench.Resident(p.cmd.Process.Pid) }

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

const mib = 1 << 20

// mb writes bytes for people.
func mb(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/mib) }
