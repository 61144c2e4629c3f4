package stream_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// newLatePlant is a plant that takes readings up to five minutes late.
func newLatePlant(t *testing.T) *plant {
	return newPlant(t, func(cfg *stream.Config) { cfg.Lateness = 5 * time.Minute })
}

// gather commits what gathered and tells the windows with their revisions.
func (p *plant) revisions() string {
	p.t.Helper()
	b := p.w.Take()
	p.commit(b)
	var out []string
	for _, w := range b.Windows {
		behind := ""
		if w.Behind {
			behind = " behind"
		}
		out = append(out, fmt.Sprintf("%s %.9g-%.9g r%d n=%d/%d %s%s", w.Sensor.Name, sec(w.Start), sec(w.End), w.Revision, w.N, w.Expected, w.ClosedBy, behind))
	}
	return strings.Join(out, ", ")
}

func (p *plant) wantRevisions(what, want string) {
	p.t.Helper()
	if got := p.revisions(); got != want {
		p.t.Errorf("%s:\n got  %s\n want %s", what, got, want)
	}
}

// without sends seconds from to to but some.
func (p *plant) without(sensor string, from, to float64, but ...float64) {
	for s := from; s <= to; s++ {
		skip := false
		for _, b := range but {
			skip = skip || s == b
		}
		if !skip {
			p.temps(sensor, s, s, 1, healthy)
		}
	}
}

// TestLateReadingRevisesItsWindow: once a batch, with its own figures as if it had come in order, before and after a restart.
func TestLateReadingRevisesItsWindow(t *testing.T) {
	for _, where := range []string{"in the batch of its window", "on disk", "after a restart"} {
		t.Run(where, func(t *testing.T) {
			p := newLatePlant(t)
			p.without("axle1-left", 0, 250, 70, 75, 80, 130)
			if where != "in the batch of its window" {
				p.revisions()
			}
			if where == "after a restart" {
				p.w = p.restart()
			}
			for _, s := range []float64{80, 75, 130, 70} {
				p.temps("axle1-left", s, s, 1, healthy)
			}
			got := p.revisions()
			if want := "axle1-left 60-120 r1 n=60/60 watermark behind, axle1-left 120-180 r1 n=60/60 watermark behind"; !strings.HasSuffix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			p.temps("axle1-left", 70, 70, 1, healthy)
			p.wantRevisions("a repeat", "")
			p.temps("axle1-left", 251, 311, 1, healthy)
			p.wantRevisions("it goes on", "axle1-left 240-300 r0 n=60/60 watermark")
			p.settled()
			if p.count.Late != 0 || p.count.Stored != 312 || p.count.Duplicate != 1 {
				t.Errorf("count %+v", p.count)
			}
			q := newLatePlant(t)
			q.temps("axle1-left", 0, 311, 1, healthy)
			q.revisions()
			compareContent(t, "own figures", own(p.disk), own(q.disk))
		})
	}
}

// own tells of each window what its own readings give: not what it was compared with, nor what its sensor remembered of windows before.
func own(d *disk) []string {
	d.content() // sorts
	out := make([]string, 0, len(d.windows))
	for _, w := range d.windows {
		if w.N == 1 && d.standing(w) {
			continue
		}
		text := fmt.Sprintf("%s/%s [%d,%d) n=%d of %d last %d %v", w.Sensor.Asset, w.Sensor.Name, w.Start-t0, w.End-t0, w.N, w.Expected, w.Last-t0, w.Flagged)
		for i, v := range w.Features {
			switch i {
			case stream.FRiseBaseline, stream.FPeerDiff, stream.FPeerZ, stream.FMateDiff:
				continue
			}
			text += fmt.Sprintf(" %x", math.Float64bits(v))
		}
		out = append(out, text)
	}
	return out
}

