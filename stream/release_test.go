package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// putBack releases a payload of a sensor of loco7, some time after its receipt.
func (p *plant) putBack(sensor, payload string, received int64) stream.Released {
	p.t.Helper()
	r, err := p.w.ReleaseMessage(stream.Message{Topic: stream.TelemetryTopic("douala", "loco7", sensor), Payload: []byte(payload), Client: "test", Received: received}, p.mono)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// putBackWindow releases a window of the first sensor.
func (p *plant) putBackWindow(sec float64) *stream.Window {
	p.t.Helper()
	w, err := p.w.ReleaseWindow(1, at(sec))
	if err != nil {
		p.t.Fatal(err)
	}
	return w
}

// hotLimits moves the limits of bearings.
func hotLimits(cfg stream.Config, fail float64) stream.Config {
	l := cfg.Kinds[stream.Bearing]
	l.FailHigh, l.SuspectHigh = fail, fail-1
	cfg.Kinds[stream.Bearing] = l
	return cfg
}

// TestReleaseWindowUnderNewLimits: what the limits of before refused is valid under those of now; what is bad stays, and where the rules say the same nothing is made.
func TestReleaseWindowUnderNewLimits(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newPlant(t, func(cfg *stream.Config) { *cfg = hotLimits(*cfg, 30) }) // healthy is 40: all is out of range
		p.temps("axle1-left", 0, 90, 1, healthy)
		p.temps("axle1-left", 130, 251, 1, healthy) // and two windows lack half a minute each
		p.revisions()
		if w := p.windows[0]; w.Valid() || !slices.Contains(w.Reasons, stream.OutOfRange) {
			t.Fatalf("the test shows nothing: %v", w.Reasons)
		}
		p.putBackWindow(0)
		p.wantRevisions("under the limits of before", "")

		p.cfg = hotLimits(p.cfg, 250)
		if err := p.w.Configure(p.cfg); err != nil {
			t.Fatal(err)
		}
		if restart {
			p.w = p.restart()
		}
		if old := p.putBackWindow(0); old == nil || old.Revision != 0 || old.Valid() {
			t.Errorf("released %+v", old)
		}
		p.putBackWindow(0) // asked for twice
		p.wantRevisions("under those of now", "axle1-left 0-60 r1 n=60/60 watermark behind")
		if w := p.windows[0]; !w.Valid() || len(w.Reasons) > 0 {
			t.Errorf("still quarantined: %s", w.Detail)
		}
		if old := p.putBackWindow(0); old == nil || !old.Valid() || p.w.Pending() {
			t.Errorf("a valid window is released again: %+v", old)
		}
		p.putBackWindow(60)
		p.wantRevisions("what is bad", "axle1-left 60-120 r1 n=31/60 watermark behind")
		if w := p.windows[1]; w.Valid() || slices.Contains(w.Reasons, stream.OutOfRange) {
			t.Errorf("reasons %v", w.Reasons)
		}
		p.putBackWindow(60)
		p.wantRevisions("what is bad, once more", "")
		if p.putBackWindow(61) != nil || p.putBackWindow(100_000) != nil {
			t.Error("what is no window is released")
		}
		if w, err := p.w.ReleaseWindow(99, at(0)); w != nil || err != nil {
			t.Errorf("a window of nobody: %v, %v", w, err)
		}
		if w, err := newWindower(t, nil).ReleaseWindow(1, at(0)); w != nil || err != nil {
			t.Errorf("without a history: %v, %v", w, err)
		}
		delete(p.readings, stream.Key(at(70), 1))
		p.putBackWindow(60)
		p.revisions()
		if id := stream.Key(at(60), 1); !p.w.Expired(id) {
			t.Error("a window that lost a reading is not told of")
		}
	}
}

// TestReleaseMessage: lateness does not bound what a person puts back, what nothing would be taken of changes nothing, and readings of it are no sign of the device.
func TestReleaseMessage(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.Lateness = time.Minute })
	p.without("axle1-left", 0, 600, 70)
	p.revisions()
	before := p.count
	for payload, want := range map[string]stream.Reason{
		`{"ts":`: stream.Malformed,
		fmt.Sprintf(`{"ts":%d,"temp_c":40}`, t0+1e9+1e6): stream.Future,
		`[{"temp_c":40},{"ts":1,"temp_c":40}]`:           stream.MissingField,
	} {
		if r := p.putBack("axle1-left", payload, t0+1e9); r.Taken() || r.Reason != want || r.Detail == "" {
			t.Errorf("%s: %+v", payload, r)
		}
	}
	if p.w.Pending() || fmt.Sprint(p.count) != fmt.Sprint(before) {
		t.Errorf("what was refused again changed something: %+v", p.count)
	}
	r := p.putBack("axle1-left", "["+reading(70, healthy(70))+","+reading(71, healthy(71))+","+reading(72, 99)+"]", t0+1e9)
	if r.Stored != 1 || r.Duplicate != 1 || r.Refused != 1 || r.Reason != stream.Conflict || !r.Taken() {
		t.Errorf("released %+v", r)
	}
	p.wantRevisions("a window of long ago", "axle1-left 60-120 r1 n=59/60 watermark behind")
	p.send("axle1-left", reading(73.5, 40))
	p.wantRevisions("a live one as late", "")
	if p.count.Late != 1 || p.count.Received != p.count.Stored+p.count.Duplicate+p.count.Late+p.count.Refused {
		t.Errorf("count %+v", p.count)
	}
}

