package stream_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/camrail/cidp/stream"
)

// TestHeatChangesPlaces: one end of axle1 is hotter than the other in proportion to its rise. Once the cables are exchanged, how far the two are apart goes with heat the other way, from the very
// window on in which that is found, or in which doubt ends. Where heat shows that nothing was exchanged it is turned back, and the course begins anew: what it followed was no course.
func TestHeatChangesPlaces(t *testing.T) {
	for _, c := range []struct {
		about         string
		slope         float64                                // K that they are apart for each over ambient
		shows         func(apart, minute float64) [2]float64 // K by which axle1-left and axle1-right are off their mean
		turned        []int                                  // minutes
		rests         bool                                   // in the last of them
		first, behind int                                    // minutes in which both are out, the second exclusive
	}{
		{"a jump, and back", 0.02, func(apart, minute float64) [2]float64 {
			if minute >= 60 && minute < 80 {
				apart = -apart
			}
			return [2]float64{apart / 2, -apart / 2}
		}, []int{61, 81}, false, 61, 81},
		{"doubt, until it ends", 0.0015, func(apart, minute float64) [2]float64 {
			if minute >= 60 {
				apart = -apart
			}
			return [2]float64{apart / 2, -apart / 2}
		}, []int{75}, true, 61, 75},
		{"a jump that was heat", 0.02, func(apart, minute float64) [2]float64 {
			if minute >= 60 {
				apart = -apart
			}
			return [2]float64{apart/2 + max(0, minute-70)/5, -apart / 2}
		}, []int{61, 77}, true, 61, 77},
	} {
		p := newPlant(t, nil)
		for s := 0; s < 90*60; s += 5 {
			minute := float64(s) / 60
			rise := 21 + 3*math.Abs(math.Mod(min(minute, 55), 30)/15-1) // up and down by 3 K until minute 55
			off := c.shows(c.slope*rise, minute)
			for i, name := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"} {
				temp := 20 + rise + []float64{off[0], off[1], 0.4, 0.5}[i] + []float64{-0.01, 0.01, -0.02, 0}[s/5%4]
				if reason := p.send(name, fmt.Sprintf(`{"ts":%d,"temp_c":%.3f,"ambient_c":20}`, at(float64(s)), temp)); reason != "" {
					t.Fatal(reason)
				}
			}
		}
		p.closed()
		for _, name := range []string{"axle1-left", "axle1-right"} {
			if out := p.out(name); !slices.Equal(out, fromTo(c.first, c.behind)) {
				t.Errorf("%s: %s is out in minutes %v", c.about, name, out)
			}
			heat, slope := map[int]float64{}, map[int]float64{}
			rests := map[int]bool{}
			for _, w := range p.windows {
				if minute := int(sec(w.Start)) / 60; w.Sensor.Name == name {
					heat[minute], slope[minute], rests[minute] = stream.PairHeat(w.Memory)
				}
			}
			if learned := math.Abs(heat[59]); learned < 0.8*c.slope || learned > 1.2*c.slope {
				t.Errorf("%s: %s has learned %.4f K for each, want %.4f", c.about, name, learned, c.slope)
			}
			for _, m := range c.turned {
				if heat[m] != -heat[m-1] || !(slope[m]*slope[m-1] < 0) {
					t.Errorf("%s: %s goes with heat by %.4f and %.4f K for each in minute %d, by %.4f and %.4f before", c.about, name, heat[m], slope[m], m, heat[m-1], slope[m-1])
				}
			}
			if last := c.turned[len(c.turned)-1]; rests[last] != c.rests || rests[last-1] {
				t.Errorf("%s: %s begins anew after minute %d: %t", c.about, name, last, rests[last])
			}
		}
	}
}

// TestMateThatIsBehind: while a mate is so far behind that its last seconds come after the other's window has closed, no little step is looked for: the other would see one that the mate, which has
// all of its readings, does not.
func TestMateThatIsBehind(t *testing.T) {
	const since, behind = 24 * 60, 80 // seconds
	p := newPlant(t, nil)
	send := func(name string, s int, temp float64) {
		p.temps(name, float64(s), float64(s), 1, func(float64) float64 { return temp + []float64{-0.01, 0.01, -0.02, 0}[s%4] })
	}
	right := func(s int) {
		switch {
		case s < 25*60:
			send("axle1-right", s, 41.02)
		case s%60 < 50:
			send("axle1-right", s, 41.05)
		default: // the whole window's mean is as it was
			send("axle1-right", s, 40.87)
		}
	}
	for s := range 45 * 60 {
		left := 41.05
		if s >= 25*60 {
			left = 41.02
		}
		send("axle1-left", s, left)
		if s < since {
			right(s)
		} else if s >= since+behind {
			right(s - behind)
		}
		send("axle2-left", s, 41.42)
		send("axle2-right", s, 41.52)
	}
	p.closed()
	compared := 0
	for _, w := range p.windows {
		if slices.Contains(w.Reasons, stream.Swapped) {
			t.Errorf("%s is out in minute %v: %s", w.Sensor.Name, sec(w.Start)/60, w.Detail)
		}
		if d := w.Features[stream.FMateDiff]; w.Sensor.Name == "axle1-left" && w.Start >= at(25*60) && math.Abs(d+0.03) < 0.005 {
			compared++
		}
	}
	if compared < 15 {
		t.Errorf("axle1-left was compared with a mate that lacks its last seconds in %d windows", compared)
	}
}

// TestMateWithAWrongClock: a mate whose clock is minutes wrong moves later than the other with each run and stop of the vehicle, which is no exchange.
func TestMateWithAWrongClock(t *testing.T) {
	for _, late := range []int{20, 26, 32} { // steps of five seconds
		v := newVehicle(t)
		var past []float64
		v.minutes(t, 24*60, func(name string, rise, _ float64, _ bool) float64 {
			switch name {
			case "axle1-left":
				past = append(past, rise)
			case "axle1-right":
				return past[max(0, len(past)-1-late)]
			}
			return rise
		})
		for _, name := range []string{"axle1-left", "axle1-right"} {
			if s := v.told[name]; s.reasons[stream.Swapped] > 0 {
				t.Errorf("%d s late: %s is out in %d windows: %s", 5*late, name, s.reasons[stream.Swapped], s.detail)
			}
		}
	}
}