// TestLatenessBound: a reading is in time up to lateness behind its sensor's newest, and late one millisecond beyond. Its mates' watermarks do not count.
func TestLatenessBound(t *testing.T) {
	p := newLatePlant(t)
	p.without("axle1-left", 0, 400, 100, 99)
	p.temps("axle1-right", 0, 900, 1, healthy)
	p.revisions()
	p.temps("axle1-left", 100, 100, 1, healthy)
	p.wantRevisions("exactly as late as allowed", "axle1-left 60-120 r1 n=59/60 watermark behind")
	p.send("axle1-left", reading(99.999, 40))
	p.wantRevisions("beyond", "")
	if len(p.late) != 1 || p.late[0].TS != at(99.999) || p.late[0].Reason != stream.Late {
		t.Errorf("late %+v", p.late)
	}
	p.settled()
}

// TestVerdictOfARevision may change both ways.
func TestVerdictOfARevision(t *testing.T) {
	p := newLatePlant(t)
	p.temps("axle1-left", 0, 59, 1, healthy)
	p.temps("axle1-left", 60, 80, 1, healthy)
	p.temps("axle1-left", 110, 250, 1, healthy)
	p.revisions()
	if w := p.windows[1]; w.Valid() {
		t.Fatal("a window with a gap of half a minute is valid")
	}
	p.temps("axle1-left", 81, 109, 1, healthy)
	p.wantRevisions("the gap is filled", "axle1-left 60-120 r1 n=60/60 watermark behind")
	if w := p.windows[1]; !w.Valid() {
		t.Errorf("it is still quarantined: %s", w.Detail)
	}
	for s := 61.5; s < 100; s += 3 {
		p.send("axle1-left", reading(s, 500))
	}
	p.wantRevisions("hot nonsense", "axle1-left 60-120 r2 n=73/60 watermark behind")
	if w := p.windows[1]; w.Valid() || len(w.Flagged) != 13 || w.Flagged[0].Flag != stream.FlagFail || len(w.Times) != 73 {
		t.Errorf("valid %v, %d flags, %d times", w.Valid(), len(w.Flagged), len(w.Times))
	}
	p.settled()
}

// TestLateConflictRevises: a reading that comes to be in dispute leaves its window's figures; once more changes nothing.
func TestLateConflictRevises(t *testing.T) {
	p := newLatePlant(t)
	p.temps("axle1-left", 0, 250, 1, healthy)
	p.revisions()
	for range 3 {
		if got := p.send("axle1-left", reading(100, 55)); got != stream.Conflict {
			t.Fatalf("answered %q", got)
		}
	}
	p.wantRevisions("a dispute", "axle1-left 60-120 r1 n=59/60 watermark behind")
	p.send("axle1-left", reading(100, 56))
	p.wantRevisions("the same once more", "")
	p.send("axle1-left", reading(5, 56))
	p.temps("axle1-left", 251, 330, 1, healthy)
	p.wantRevisions("in time when it came", "axle1-left 240-300 r0 n=60/60 watermark, axle1-left 0-60 r1 n=59/60 watermark behind")
	p.settled()
	p.send("axle1-left", reading(6, 56))
	p.wantRevisions("too late", "")
}

// TestLateReadingWhereNoWindowIs makes the one it belongs to, of its sensor's length, cut where its neighbours begin.
func TestLateReadingWhereNoWindowIs(t *testing.T) {
	p := newLatePlant(t)
	p.temps("axle1-left", 0, 59, 1, healthy)
	p.temps("axle1-left", 300, 380, 1, healthy)
	p.revisions()
	p.temps("axle1-left", 125, 179, 1, healthy)
	p.send("axle1-left", reading(200, 40))
	p.wantRevisions("before the frontier", "axle1-left 120-180 r0 n=55/60 late behind, axle1-left 180-240 r0 n=1/60 late behind")
	p.temps("axle1-left", 120, 124, 1, healthy)
	p.wantRevisions("the rest of one", "axle1-left 120-180 r1 n=60/60 late behind")
	p.w = p.restart()
	p.temps("axle1-left", 201, 205, 1, healthy)
	p.temps("axle1-left", 381, 450, 1, healthy)
	p.wantRevisions("after a restart", "axle1-left 360-420 r0 n=60/60 watermark, axle1-left 180-240 r1 n=6/60 late behind")
	p.settled()

	q := newPlant(t, func(cfg *stream.Config) { cfg.Lateness = time.Hour })
	q.temps("wayside", 0, 3600, 40, healthy) // windows of four minutes
	q.temps("wayside", 4800, 6000, 40, healthy)
	q.revisions()
	q.send("wayside", reading(3900, 40))
	q.wantRevisions("a slow sensor", "wayside 3720-3960 r0 n=1/6 late behind")
	q.settled()
}

