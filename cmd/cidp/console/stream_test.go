package console_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
)

// live is an open connection to the stream.
type live struct {
	t    *testing.T
	res  *http.Response
	in   *bufio.Reader
	stop context.CancelFunc
}

func open(t *testing.T, url string) *live {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	s := &live{t, res, bufio.NewReader(res.Body), func() { cancel(); res.Body.Close() }}
	t.Cleanup(s.stop)
	return s
}

// next reads one event.
func (s *live) next() (event string, data console.ReadEvent) {
	s.t.Helper()
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.t.Fatalf("read stream: %v", err)
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "event":
			event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				s.t.Fatalf("read data: %v", err)
			}
		case "":
			if event != "" {
				return event, data
			}
		}
	}
}

func TestStreamStartsWholeThenTellsChanges(t *testing.T) {
	p := newPlant()
	url, _ := start(t, console.New(configOf(p)))
	s := open(t, url)
	if s.res.StatusCode != 200 || s.res.Header.Get("Content-Type") != "text/event-stream" || s.res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v", s.res)
	}
	event, d := s.next()
	if event != "snapshot" || len(d.Assets) != 2 || d.EveryMs != 20 || d.At == 0 || d.Status.Version != "v1" {
		t.Fatalf("first event %s: %+v", event, d)
	}
	if event, d = s.next(); event != "change" || len(d.Assets) != 0 || len(d.Removed) != 0 || d.Ledger.Received != 10 {
		t.Fatalf("nothing changed, but %s: %+v", event, d)
	}
	p.set(func(p *plant) {
		p.snap = fleet(2, 2)
		p.snap.Assets[1].Sensors[0].Level = "alarm"
		p.snap.Assets = p.snap.Assets[1:]
	})
	for len(d.Assets) == 0 {
		event, d = s.next()
	}
	if event != "change" || len(d.Assets) != 1 || d.Assets[0].Sensors[0].Level != "alarm" || len(d.Removed) != 1 || d.Removed[0].Asset != "train0" {
		t.Fatalf("%s: %+v", event, d)
	}
	late := open(t, url)
	if event, d = late.next(); event != "snapshot" || len(d.Assets) != 1 {
		t.Fatalf("a second viewer's first event %s: %+v", event, d)
	}
}

func TestStreamTellsOfFailureAndRecovers(t *testing.T) {
	p := newPlant()
	p.err = errBroken
	url, _ := start(t, console.New(configOf(p)))
	s := open(t, url)
	if event, d := s.next(); event != "fault" || len(d.Error) == 0 || bytes.Contains(d.Error, []byte("locked")) {
		t.Fatalf("%s: %s", event, d.Error)
	}
	p.set(func(p *plant) { p.err = nil })
	event := "fault"
	for event == "fault" {
		event, _ = s.next()
	}
	if event != "snapshot" {
		t.Fatalf("after the failure: %s", event)
	}
}

func TestStreamBoundsItsViewers(t *testing.T) {
	cfg := configOf(newPlant())
	cfg.MaxViewers = 2
	h := console.NewParts(cfg)
	url, _ := start(t, h)
	a, b := open(t, url), open(t, url)
	a.next()
	b.next()
	if full := open(t, url); full.res.StatusCode != 503 || full.res.Header.Get("Retry-After") == "" {
		t.Fatalf("third viewer: %d", full.res.StatusCode)
	}
	a.stop()
	eventually(t, "the first viewer has left", func() bool { return h.Viewers() == 1 })
	if again := open(t, url); again.res.StatusCode != 200 {
		t.Fatalf("after one had left: %d", again.res.StatusCode)
	}
}

// A viewer that opens the stream and never reads is cut off; one beside it gets every event meanwhile.
func TestSlowViewerIsCutOff(t *testing.T) {
	p := newPlant()
	p.snap.Status.Reasons = []string{strings.Repeat("x", 1<<20)} // in every event: the kernel's buffers fill
	cfg := configOf(p)
	cfg.Refresh = 50 * time.Millisecond // a megabyte each time: the one beside it must keep up on a busy machine
	h := console.NewParts(cfg)
	var running atomic.Int64
	url, _ := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		h.ServeHTTP(w, r)
	}))
	slow, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow viewer is in", func() bool { return h.Viewers() == 1 })
	quick := open(t, url)
	quick.next()
	for begun := time.Now(); h.Viewers() > 1; {
		if event, _ := quick.next(); event != "change" {
			t.Fatalf("the quick viewer got %s", event)
		}
		if time.Since(begun) > 8*time.Second { // viewerWrite is longer: the queue cuts, not the deadline
			t.Fatal("the slow viewer was not cut off")
		}
	}
	for begun := time.Now(); running.Load() > 1; quick.next() {
		if time.Since(begun) > 3*time.Second {
			t.Fatal("the slow viewer's blocked write was not broken")
		}
	}
}

