package stream_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// little are four bearings of which axle1's two differ by 0.03 K and change places at the minute swapped, and back at the minute back, where that is not 0.
type little struct {
	*plant
	swapped, back int
	more          int // minute from which the two are 0.5 K apart, the other way than then; 0: never
	silent        func(name string, minute int) bool
	only          string // of axle1's two the one whose step is seen, "" for both
	rest          func(minute int)
}

func (l *little) run(from, to int) {
	l.t.Helper()
	noise := []float64{-0.01, 0.01, -0.02, 0}
	for s := from * 60; s < to*60; s += 5 {
		minute := s / 60
		if l.rest != nil && s%60 == 30 {
			l.rest(minute)
		}
		step := 0.0
		if minute >= l.swapped && (l.back == 0 || minute < l.back) {
			step = 0.03
		}
		if l.more != 0 && minute >= l.more {
			step = -0.25
		}
		for _, b := range []struct {
			name string
			temp float64
		}{{"axle1-left", 41.05 - step}, {"axle1-right", 41.02 + step}, {"axle2-left", 41.42}, {"axle2-right", 41.52}} {
			if l.only != "" && b.name != l.only && strings.HasPrefix(b.name, "axle1") {
				b.temp = 41.02
			}
			if l.silent == nil || !l.silent(b.name, minute) {
				l.temps(b.name, float64(s), float64(s), 1, func(float64) float64 { return b.temp + noise[s/5%4] })
			}
		}
	}
	l.closed()
}

// out gives the minutes in which windows of a sensor are out as swapped.
func (p *plant) out(name string) (minutes []int) {
	for _, w := range p.windows {
		if w.Sensor.Name == name && !w.Between && slices.Contains(w.Reasons, stream.Swapped) {
			minutes = append(minutes, int(sec(w.Start))/60)
		}
	}
	return minutes
}

// fromTo are the minutes from one to another, the second exclusive.
func fromTo(a, b int) (m []int) {
	for ; a < b; a++ {
		m = append(m, a)
	}
	return m
}

// TestStepInDoubt: two that differ by hundredths of a kelvin change places, and what ends the doubt. Both are told the same, whatever comes between.
func TestStepInDoubt(t *testing.T) {
	for _, c := range []struct {
		about  string
		change func(l *little)
		want   []int // minutes out, of axle1-left
		right  []int // of axle1-right, where they differ
	}{
		{"it stays", func(*little) {}, fromTo(26, 40), nil},
		{"it is gone after three windows", func(l *little) { l.back = 28 }, fromTo(26, 28), nil},
		{"a gap of ten minutes", func(l *little) { l.silent = func(_ string, m int) bool { return m >= 30 && m < 40 } }, fromTo(26, 30), nil},
		{"the mate is lost", func(l *little) { l.silent = func(name string, m int) bool { return name == "axle1-right" && m >= 30 } }, fromTo(26, 30), fromTo(26, 29)}, // its own last one is still open
		{"a restart in each minute", func(l *little) { l.rest = func(int) { l.closed(); l.w = l.plant.restart() } }, fromTo(26, 40), nil},
		{"windows that overlap", func(*little) {}, fromTo(26, 40), nil},
	} {
		t.Run(c.about, func(t *testing.T) {
			l := &little{plant: newPlant(t, func(cfg *stream.Config) {
				if strings.Contains(c.about, "overlap") {
					cfg.Hop = 20 * time.Second
				}
			}), swapped: 25}
			c.change(l)
			l.run(0, 60)
			if c.right == nil {
				c.right = c.want
			}
			if left, right := l.out("axle1-left"), l.out("axle1-right"); !slices.Equal(left, c.want) || !slices.Equal(right, c.right) {
				t.Errorf("out in minutes %v and %v, want %v and %v", left, right, c.want, c.right)
			}
			if others := append(l.out("axle2-left"), l.out("axle2-right")...); len(others) > 0 {
				t.Errorf("the others are out in %v", others)
			}
		})
	}
}

// TestStepAfterAnUpgrade: whichever version wrote what a sensor remembers, and however few windows behind a gap, exchanged mates are found 26 windows later, and nothing before.
func TestStepAfterAnUpgrade(t *testing.T) {
	for version := byte(1); version <= 7; version++ {
		for gap := 15; gap < 20; gap++ {
			l := &little{plant: newPlant(t, nil), swapped: 46}
			l.silent = func(_ string, m int) bool { return m == gap }
			l.run(0, 20)
			for _, w := range l.windows {
				w.Memory = stream.MemoryOfVersion(w.Memory, version)
			}
			l.w = l.plant.restart()
			l.run(20, 65)
			if out := l.out("axle1-left"); !slices.Equal(out, fromTo(47, 61)) || !slices.Equal(out, l.out("axle1-right")) {
				t.Errorf("version %d, a gap in minute %d: out in minutes %v and %v", version, gap, out, l.out("axle1-right"))
			}
		}
	}
}