// TestLateReadingBeforeTheFirst makes a first window, which expects readings from its first one on. The one that was first no longer is: it goes on from there, over the pause.
func TestLateReadingBeforeTheFirst(t *testing.T) {
	p := newLatePlant(t)
	p.temps("axle1-left", 200, 310, 1, healthy)
	p.revisions()
	p.temps("axle1-left", 100, 119, 1, healthy)
	p.wantRevisions("before all", "axle1-left 60-120 r0 n=20/20 late behind, axle1-left 180-240 r1 n=40/60 watermark behind")
	p.settled()
}

// TestLateReadingAfterSilence: a window that silence closed goes on with what comes for it, and the sensor is as new as that over a restart.
func TestLateReadingAfterSilence(t *testing.T) {
	p := newLatePlant(t)
	p.temps("axle1-left", 0, 90, 1, healthy)
	p.tick(time.Minute)
	p.wantRevisions("silence", "axle1-left 0-60 r0 n=60/60 watermark, axle1-left 60-120 r0 n=31/60 idle")
	p.temps("axle1-left", 91, 115, 1, healthy)
	p.wantRevisions("it had only been slow", "axle1-left 60-120 r1 n=56/60 idle")
	p.w = p.restart()
	p.temps("axle1-left", 116, 119, 1, healthy)
	p.wantRevisions("it goes on after a restart", "axle1-left 60-120 r2 n=60/60 idle")
	p.temps("axle1-left", 120, 190, 1, healthy)
	p.wantRevisions("and on", "axle1-left 120-180 r0 n=60/60 watermark")
	p.settled()
}

// TestLatenessAfterARestart counts from the newest accepted reading, one that revised a window that silence had closed included.
func TestLatenessAfterARestart(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.Lateness = 30 * time.Second })
	p.without("axle1-left", 0, 90, 80)
	p.tick(time.Minute)
	p.revisions()
	p.temps("axle1-left", 91, 115, 1, healthy)
	p.revisions()
	p.w = p.restart()
	if p.temps("axle1-left", 80, 80, 1, healthy); p.w.Take().Count.Late != 1 {
		t.Error("35 s behind is not late")
	}
}

// TestLateReadingIsCutWhereTheNextBegins: a slow sensor's window of four minutes would reach into the one in which it woke up.
func TestLateReadingIsCutWhereTheNextBegins(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.Lateness = time.Hour })
	p.temps("wayside", 0, 3560, 40, healthy)
	p.temps("wayside", 3660+120, 3660+500, 1, healthy) // at rest alignment is to 3480, 3720, 3960
	p.revisions()
	p.send("wayside", reading(3725, 40))
	p.wantRevisions("before it woke up", "wayside 3720-3780 r0 n=1/2 late behind, wayside 3780-3840 r1 n=60/60 watermark behind") // which is judged by the reading before it
	p.settled()
}

