package stream_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/stream"
)

// TestMatesThatChangedPlaces: what two sensors of one axle show, and whether their cables were exchanged. The vehicle's bearings differ by some per cent, axle2-left from its mate by
// five more.
func TestMatesThatChangedPlaces(t *testing.T) {
	const left, right = oddOne, "axle2-right"
	wide := func(name string, rise float64) float64 {
		if name == left {
			return rise * 1.05
		}
		return rise
	}
	for _, c := range []struct {
		about string
		want  bool
		odd   func(name string, rise, minute float64) float64
	}{
		{"nothing", false, func(name string, rise, _ float64) float64 { return wide(name, rise) }},
		{"cables exchanged in the third minute", true, func(name string, rise, minute float64) float64 {
			switch {
			case minute < 2.5:
				return wide(name, rise)
			case name == left:
				return rise * 0.99 / 0.98 // its mate's
			case name == right:
				return rise * 0.98 / 0.99 * 1.05
			}
			return rise
		}},
		{"one end that drops at once", false, func(name string, rise, minute float64) float64 {
			if name == left && minute > 2.5 {
				return rise
			}
			return wide(name, rise)
		}},
		{"one end that goes up at once", false, func(name string, rise, minute float64) float64 {
			if name == right && minute > 2.5 {
				return rise + 1
			}
			return wide(name, rise)
		}},
		{"one end that cools while the other warms, within ten minutes", false, func(name string, rise, minute float64) float64 {
			switch move := min(1, minute/10); name {
			case left:
				return rise*1.05 - move
			case right:
				return rise + move
			}
			return rise
		}},
		{"ends that come nearer at once, but not as far on the other side", false, func(name string, rise, minute float64) float64 {
			if minute > 2.5 && name == left {
				return wide(name, rise) - 0.3
			} else if minute > 2.5 && name == right {
				return rise + 0.3
			}
			return wide(name, rise)
		}},
		{"both ends that warm at once", false, func(name string, rise, minute float64) float64 {
			if minute > 2.5 && strings.HasPrefix(name, "axle2") {
				rise++
			}
			return wide(name, rise)
		}},
		{"ends that move apart at once", false, func(name string, rise, minute float64) float64 {
			if minute > 2.5 && name == left {
				rise += 2
			} else if minute > 2.5 && name == right {
				rise -= 2
			}
			return wide(name, rise)
		}},
	} {
		t.Run(c.about, func(t *testing.T) {
			v := newVehicle(t)
			v.minutes(t, 72, func(name string, rise, _ float64, _ bool) float64 { return wide(name, rise) })
			v.forget()
			v.minutes(t, 30, func(name string, rise, minute float64, _ bool) float64 { return c.odd(name, rise, minute) })
			for _, name := range []string{left, right} {
				s := v.told[name]
				if got := s.reasons[stream.Swapped] > 0; got != c.want {
					t.Errorf("%s: %v, first %s", name, s.reasons, s.detail)
				}
				if c.want && (s.first-1-72 > 4 || s.last || !strings.Contains(s.detail, strings.TrimPrefix(left+right, name)[:5])) {
					t.Errorf("%s is out from window %d on (back: %t): %s", name, s.first-72, s.last, s.detail)
				}
			}
			for name, s := range v.told {
				if s.reasons[stream.Swapped] > 0 && name != left && name != right {
					t.Errorf("%s is said to have changed places: %s", name, s.detail)
				}
			}
		})
	}
}

// TestSwappedComesBack: the two are let in once they jump back, after an hour, as they are true and it was told, and when one of them heats: then it was no cable.
func TestSwappedComesBack(t *testing.T) {
	const before, swapped = 20 * 60, 30 * 60
	for _, c := range []struct {
		about string
		shows func(sec int) (left, right float64)
		out   [][2]int // minutes, the second exclusive
	}{
		{"back", func(sec int) (left, right float64) {
			if sec >= before && sec < before+swapped || sec >= before+2*swapped {
				return 40, 41
			}
			return 41, 40
		}, [][2]int{{21, 51}, {81, 141}}}, // a jump is known when two windows stand on either side of it
		{"heat", func(sec int) (left, right float64) {
			if sec >= before {
				return 40 + max(0, float64(sec-before-1200)/600), 41
			}
			return 41, 40
		}, [][2]int{{21, 70}}},
	} {
		p := newPlant(t, nil)
		p.axle(before+swapped+120*60+15, c.shows)
		var out, want []int
		for _, w := range p.w.Take().Windows {
			if w.Sensor.Name == "axle1-right" && slices.Contains(w.Reasons, stream.Swapped) {
				out = append(out, int(sec(w.Start))/60)
			}
		}
		for _, o := range c.out {
			for m := o[0]; m < o[1]; m++ {
				want = append(want, m)
			}
		}
		if !slices.Equal(out, want) {
			t.Errorf("%s: out in minutes %v, want %v", c.about, out, want)
		}
	}
}

// TestTogether: what the others move by is the mean of those that move alike, in whatever order they come.
func TestTogether(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		about string
		moves []float64
		noise float64
		want  float64
	}{
		{"all alike", []float64{0.5, 0.51, 0.53, 0.54}, 0.01, 0.52},
		{"one drifts", []float64{0.5, 0.9, 0.51, 0.52}, 0.01, 0.51},
		{"one sticks", []float64{0.5, 0.51, 0, 0.52}, 0.01, 0.51},
		{"one goes the other way while all stand", []float64{0.01, -0.3, 0, -0.01}, 0.01, 0},
		{"noise explains it", []float64{0.01, -0.03, 0, 0.02}, 0.01, 0},
		{"and less noise does not", []float64{0.01, -0.03, 0, 0.02}, 0.005, 0.01},
		{"a quarter more is alike where all warm", []float64{2, 2.4, 1.9}, 0, 2.1},
		{"two", []float64{0.25, 0.5}, 0.1, 0.375},
		{"two that differ", []float64{0, 1}, 0.01, none},
		{"one", []float64{0.5}, 0.01, none},
		{"none", nil, 0.01, none},
		{"three that all differ", []float64{0, 1, 2}, 0.01, none},
	} {
		for i := range len(c.moves) + 1 {
			moves := slices.Concat(c.moves[i:], c.moves[:i])
			if i%2 == 1 {
				slices.Reverse(moves)
			}
			first := stream.Together(c.moves, c.noise)
			got := stream.Together(moves, c.noise)
			if math.Float64bits(got) != math.Float64bits(first) || math.IsNaN(got) != math.IsNaN(c.want) || math.Abs(got-c.want) > 1e-12 {
				t.Errorf("%s: %v move together by %v, want %v", c.about, moves, got, c.want)
			}
		}
	}
}

// axle feeds four bearings a reading each five seconds, from second 0 on: axle1's two as they are told, axle2's near them.
func (p *plant) axle(to int, shows func(sec int) (left, right float64)) {
	p.t.Helper()
	rng := rand.New(rand.NewPCG(3, 3))
	for s := 0; s < to; s += 5 {
		left, right := shows(s)
		for i, temp := range []float64{left, right, 40.4, 40.6} {
			name := []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}[i]
			p.temps(name, float64(s), float64(s), 1, func(float64) float64 { return temp + 0.05*rng.NormFloat64() })
		}
	}
}
