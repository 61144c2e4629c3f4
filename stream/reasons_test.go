package stream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// TestMessageReasons produces each reason of contract section 4 for a message or a reading, alone, and counts it.
func TestMessageReasons(t *testing.T) {
	const sensor = "cidp/v1/telemetry/douala/loco7/axle1-left"
	for _, c := range []struct {
		want           stream.Reason
		topic, payload string
		before         string // a reading sent before, which is accepted
	}{
		{"", sensor, reading(0, 40), ""},
		{stream.UnknownTopic, "cidp/v1/telemetry/douala/loco7", reading(0, 40), ""},
		{stream.BadName, "cidp/v1/telemetry/douala/loco7/axle 1", reading(0, 40), ""},
		{stream.Malformed, sensor, `{"ts":`, ""},
		{stream.MissingField, sensor, `{"ts":1700000040000}`, ""},
		{stream.NotFinite, sensor, `{"ts":1700000040000,"temp_c":1e999}`, ""},
		{stream.BadTime, sensor, `{"ts":1700000040,"temp_c":40}`, ""},
		{stream.Future, sensor, reading(1_000_120.001, 40), ""},
		{"", sensor, reading(1_000_120, 40), ""},
		{stream.TooOld, sensor, reading(-7200.001, 40), ""},
		{"", sensor, reading(-7200, 40), ""},
		{stream.Conflict, sensor, reading(0, 41), reading(0, 40)},
	} {
		p := newPlant(t, func(cfg *stream.Config) { cfg.TooOld = 1_007_200 * time.Second })
		if c.before != "" {
			p.publish(sensor, c.before)
		}
		got := p.publish(c.topic, c.payload)
		b := p.w.Take()
		p.commit(b)
		if got != c.want {
			t.Errorf("%s on %s: %q, want %q", c.payload, c.topic, got, c.want)
		}
		if c.want == "" {
			continue
		}
		r := b.Refusals[0]
		if b.Count.RefusedByReason[c.want] != 1 || r.Reason != c.want || r.Topic != c.topic || string(r.Payload) != c.payload || r.Client != "test" ||
			r.Element != -1 || r.Received != t0+1e9 || r.Detail == "" {
			t.Errorf("%s: evidence %+v", c.want, r)
		}
	}
}

func TestRefusedBeforeItIsRead(t *testing.T) {
	p := newPlant(t, nil)
	p.w.Refuse(stream.Message{Topic: "x", Client: "c", Payload: []byte("big"), Received: t0}, stream.TooLarge, "3 bytes")
	if !p.w.Pending() {
		t.Error("nothing to commit")
	}
	b := p.w.Take()
	if r := b.Refusals[0]; r.Reason != stream.TooLarge || r.Detail != "3 bytes" || b.Count.Received != 1 || b.Messages != 1 {
		t.Errorf("%+v", b)
	}
	if p.w.Pending() {
		t.Error("something to commit after Take")
	}
}

// TestArrayElementsStandAlone: the good are stored, the bad refused with their own bytes and place.
func TestArrayElementsStandAlone(t *testing.T) {
	p := newPlant(t, nil)
	payload := "[" + reading(0, 40) + "," + reading(1e7, 40) + "," + reading(0, 40) + "," + reading(0, 41) + `,{"ts":5},` + reading(1, 40) + "]"
	if first := p.send("axle1-left", payload); first != stream.Future {
		t.Errorf("the first refusal is %q", first)
	}
	b := p.w.Take()
	p.commit(b)
	var got []string
	for _, r := range b.Refusals {
		got = append(got, fmt.Sprintf("%d %s %s", r.Element, r.Reason, r.Payload))
	}
	want := []string{"1 future " + reading(1e7, 40), "3 conflict " + reading(0, 41), `4 missing_field {"ts":5}`}
	if !slices.Equal(got, want) || b.Count.Stored != 2 || b.Count.Duplicate != 1 || b.Count.Received != 6 || b.Messages != 1 {
		t.Errorf("refusals %q, count %+v", got, b.Count)
	}
}