// TestLateReadingAmongDisputesOnly: where all readings of a closed window were in dispute there was none; now there is.
func TestLateReadingAmongDisputesOnly(t *testing.T) {
	p := newLatePlant(t)
	for _, s := range []float64{65, 70} {
		p.send("x", reading(s, 40))
		p.send("x", reading(s, 41))
	}
	p.temps("x", 125, 135, 1, healthy)
	p.revisions()
	if o := p.open[1]; o.From != at(65) {
		t.Fatalf("open %+v", o)
	}
	p.send("x", reading(75, 40))
	p.wantRevisions("the first undisputed one", "x 60-120 r0 n=1/3 late")
	if o := p.open[1]; o.From != at(125) {
		t.Errorf("open %+v", o)
	}
	p.settled()
	p.w = p.restart()
	if p.send("x", reading(65, 40)); p.w.Take().Count.Duplicate != 1 {
		t.Error("a repeat is no duplicate after a restart")
	}
	// A late reading that is in dispute at once makes none.
	p = newLatePlant(t)
	p.temps("x", 5, 6, 1, healthy)
	p.send("x", reading(125, 40))
	p.send("x", reading(125, 41))
	p.temps("x", 185, 200, 1, healthy)
	p.revisions()
	p.send("x", reading(130, 40))
	p.send("x", reading(130, 41))
	p.wantRevisions("two more in dispute", "")
	p.settled()
	p.w = p.restart()
	p.temps("x", 201, 260, 1, healthy)
	p.revisions()
	p.settled()
}

// TestRevisionIsComparedWith: what closes later is compared with the revised window, restart or not.
func TestRevisionIsComparedWith(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newLatePlant(t)
		p.together(0, 70, "axle1-left", "axle1-right")
		p.temps("axle1-left", 71, 118, 2, healthy)
		p.temps("axle1-left", 119, 260, 1, healthy)
		p.revisions() // axle1-right has its second window open
		for s := 72.0; s < 119; s += 2 {
			p.send("axle1-left", reading(s, 41))
		}
		p.revisions()
		if restart {
			p.w = p.restart()
		}
		p.temps("axle1-right", 71, 260, 1, func(float64) float64 { return 40.5 })
		p.revisions()
		p.content()
		var left, right *stream.Window
		for _, w := range p.windows {
			if w.Start == at(60) && w.Sensor.Name == "axle1-left" {
				left = w
			} else if w.Start == at(60) {
				right = w
			}
		}
		if left == nil || right == nil || left.Revision != 1 || right.Features[stream.FMateDiff] != right.Features[stream.FMean]-left.Features[stream.FMean] {
			t.Errorf("restart %v: mate difference %v of %v and %v", restart, right.Features[stream.FMateDiff], right.Features[stream.FMean], left.Features[stream.FMean])
		}
		p.settled()
	}
}

// TestOthersFiguresStand: a revision takes over what its own readings do not give, and what the sensor remembers is not folded again.
func TestOthersFiguresStand(t *testing.T) {
	p := newLatePlant(t)
	names := []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}
	for s := 0.0; s <= 600; s++ {
		for _, n := range names {
			if n == names[0] && s == 500 {
				continue
			}
			p.send(n, fmt.Sprintf(`{"ts":%d,"temp_c":%.3f,"ambient_c":20,"speed_kmh":50}`, at(s), healthy(s)))
		}
	}
	p.revisions()
	before := *p.last[1]
	if math.IsNaN(before.Features[stream.FRiseBaseline]) || math.IsNaN(before.Features[stream.FPeerZ]) || before.Start != at(480) {
		t.Fatalf("the window has no figures of others: %v", before.Features)
	}
	p.send(names[0], fmt.Sprintf(`{"ts":%d,"temp_c":90,"ambient_c":20,"speed_kmh":50}`, at(500.5)))
	p.revisions()
	after := p.last[1]
	if after.Revision != 1 || after.Features[stream.FMax] == before.Features[stream.FMax] && len(after.Flagged) == 0 || after.PeriodMs != before.PeriodMs || !stream.SameFolds(after.Memory, before.Memory) {
		t.Errorf("revision %d, period %d", after.Revision, after.PeriodMs)
	}
	for _, f := range []int{stream.FRiseBaseline, stream.FPeerDiff, stream.FPeerZ, stream.FMateDiff} {
		if after.Features[f] != before.Features[f] {
			t.Errorf("%s is %v, was %v", stream.FeatureList[f].Name, after.Features[f], before.Features[f])
		}
	}
}

// countingHistory counts how often it is asked for stretches.
type countingHistory struct {
	*disk
	asked int
}