// TestReleaseIsNoSignOfLife: a sensor that is silent stays so, whatever is put back.
func TestReleaseIsNoSignOfLife(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.SilentAfter = time.Minute })
	for s := range 30 {
		p.tick(time.Second)
		p.temps("axle1-left", float64(s), float64(s), 1, healthy)
	}
	silences := 0
	for s := range 200 {
		p.tick(time.Second)
		if s%20 == 0 {
			p.putBack("axle1-left", reading(float64(100+s), 40), t0+1e9)
		}
		b := p.w.Take()
		for _, e := range b.Silences {
			if e.Silent {
				silences++
			} else {
				t.Errorf("second %d: it is heard again", s)
			}
		}
		p.commit(b)
	}
	if silences != 1 {
		t.Errorf("%d silences", silences)
	}
}

// TestReleaseAfterTheFailsafe: what was quarantined because its asset was not to be trusted is judged by itself once the asset is; while it is not, it stands.
func TestReleaseAfterTheFailsafe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	d := run(t, failsafeConfig(), shift(1, 30, rng, func(int) []broken { return []broken{{10, 20, 3}} }), rng, 0, 0)
	w := d.restart()
	var alone, both []*stream.Window
	for _, v := range d.windows {
		switch {
		case !slices.Contains(v.Reasons, stream.FailsafeOpen):
		case len(v.Reasons) == 1:
			alone = append(alone, v)
		default:
			both = append(both, v)
		}
	}
	if len(alone) == 0 || len(both) == 0 {
		t.Fatalf("the test shows nothing: %d alone, %d with others", len(alone), len(both))
	}
	for _, v := range []*stream.Window{alone[0], both[0]} {
		if _, err := w.ReleaseWindow(v.Sensor.ID, v.Start); err != nil {
			t.Fatal(err)
		}
	}
	made := w.Take().Windows
	if len(made) != 2 {
		t.Fatalf("%d revisions", len(made))
	}
	for _, v := range made {
		if slices.Contains(v.Reasons, stream.FailsafeOpen) || strings.Contains(v.Detail, "failsafe_open") || v.Valid() != (v.ID() == alone[0].ID()) {
			t.Errorf("window %d: %v: %s", v.ID(), v.Reasons, v.Detail)
		}
	}
	short := run(t, failsafeConfig(), shift(1, 18, rng, func(int) []broken { return []broken{{10, 18, 3}} }), rng, 0, 0) // it is still open
	w = short.restart()
	for _, v := range short.windows {
		if len(v.Reasons) == 1 && v.Reasons[0] == stream.FailsafeOpen {
			if _, err := w.ReleaseWindow(v.Sensor.ID, v.Start); err != nil {
				t.Fatal(err)
			}
		}
	}
	if made := w.Take().Windows; len(made) > 0 {
		t.Errorf("%d revisions of an asset whose fail-safe is open", len(made))
	}
}

// FuzzRelease: whatever the bytes, a message of which Recheck says that nothing would be taken changes nothing, and of another something becomes.
func FuzzRelease(f *testing.F) {
	for _, seed := range []string{`{"ts":1700000000000,"temp_c":40}`, `[{"ts":1700000000000,"temp_c":40},{"ts":9e99}]`, `[`, ``, `{"ts":"2023-11-14T22:13:20Z","temp_c":1e3}`} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, payload []byte, context bool) {
		w, err := stream.NewWindower(stream.DefaultConfig(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := stream.Message{Topic: stream.TelemetryTopic("a", "b", "c"), Payload: payload, Received: 1_700_000_100_000}
		if context {
			m.Topic = stream.ContextTopic("a", "b")
		}
		cfg := stream.DefaultConfig()
		reason, _ := stream.Recheck(m, &cfg)
		r, err := w.ReleaseMessage(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := w.Take()
		if (reason == "") != r.Taken() || r.Taken() != (b.Messages == 1) || b.Count.Received != r.Stored+r.Context+r.Duplicate+r.Late+r.Refused {
			t.Errorf("recheck %q, released %+v, counted %+v", reason, r, b.Count)
		}
		if fed, err := stream.NewWindower(cfg, nil, nil); err != nil {
			t.Fatal(err)
		} else if _, err := fed.Feed(m, 0); err != nil {
			t.Fatal(err)
		} else if c := fed.Take().Count; r.Taken() && (c.Stored != r.Stored || c.Refused != r.Refused || c.Duplicate != r.Duplicate) {
			t.Errorf("released %+v, fed %+v", r, c)
		}
	})
}