func TestShutdownEndsStreamsAtOnce(t *testing.T) {
	p := newPlant()
	p.snap.Status.Reasons = []string{strings.Repeat("x", 1<<20)}
	cfg := configOf(p)
	cfg.Refresh = 200 * time.Millisecond
	h := console.NewParts(cfg)
	url, stop := start(t, h)
	s := open(t, url)
	s.next()
	stuck, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) // asks, and never reads: its write blocks
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if _, err := stuck.Write([]byte("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both watch", func() bool { return h.Viewers() == 2 })
	begun := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d >= console.Grace { // which it takes when it waits for one of them
		t.Errorf("shutdown took %v", d)
	}
	asked := p.count()
	if h.Viewers() != 0 {
		t.Errorf("%d viewers are left", h.Viewers())
	}
	for {
		if _, err := s.in.ReadString('\n'); err != nil {
			break
		}
	}
	if p.count() != asked {
		t.Error("the source was asked after Serve had returned")
	}
}

// However many watch, the source is asked once a period; with nobody there, never.
func TestOnePollerForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		cfg := configOf(p)
		cfg.Refresh = time.Second
		h := console.NewParts(cfg)
		var leave []func()
		for range 5 {
			frames, _, l, err := h.Watch()
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
			go func() {
				for range 11 { // the whole one at once, ten changes
					<-frames
				}
			}()
		}
		time.Sleep(10*time.Second + 500*time.Millisecond)
		synctest.Wait()
		if n := p.count(); n != 11 {
			t.Errorf("asked %d times in 10.5 s, want 11", n)
		}
		for _, l := range leave {
			l()
		}
		time.Sleep(time.Minute)
		if n := p.count(); n != 11 {
			t.Errorf("asked %d times more with nobody there", n-11)
		}
		frames, _, l, err := h.Watch() // the next first viewer starts anew, with a fresh snapshot
		if err != nil {
			t.Fatal(err)
		}
		if f := <-frames; !bytes.HasPrefix(f, []byte("event: snapshot\n")) {
			t.Errorf("got %.40s", f)
		}
		if n := p.count(); n != 12 {
			t.Errorf("asked %d times, want 12", n)
		}
		l()
	})
}

func TestFullQueueCutsAndStopsThePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		cfg := configOf(p)
		cfg.Refresh = time.Second
		h := console.NewParts(cfg)
		_, cut, leave, err := h.Watch()
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		<-cut
		if d := time.Since(begun); d != console.ViewerQueue*time.Second {
			t.Errorf("cut off after %v", d)
		}
		asked := p.count()
		time.Sleep(time.Minute)
		if p.count() != asked || h.Viewers() != 0 {
			t.Errorf("the poller went on: %d more, %d viewers", p.count()-asked, h.Viewers())
		}
		leave() // what its handler does in the end
	})
}

// A source that hangs is given up after Patience; the viewers are told, and leaving does not hang either.
func TestHangingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		p.waiting = make(chan struct{})
		cfg := configOf(p)
		cfg.Patience = 5 * time.Second
		h := console.NewParts(cfg)
		frames, _, leave, err := h.Watch()
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if f := <-frames; !bytes.HasPrefix(f, []byte("event: fault\n")) || time.Since(begun) != 5*time.Second {
			t.Errorf("after %v: %.40s", time.Since(begun), f)
		}
		time.Sleep(time.Second)
		leave()
		if d := time.Since(begun); d != 6*time.Second {
			t.Errorf("leaving took until %v", d)
		}
	})
}

// Many ask for the summary at once: the source answers one of them, and the rest get the same.
func TestRoutesShareASnapshot(t *testing.T) {
	p := newPlant()
	cfg := configOf(p)
	cfg.Refresh = time.Hour
	url, _ := start(t, console.New(cfg))
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			if res, err := http.Get(url + "/api/v1/summary"); err == nil {
				res.Body.Close()
			}
		}()
	}
	for range 8 {
		<-done
	}
	if n := p.count(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
}
