package stream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// listener is a fleet in virtual time, one step a second: on says who sends when.
type listener struct {
	t     *testing.T
	w     *stream.Windower
	names []string // site/asset/sensor
	on    func(name string, sec int) bool
	told  []string // "<second> <what> silent|speaks|taken"
	full  []stream.Silence
}

func newListener(t *testing.T, names []string, on func(name string, sec int) bool) *listener {
	return &listener{t: t, w: newWindower(t, nil), names: names, on: on}
}

// run lets the seconds [from, to) pass.
func (p *listener) run(from, to int) {
	p.t.Helper()
	for sec := from; sec < to; sec++ {
		mono := time.Duration(sec) * time.Second
		for i, n := range p.names {
			if !p.on(n, sec) {
				continue
			}
			ts := t0 + int64(sec)*1000
			m := stream.Message{Topic: "cidp/v1/telemetry/" + n, Payload: fmt.Appendf(nil, `{"ts":%d,"temp_c":%d.%d}`, ts, 40+i%7, sec%10), Received: ts}
			if reason, err := p.w.Feed(m, mono); err != nil || reason != "" {
				p.t.Fatal(reason, err)
			}
		}
		p.w.Tick(mono, t0+int64(sec)*1000)
		if b := p.w.Take(); len(b.Silences) > 0 {
			p.hear(b.Silences, sec)
		}
	}
}

func (p *listener) hear(all []stream.Silence, sec int) {
	for _, e := range all {
		what := "speaks"
		if e.Silent {
			what = "silent"
		} else if e.Taken {
			what = "taken"
		}
		name := strings.TrimRight(strings.Join([]string{e.Site, e.Asset, e.Sensor}, "/"), "/")
		p.told = append(p.told, fmt.Sprintf("%d %s %s %s", sec, e.Scope, name, what))
		p.full = append(p.full, e)
	}
}

func (p *listener) want(want ...string) {
	p.t.Helper()
	if !slices.Equal(p.told, want) {
		p.t.Errorf("told:\n  %s\nwant:\n  %s", strings.Join(p.told, "\n  "), strings.Join(want, "\n  "))
	}
}

// train names n sensors of an asset.
func train(asset string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s/axle%d-left", asset, i+1))
	}
	return names
}

func TestSilentSensorIsToldOnce(t *testing.T) {
	p := newListener(t, train("d/loco", 3), func(n string, sec int) bool { return !(n == "d/loco/axle2-left" && sec >= 100 && sec < 2000) })
	p.run(0, 2300)
	p.want("399 sensor d/loco/axle2-left silent", "2060 sensor d/loco/axle2-left speaks") // last heard at 99; a minute of readings again from 2000 on
	e := p.full[0]
	if e.SensorID != 2 || e.For != 5*time.Minute || e.Limit != 5*time.Minute || e.Last != t0+99_000 || e.At != t0+399_000 || e.Members != 1 {
		t.Errorf("%+v", e)
	}
}

func TestOneReadingEndsNoSilence(t *testing.T) {
	p := newListener(t, train("d/loco", 3), func(n string, sec int) bool {
		return n != "d/loco/axle2-left" || sec < 100 || sec == 600 || sec >= 1000 && sec < 1030 || sec == 1700 // now and then a few
	})
	p.run(0, 3000)
	p.want("399 sensor d/loco/axle2-left silent")
}

func TestSwitchedOffTrainIsOneAlert(t *testing.T) {
	names := append(train("d/a", 60), train("d/b", 3)...)
	p := newListener(t, names, func(n string, sec int) bool {
		if strings.HasPrefix(n, "d/b") {
			return true
		}
		var axle int
		fmt.Sscanf(n, "d/a/axle%d", &axle)
		if axle == 7 { // broken for long before, and for longer
			return sec < 50
		}
		return sec < 500+axle%20 || sec >= 2000+axle // they end and begin a little apart
	})
	p.run(0, 2600)
	p.want("349 sensor d/a/axle7-left silent",
		"818 sensor d/a/axle7-left taken", "818 asset d/a silent",
		"2061 asset d/a speaks", "2301 sensor d/a/axle7-left silent") // the broken one is asked again
	if e := p.full[2]; e.Members != 60 || e.Last != t0+518_000 {
		t.Errorf("%+v", e)
	}
}

func TestWholeSiteIsOneAlert(t *testing.T) {
	names := slices.Concat(train("d/a", 5), train("d/b", 5), train("d/c", 1), train("y/a", 2))
	p := newListener(t, names, func(n string, sec int) bool {
		switch {
		case n[0] == 'y':
			return true
		case strings.HasPrefix(n, "d/b"): // parked long before
			return sec < 100
		}
		return sec < 1000 || sec >= 3000
	})
	p.run(0, 3500)
	p.want("399 asset d/b silent", "1299 asset d/b taken", "1299 site d silent", "3060 site d speaks", "3300 asset d/b silent")
}

