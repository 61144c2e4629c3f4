package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/camrail/cidp/stream"
)

// shown is what two discs of one vehicle say, K over ambient, and what heats the first one besides its brake, K/min.
type shown struct {
	first, second func(minute, rise float64) float64
	drag          func(minute float64, running bool) float64
	alone         bool // the second one is not there
}

// coolRun drives for five hours, eleven minutes of running to a stop of five, a reading each five seconds, and tells of each disc in how many windows it is out for drift. Nothing heats
// a disc but the stop, and what it has cools as Newton says.
func coolRun(t *testing.T, s shown) (out [2]int) {
	t.Helper()
	p := newPlant(t, nil)
	rng := rand.New(rand.NewPCG(9, 9))
	rise := [2]float64{30, 30}
	for sec := 0; sec < 5*3600; sec += 5 {
		minute := float64(sec) / 60
		phase := math.Mod(minute, 16)
		running, braking := phase < 11, phase >= 10 && phase < 11
		k, speed, brake := 0.016, 0.0, 1
		if running {
			k, speed, brake = 0.0055*(1+math.Sqrt(64)), 64, 0
		}
		if braking {
			speed, brake = 30, 1
		}
		for i := range rise {
			rise[i] -= k * rise[i] / 12
			if braking {
				rise[i] += 26.0 / 12
			}
		}
		if s.drag != nil {
			rise[0] += s.drag(minute, running) / 12
		}
		for i, say := range []func(minute, rise float64) float64{s.first, s.second} {
			v := rise[i]
			if say != nil {
				v = say(minute, v)
			}
			if i == 1 && s.alone {
				continue
			}
			p.send([]string{"brake1", "brake2"}[i], fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25,"speed_kmh":%g,"brake":%d}`, at(float64(sec)), 25+v+0.08*rng.NormFloat64(), speed, brake))
		}
	}
	for _, w := range p.w.Take().Windows {
		for _, r := range w.Reasons {
			if r == stream.SensorDrift || r == stream.Fouling {
				out[w.Sensor.Name[5]-'1']++
			}
		}
	}
	return out
}

// TestCooling: of two discs that come apart the one whose pace of cooling does not fit what it shows is out, whichever is the higher; what is heated never is.
func TestCooling(t *testing.T) {
	drift := func(kHour float64) func(minute, rise float64) float64 {
		return func(minute, rise float64) float64 {
			return rise + max(-12, min(12, kHour*max(0, minute-120)/60))
		}
	}
	heat := func(kMin float64) func(minute float64, running bool) float64 {
		return func(minute float64, running bool) float64 {
			if !running || minute < 120 {
				return 0
			}
			return kMin * (minute - 120) / 60
		}
	}
	for _, c := range []struct {
		about string
		shows shown
		out   [2]bool
	}{
		{"alike", shown{}, [2]bool{}},
		{"the first drifts up", shown{first: drift(10)}, [2]bool{true, false}},
		{"the second drifts up", shown{second: drift(7)}, [2]bool{false, true}},
		{"the first drifts down", shown{first: drift(-8)}, [2]bool{true, false}},
		{"the first drags a little, more and more", shown{drag: heat(0.5)}, [2]bool{}},
		{"the first drags", shown{drag: heat(5)}, [2]bool{}},
		{"alone, and drifts up", shown{first: drift(10), alone: true}, [2]bool{true, false}},
		{"alone, and drifts down", shown{first: drift(-10), alone: true}, [2]bool{true, false}},
		{"alone, and drags a little, more and more", shown{drag: heat(0.5), alone: true}, [2]bool{}},
		{"alone, and drags", shown{drag: heat(5), alone: true}, [2]bool{}},
	} {
		out := coolRun(t, c.shows)
		for i, want := range c.out {
			if (out[i] >= 30) != want || !want && out[i] > 0 {
				t.Errorf("%s: brake%d is out in %d windows", c.about, i+1, out[i])
			}
		}
	}
}