func (c *countingHistory) Readings(spans []stream.Stretch) ([]stream.Kept, error) {
	c.asked++
	return c.disk.Readings(spans)
}

// TestAlwaysLateReadsOnce: a device whose every reading is late has each of its windows read once, and held windows are bounded.
func TestAlwaysLateReadsOnce(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.Lateness = 12 * time.Hour })
	c := &countingHistory{disk: p.disk}
	var err error
	if p.w, err = stream.NewWindower(p.cfg, c, nil); err != nil {
		t.Fatal(err)
	}
	p.temps("axle1-left", 0, 310, 2, healthy)
	p.revisions()
	for s := 1.0; s < 240; s += 2 {
		p.temps("axle1-left", s, s, 1, healthy)
		if s == 31 {
			p.send("axle1-left", reading(29, 50)) // in dispute from here on, and it stays so
		}
		p.revisions()
	}
	if c.asked != 5 {
		t.Errorf("four windows and the one that follows them were read %d times", c.asked)
	}
	for i, w := range p.windows[:4] {
		if want := 60 - (4-i)/4; w.N != want || w.Revision != 30+min(i, 1) { // smaller steps of the first tell the sensor's resolution to those that follow
			t.Errorf("window %d: n %d, revision %d", i, w.N, w.Revision)
		}
	}
	p.settled()
	p.temps("axle1-left", 312, 20_000, 10, healthy)
	p.revisions()
	for from := 305.0; from < 18_000; from += 60 {
		p.temps("axle1-left", from, from, 1, healthy)
		p.revisions()
	}
	before := c.asked
	p.temps("axle1-left", 11, 11, 1, healthy)
	p.temps("axle1-left", 17_946, 17_946, 1, healthy)
	p.revisions()
	p.settled()
	if p.count.Late != 0 || c.asked > before+1 {
		t.Errorf("%d late, asked %d times more", p.count.Late, c.asked-before)
	}
}

// TestDisputeTooLateForARevision shows in a later one of the same window, held or read.
func TestDisputeTooLateForARevision(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newLatePlant(t)
		p.without("axle1-left", 0, 370, 110, 115)
		p.temps("axle1-left", 110, 110, 1, healthy)
		p.revisions()
		p.send("axle1-left", reading(65, 50)) // 305 s behind
		p.wantRevisions("too late", "")
		p.temps("axle1-left", 371, 371, 1, healthy)
		p.wantRevisions("one batch more", "")
		if restart {
			p.w = p.restart()
		}
		p.temps("axle1-left", 115, 115, 1, healthy)
		p.wantRevisions("in time", "axle1-left 60-120 r2 n=59/60 watermark behind")
	}
}

// brokenHistory answers for keys and fails for stretches.
type brokenHistory struct{ *disk }

func (brokenHistory) Readings([]stream.Stretch) ([]stream.Kept, error) { return nil, errDisk }

// TestHistoryFailureIsFatal: nothing of the batch is given, and nothing goes on.
func TestHistoryFailureIsFatal(t *testing.T) {
	p := newLatePlant(t)
	w, err := stream.NewWindower(p.cfg, brokenHistory{p.disk}, nil)
	if err != nil {
		t.Fatal(err)
	}
	topic := stream.TelemetryTopic("douala", "loco7", "x")
	for s := range 100 {
		feed(t, w, topic, reading(float64(s), 40))
	}
	p.commit(w.Take())
	feed(t, w, topic, reading(5.5, 40))
	if err := w.MakeRevisions(); !errors.Is(err, errDisk) {
		t.Errorf("revisions: %v", err)
	}
	if b := w.Take(); b.Messages != 0 || len(b.Readings) != 0 {
		t.Errorf("the batch has %d messages", b.Messages)
	}
	if _, err := w.Feed(stream.Message{Topic: topic, Payload: []byte(reading(101, 40)), Received: t0}, 0); !errors.Is(err, errDisk) {
		t.Errorf("feed: %v", err)
	}
}