// TestJumpInDoubt: while two are in doubt for a little, cables are exchanged whose ends differ by more. That is found as ever.
func TestJumpInDoubt(t *testing.T) {
	l := &little{plant: newPlant(t, nil), swapped: 25, more: 29}
	l.run(0, 61)
	if left, right := l.out("axle1-left"), l.out("axle1-right"); !slices.Equal(left, right) || !slices.Equal(left, slices.Concat(fromTo(26, 29), fromTo(30, 60))) {
		t.Errorf("out in minutes %v and %v", left, right)
	}
}

// TestMatesOfUnlikeResolution: a sensor that resolves a tenth of a kelvin and a mate that resolves a thousandth are told the same.
func TestMatesOfUnlikeResolution(t *testing.T) {
	p := newPlant(t, nil)
	noise := []float64{-0.05, 0.05, -0.1, 0.1, 0}
	for s := 0; s < 60*60; s += 5 {
		apart := 0.07
		if s >= 30*60 {
			apart = -apart
		}
		for i, name := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"} {
			temp := []float64{41 + apart/2, 41 - apart/2, 41.4, 41.5}[i] + noise[s/5%5]
			if name == "axle1-right" {
				temp = math.Round((temp+0.02*float64(s/5%6)-0.05)*10) / 10
			}
			p.temps(name, float64(s), float64(s), 1, func(float64) float64 { return temp })
		}
	}
	p.closed()
	out := map[string][]int64{}
	for _, w := range p.windows {
		if slices.Contains(w.Reasons, stream.Swapped) {
			out[w.Sensor.Name] = append(out[w.Sensor.Name], w.Start)
		}
	}
	if !slices.Equal(out["axle1-left"], out["axle1-right"]) {
		t.Errorf("out in %d and %d windows", len(out["axle1-left"]), len(out["axle1-right"]))
	}
}

// bearings feeds what each sensor shows, degC, a reading each five seconds from one minute to another; NaN: it sends none.
func (p *plant) bearings(from, to int, names []string, shows func(name string, sec int) float64) {
	p.t.Helper()
	noise := []float64{-0.01, 0.01, -0.02, 0}
	for s := from * 60; s < to*60; s += 5 {
		for _, name := range names {
			if temp := shows(name, s) + noise[s/5%4]; !math.IsNaN(temp) {
				p.temps(name, float64(s), float64(s), 1, func(float64) float64 { return temp })
			}
		}
	}
	p.closed()
}

// twoRights are four bearings, of which axle1-left has two mates: axle1-right is the first by name.
var twoRights = []string{"axle1-left", "axle1-right", "axle1_right", "axle2-left", "axle2-right"}

// TestMateThatComesAndGoes: with two mates the pairing is with the first by name. When that one lacks a window now and then the other does not take its place: what little the first changes by is
// still seen.
func TestMateThatComesAndGoes(t *testing.T) {
	p := newPlant(t, nil)
	p.bearings(0, 60, twoRights, func(name string, s int) float64 {
		step := 0.0
		if s >= 40*60 {
			step = 0.03
		}
		switch {
		case name == "axle1-right" && s/60%16 == 15:
			return math.NaN()
		case name == "axle1-left":
			return 41.05 - step
		case name == "axle1-right":
			return 41.02 + step
		case name == "axle1_right":
			return 41.2
		}
		return 41.5
	})
	if left, right := p.out("axle1-left"), p.out("axle1-right"); !slices.Equal(left, fromTo(41, 47)) || !slices.Equal(right, left) {
		t.Errorf("out in minutes %v and %v", left, right)
	}
	if other := p.out("axle1_right"); len(other) > 0 {
		t.Errorf("the other mate is out in minutes %v", other)
	}
}

// TestAnotherMate: what is known of a sensor and its mate says nothing of it and another one. When the mate is gone, nothing is said of the other for an hour, not even when the two are
// exchanged; then it takes its place, and is learned of anew: nothing is said of an exchange before that either.
func TestAnotherMate(t *testing.T) {
	p := newPlant(t, nil)
	p.bearings(0, 150, twoRights, func(name string, s int) float64 {
		minute, step := s/60, 0.25
		if minute >= 80 && minute < 97 || minute >= 130 {
			step = -step
		}
		switch {
		case name == "axle1-right" && minute >= 30, name == "axle1_right" && minute < 30:
			return math.NaN()
		case name == "axle1-right":
			return 41.5 + step
		case name == "axle1-left" && minute < 30:
			return 41.5 - step
		case name == "axle1-left":
			return 41.5 + step // from its mate's side to the other's: held against the mate of before it is an exchange
		case name == "axle1_right":
			return 41.5 - step
		}
		return 41.9
	})
	if out := p.out("axle1-left"); !slices.Equal(out, fromTo(131, 149)) {
		t.Errorf("axle1-left is out in minutes %v", out)
	}
	if out := p.out("axle1_right"); !slices.Equal(out, slices.Concat(fromTo(81, 98), fromTo(131, 149))) { // which never had another
		t.Errorf("axle1_right is out in minutes %v", out)
	}
}