// TestWindowReasons shows each reason of a quarantine produced alone, and a healthy control.
func TestWindowReasons(t *testing.T) {
	for _, c := range []struct {
		about string
		want  string // the reasons of the window from second 60 to 120
		skip  func(sec int) bool
		temp  func(sec int) float64
		extra string // further fields
	}{
		{about: "a healthy bearing", want: ""},
		{about: "one reading in five lost", want: "", skip: func(s int) bool { return s%5 == 0 }},
		{about: "one reading in four lost", want: "incomplete", skip: func(s int) bool { return s%4 == 0 }},
		{about: "twelve seconds of silence", want: "", skip: func(s int) bool { return s > 80 && s < 92 }},
		{about: "a gap of more than a fifth, little missing otherwise", want: "gap", skip: func(s int) bool { return s > 80 && s < 93 }},
		{about: "half the window silent", want: "incomplete gap", skip: func(s int) bool { return s > 80 && s < 110 }},
		{about: "six readings of a broken wire", want: "", temp: func(s int) float64 { return pick(s > 80 && s <= 86, 850, s) }},
		{about: "seven readings of a broken wire", want: "out_of_range", temp: func(s int) float64 { return pick(s > 80 && s <= 87, 850, s) }},
		{about: "as hot as the limit allows", want: "", temp: func(s int) float64 { return 249.9 + 0.1*float64(s%2) }},
		{about: "one value all along", want: "flatline", temp: func(int) float64 { return 40.05 }},
		{about: "one value all along, standing", want: "", temp: func(int) float64 { return 40.05 }, extra: `,"speed_kmh":0`},
		{about: "one value, running", want: "flatline", temp: func(int) float64 { return 40.05 }, extra: `,"speed_kmh":60`},
		{about: "three spikes of 20 K", want: "", temp: func(s int) float64 { return pick(s%20 == 7, 60, s) }},
		{about: "four spikes of 20 K", want: "spikes", temp: func(s int) float64 { return pick(s%15 == 7, 60, s) }},
		{about: "four bumps of 4 K", want: "", temp: func(s int) float64 { return pick(s%15 == 7, 44, s) }},
		{about: "9 K in a minute", want: "", temp: func(s int) float64 { return 40 + 0.15*float64(s-60) }},
		{about: "11 K in a minute", want: "rate_of_change", temp: func(s int) float64 { return 40 + 0.19*float64(s-60) }},
	} {
		t.Run(c.about, func(t *testing.T) {
			p := newPlant(t, nil)
			for s := range 135 {
				temp := healthy(float64(s))
				if c.temp != nil && s >= 60 && s < 120 {
					temp = c.temp(s)
				}
				if c.skip != nil && s >= 60 && s < 120 && c.skip(s) {
					continue
				}
				p.send("axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":%.3f%s}`, at(float64(s)), temp, c.extra))
			}
			b := p.w.Take()
			if len(b.Windows) != 2 || !b.Windows[0].Valid() {
				t.Fatalf("%d windows, the first %q", len(b.Windows), b.Windows[0].Detail)
			}
			w := b.Windows[1]
			var got []string
			for _, r := range w.Reasons {
				got = append(got, string(r))
				if !strings.Contains(w.Detail, string(r)+": ") {
					t.Errorf("the detail %q does not explain %s", w.Detail, r)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v (%s), want %q", got, w.Detail, c.want)
			}
			if (w.Detail == "") != w.Valid() {
				t.Errorf("valid %v, detail %q", w.Valid(), w.Detail)
			}
		})
	}
}

func pick(odd bool, value float64, sec int) float64 {
	if odd {
		return value
	}
	return healthy(float64(sec))
}

// TestFlatlineByResolution: the coarser a sensor resolves, the longer it may show one value.
func TestFlatlineByResolution(t *testing.T) {
	for _, c := range []struct {
		step float64 // K
		flat int     // the window, counted from 1, in which it is first called stuck; it stands still from the third on
	}{{0.01, 3}, {0.1, 5}, {0.5, 17}} {
		p := newPlant(t, nil)
		p.temps("axle1-left", 0, 20*60+10, 1, func(s float64) float64 {
			return 40 + c.step*float64(int64(min(s, 119))%2)
		})
		for i, w := range p.w.Take().Windows {
			if flat := slices.Contains(w.Reasons, stream.Flatline); flat != (i+1 >= c.flat) {
				t.Errorf("steps of %v K: window %d: %q", c.step, i+1, w.Detail)
			}
		}
	}
}

// TestFlags: spikes and readings out of range are flagged, and features are made without them.
func TestFlags(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 75, 1, func(s float64) float64 {
		switch s {
		case 20:
			return 60 // a spike
		case 30:
			return -60 // out of range
		case 40:
			return 250 // the limit itself is only suspect, but a spike too
		}
		return 40 + 0.1*float64(int64(s)%2)
	})
	w := p.w.Take().Windows[0]
	want := []stream.Flagged{{TS: at(20), Flag: stream.FlagFail}, {TS: at(30), Flag: stream.FlagFail}, {TS: at(40), Flag: stream.FlagFail}}
	if !slices.Equal(w.Flagged, want) || !w.Valid() || w.N != 60 {
		t.Errorf("flags %v, n %d, %s", w.Flagged, w.N, w.Detail)
	}
	if f := w.Features; f[stream.FMax] > 40.1 || f[stream.FMin] < 40 || f[stream.FSuspectShare] != 3.0/60 {
		t.Errorf("max %v, min %v, suspect share %v", f[stream.FMax], f[stream.FMin], f[stream.FSuspectShare])
	}

	p = newPlant(t, nil)
	p.temps("axle1-left", 0, 75, 1, func(s float64) float64 { return 199 + 0.1*float64(int64(s)%2) })
	w = p.w.Take().Windows[0]
	if len(w.Flagged) != 60 || w.Flagged[0].Flag != stream.FlagSuspect || !w.Valid() || w.Features[stream.FMax] != 199.1 {
		t.Errorf("suspect readings: %d flags, max %v, %s", len(w.Flagged), w.Features[stream.FMax], w.Detail)
	}
}
