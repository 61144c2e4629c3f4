package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/stream"
)

// twinRun feeds two of a kind for some hours, a reading each five seconds, and tells of each for what it is out, in how many windows. Both are braked alike: heat comes every
// ten minutes and goes. shows makes of a rise over ambient what the two say.
func twinRun(t *testing.T, names [2]string, shows func(minute, rise float64) (first, second float64)) (out [2]map[stream.Reason]int) {
	t.Helper()
	p := newPlant(t, nil)
	rng := rand.New(rand.NewPCG(5, 5))
	for s := 0; s < 4*3600; s += 5 {
		minute := float64(s) / 60
		rise := 20 + 22*math.Exp(-math.Mod(minute, 10)/4)
		if strings.HasPrefix(names[0], "motor") { // it is heavier
			rise = 35
		}
		a, b := shows(minute, rise)
		for i, v := range []float64{a, b} {
			p.send(names[i], fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25,"speed_kmh":60}`, at(float64(s)), 25+v+0.08*rng.NormFloat64()))
		}
	}
	out = [2]map[stream.Reason]int{{}, {}}
	for _, w := range p.w.Take().Windows {
		for _, r := range w.Reasons {
			out[slices.Index(names[:], w.Sensor.Name)][r]++
		}
	}
	return out
}

// TestTwins: of two discs the lower one is out when they come apart as a sensor's error does, and nobody when it may be heat.
func TestTwins(t *testing.T) {
	ramp := func(minute, from, to float64) float64 { return min(1, max(0, (minute-from)/(to-from))) }
	discs, motors := [2]string{"brake1", "brake2"}, [2]string{"motor1-drive", "motor2-drive"}
	for _, c := range []struct {
		about string
		names [2]string
		shows func(minute, rise float64) (first, second float64)
		first stream.Reason // for what the first is out; empty: it is not
	}{
		{"alike", discs, func(_, rise float64) (float64, float64) { return rise, 0.97 * rise }, ""},
		{"a drift down", discs, func(m, rise float64) (float64, float64) { return rise - 10*ramp(m, 90, 150), rise }, stream.SensorDrift},
		{"a layer of dirt", discs, func(m, rise float64) (float64, float64) { return rise * (1 - 0.35*ramp(m, 90, 130)), rise }, stream.Fouling},
		{"the other one drags", discs, func(m, rise float64) (float64, float64) {
			return rise, rise + 120*ramp(m, 90, 240)*(1+0.5*math.Sin(m*1.3))
		}, ""},
		{"the other one's motor loses its cooling", motors, func(m, rise float64) (float64, float64) { return rise, rise * (1 + 0.6*ramp(m, 90, 180)) }, ""},
	} {
		out := twinRun(t, c.names, c.shows)
		for r, n := range out[1] {
			t.Errorf("%s: the higher one is out for %s in %d windows", c.about, r, n)
		}
		switch n := out[0][c.first]; {
		case c.first == "" && len(out[0]) > 0:
			t.Errorf("%s: out for %v", c.about, out[0])
		case c.first != "" && (n < 60 || len(out[0]) > 2):
			t.Errorf("%s: out for %v, want %s", c.about, out[0], c.first)
		}
	}
}