// TestBrokenMateBlocksNone: of two mates the first by name is stuck. The pairing is with the sound one, at once where there was none, else within an hour and what it takes to learn; it stays when the other is mended.
func TestBrokenMateBlocksNone(t *testing.T) {
	for _, c := range []struct{ stuck, mended, swapped int }{{0, 99, 40}, {0, 20, 40}, {10, 199, 100}} {
		p := newPlant(t, nil)
		p.bearings(0, c.swapped+20, twoRights, func(name string, s int) float64 {
			apart := 0.15
			if s >= c.swapped*60 {
				apart = -apart
			}
			switch {
			case name == "axle1-left":
				return 41 + apart
			case name == "axle1_right":
				return 41 - apart
			case name == "axle1-right" && s >= c.stuck*60 && s < c.mended*60:
				return 40.9 - []float64{-0.01, 0.01, -0.02, 0}[s/5%4] // which is added to all
			}
			return 41.5
		})
		for _, name := range []string{"axle1-left", "axle1_right"} {
			if out := p.out(name); !slices.Equal(out, fromTo(c.swapped+1, c.swapped+19)) {
				t.Errorf("stuck from minute %d on: %s is out in minutes %v", c.stuck, name, out)
			}
		}
		for _, w := range p.windows {
			if w.Sensor.Name == "axle1-right" && w.Start > at(float64(60*c.stuck)) && w.End < at(float64(60*c.mended)) && !slices.Contains(w.Reasons, stream.Flatline) {
				t.Errorf("axle1-right is stuck from minute %d on, and in minute %v it is out for %v", c.stuck, sec(w.Start)/60, w.Reasons)
			}
		}
	}
}

// TestCourseHasOneForm: of the words that version 7 added nothing is read that would be written otherwise, or is no figure of it.
func TestCourseHasOneForm(t *testing.T) {
	if b := stream.MemoryWithCourse(func([]int64) {}); !bytes.Equal(b, stream.SampleMemory()) {
		t.Errorf("%x is not the sample", b)
	}
	for about, spoil := range map[string]func(words []int64){
		"no number":           func(w []int64) { w[0] = w[0]&^0xffffffff | int64(math.Float32bits(float32(math.NaN()))) },
		"infinite":            func(w []int64) { w[0] = w[0]&^0xffffffff | int64(math.Float32bits(float32(math.Inf(1)))) },
		"a negative variance": func(w []int64) { w[1] |= math.MinInt64 },
	} {
		if again, err := stream.MemoryRoundTrip(stream.MemoryWithCourse(spoil)); err == nil {
			t.Errorf("%s: accepted, and comes back %x", about, again)
		}
	}
}

// TestChanceIsNoExchange: in a day of a sound vehicle hardly a window shows by chance what exchanged mates would, and what does is let in again.
func TestChanceIsNoExchange(t *testing.T) {
	v := newVehicle(t)
	const minutes = 24 * 60
	v.minutes(t, minutes, func(_ string, rise, _ float64, _ bool) float64 { return rise })
	out := 0
	for name, s := range v.told {
		out += s.reasons[stream.Swapped]
		if !s.last || len(s.reasons) > 1 {
			t.Errorf("%s ends valid: %t; out for %v", name, s.last, s.reasons)
		}
	}
	if share := float64(out) / (8 * minutes); share > 0.001 {
		t.Errorf("%d windows are out, %.2f %%", out, 100*share)
	}
}

// TestOffset: what two sensors read apart is told from what their ends are apart by, and stays when the cables are exchanged.
func TestOffset(t *testing.T) {
	var points [][2]float64 // apart, rise over ambient, K
	for i := range 120 {
		rise := 25 * (1 - math.Exp(-float64(i)/40))
		points = append(points, [2]float64{0.4 - 0.03*rise, rise})
	}
	off, slope, sd := stream.LearnOffset(points, 0)
	if math.Abs(off-0.4) > 0.03 || math.Abs(slope+0.03) > 0.002 || sd > 0.1 {
		t.Errorf("0.4 K and -0.03 K for each are learned as %.3f K, standard deviation %.3f, and %.4f", off, sd, slope)
	}
	for i := range points {
		if i >= 60 {
			points[i][0] = 0.4 + 0.03*points[i][1]
		}
	}
	if off, slope, _ := stream.LearnOffset(points, 60); math.Abs(off-0.4) > 0.03 || math.Abs(slope-0.03) > 0.002 {
		t.Errorf("exchanged half-way, 0.4 K and 0.03 K for each are learned as %.3f K and %.4f", off, slope)
	}
	for i := range 30 {
		points[i+70][0] += 5
	}
	if off, _, sd := stream.LearnOffset(points, 60); math.Abs(off-0.4) > 0.05 || sd < 0.1 {
		t.Errorf("after half an hour in which one end is 5 K hotter, 0.4 K is %.3f K, standard deviation %.3f", off, sd)
	}
	if _, _, sd := stream.LearnOffset(points[:1], 0); sd < 0.05 {
		t.Errorf("one window leaves a standard deviation of %.3f K", sd)
	}
}