// TestSlowSensorHoldsNobodyUp: an asset whose slow sensor has time left is silent when nobody was heard for twice the time.
func TestSlowSensorHoldsNobodyUp(t *testing.T) {
	p := newListener(t, train("d/a", 4), func(n string, sec int) bool {
		if strings.HasPrefix(n, "d/a/axle4") {
			return sec%600 == 0 && sec <= 12_000
		}
		return sec <= 12_000
	})
	p.run(0, 14_000)
	p.want("300 sensor d/a/axle4-left silent", "3000 sensor d/a/axle4-left speaks", // until its period is known
		"12600 asset d/a silent")
}

// TestAliveAssetTellsItsSensors: two of three sensors end together, and the third is heard: they are two, the asset is none.
func TestAliveAssetTellsItsSensors(t *testing.T) {
	p := newListener(t, train("d/a", 3), func(n string, sec int) bool { return n == "d/a/axle3-left" || sec < 100 })
	p.run(0, 600)
	p.want("399 sensor d/a/axle1-left silent", "399 sensor d/a/axle2-left silent")
}

func TestLoneSensorIsToldAsItself(t *testing.T) {
	p := newListener(t, train("d/a", 1), func(_ string, sec int) bool { return sec < 100 })
	p.run(0, 600)
	p.want("399 sensor d/a/axle1-left silent")
}

func TestSlowAndBatchingSensorsAreNotSilent(t *testing.T) {
	p := newListener(t, []string{"d/a/slow", "d/a/mate"}, func(n string, sec int) bool {
		return n == "d/a/mate" && sec%400 < 60 || n == "d/a/slow" && sec%240 == 0 // the mate rests for longer than five minutes each time
	})
	p.run(0, 4000)
	p.want("359 sensor d/a/mate silent") // until its rhythm is known
}

func TestHistoryIsNotFollowed(t *testing.T) {
	cfg := stream.DefaultConfig()
	w, err := stream.NewWindower(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := t0 + 40*24*3600_000
	for sec := range 100 {
		m := stream.Message{Topic: "cidp/v1/telemetry/d/a/x", Payload: fmt.Appendf(nil, `{"ts":%d,"temp_c":40}`, t0+int64(sec)*1000), Received: now}
		if _, err := w.Feed(m, time.Duration(sec)*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	w.Tick(time.Hour, now+3600_000)
	if b := w.Take(); len(b.Silences) > 0 {
		t.Errorf("%+v", b.Silences)
	}
}

// TestSilenceOverARestart: what was told stays told once; the others have the whole time again.
func TestSilenceOverARestart(t *testing.T) {
	names := append(train("d/a", 3), append(train("d/b", 3), train("d/c", 3)...)...)
	p := newListener(t, names, func(n string, sec int) bool {
		switch {
		case strings.HasPrefix(n, "d/a"):
			return sec < 100 || sec >= 3000
		case n == "d/b/axle1-left":
			return sec < 100 || sec >= 1100
		case n == "d/c/axle1-left":
			return sec < 900
		}
		return true
	})
	p.run(0, 1000)
	before := []string{"399 sensor d/b/axle1-left silent", "399 asset d/a silent"}
	slices.Sort(p.told)
	slices.Sort(before)
	p.want(before...)
	p.told = nil
	d := newWindower(t, nil)
	for i, a := range []string{"a", "b", "c"} {
		mustDo(t, d.RestoreAsset(stream.Asset{ID: int64(i + 1), Site: "d", Name: a}, 0))
	}
	for i, n := range names {
		parts := strings.Split(n, "/")
		mustDo(t, d.RestoreSensor(stream.Sensor{ID: int64(i + 1), AssetID: int64(i/3 + 1), Site: "d", Asset: parts[1], Name: parts[2]}, 0, nil))
		mustDo(t, d.RestoreReading(int64(i+1), stream.Reading{TS: t0 + 99_000, Temp: 1}, false))
	}
	d.RestoreSilence(stream.OfAsset, "d", "a", "")
	d.RestoreSilence(stream.OfSensor, "d", "b", "axle1-left")
	d.RestoreSilence(stream.OfSensor, "d", "gone", "x")
	d.Settle(1000*time.Second, t0+1000_000)
	p.w = d
	p.run(1001, 4000)
	p.want("1160 sensor d/b/axle1-left speaks", "1300 sensor d/c/axle1-left silent", "3060 asset d/a speaks")
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkListen is a tick over 100,000 sensors that each speak every second.
func BenchmarkListen(b *testing.B) {
	w := newWindower(b, nil)
	const n = 100_000
	for i := range n {
		feed(b, w, fmt.Sprintf("cidp/v1/telemetry/d/a%d/x%d", i/20, i%20), `{"ts":1700000040000,"temp_c":40}`)
		if i%1000 == 0 {
			w.Take()
		}
	}
	w.Take()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		w.Listen(time.Duration(i%250) * time.Second)
	}
}
