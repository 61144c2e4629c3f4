package stream_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/camrail/cidp/stream"
)

// near compares with the rounding of a few operations.
func near(got, want float64) bool {
	return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))
}

// TestFeaturesByHand checks every feature of one window against figures worked out by hand.
func TestFeaturesByHand(t *testing.T) {
	nan := math.NaN()
	p := newPlant(t, nil)
	// A ramp of 0.05 K/s from 40 degC over 60 s, at 20 degC ambient, 36 km/h, brake applied for the second half.
	for s := range 75 {
		brake := min(s/30, 1)
		p.send("axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":20,"speed_kmh":36,"load_t":%d,"brake":%d}`, at(float64(s)), 40+0.05*float64(s), 60+s%2, brake))
	}
	f := p.w.Take().Windows[0].Features
	mean := 40 + 0.05*29.5
	for i, want := range [stream.NumFeatures]float64{
		stream.FKind: 1, stream.FMean: mean, stream.FMax: 42.95, stream.FMin: 40, stream.FLast: 42.95,
		stream.FStd:       0.05 * math.Sqrt((60*60-1)/12.0),
		stream.FSlope:     3,
		stream.FShortLong: 40 + 0.05*52 - mean, // the last 15 readings are 45 to 59
		stream.FAmbient:   20, stream.FOverAmbient: mean - 20, stream.FSpeed: 36, stream.FLoad: 60.5, stream.FBrakeShare: 0.5,
		stream.FRiseBaseline: nan, stream.FPeerDiff: nan, stream.FPeerZ: nan, stream.FMateDiff: nan,
		stream.FHeading:      mean - 20 + 30*3,
		stream.FCompleteness: 1, stream.FSuspectShare: 0,
	} {
		if !near(f[i], want) {
			t.Errorf("%s is %v, want %v", stream.FeatureList[i].Name, f[i], want)
		}
	}
}

// TestPeers sets five bearings of one asset against each other; a motor is nobody's peer among them, and a broken sensor is nobody's measure.
func TestPeers(t *testing.T) {
	p := newPlant(t, nil)
	temp := map[string]float64{"axle1-left": 41, "axle1-right": 42, "axle2-left": 43, "axle2-right": 54, "axle3-left": 300, "motor1": 90}
	for s := range 75 {
		for _, name := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right", "axle3-left", "motor1"} {
			p.temps(name, float64(s), float64(s), 1, func(float64) float64 { return temp[name] + 0.01*float64(s%2) })
		}
	}
	for _, w := range p.w.Take().Windows {
		f := &w.Features
		want := map[string][3]float64{ // against the median, robust z, against the mate
			"axle1-left":  {41 - 43, (41 - 43) / 1.4826, -1},      // peers 42 43 54: median 43, deviations 1 0 11
			"axle1-right": {42 - 43, (42 - 43) / (1.4826 * 2), 1}, // peers 41 43 54: deviations 2 0 11
			"axle2-left":  {43 - 42, (43 - 42) / 1.4826, 43 - 54}, // peers 41 42 54: deviations 1 0 12
			"axle2-right": {54 - 42, (54 - 42) / 1.4826, 54 - 43}, // peers 41 42 43: deviations 1 0 1
			"axle3-left":  {math.NaN(), math.NaN(), math.NaN()},   // no clean reading
			"motor1":      {math.NaN(), math.NaN(), math.NaN()},   // no peer
		}[w.Sensor.Name]
		if !near(f[stream.FPeerDiff], want[0]) || !near(f[stream.FPeerZ], want[1]) || !near(f[stream.FMateDiff], want[2]) {
			t.Errorf("%s: %v %v %v, want %v", w.Sensor.Name, f[stream.FPeerDiff], f[stream.FPeerZ], f[stream.FMateDiff], want)
		}
		if w.Valid() == (w.Sensor.Name == "axle3-left") {
			t.Errorf("%s: %s", w.Sensor.Name, w.Detail)
		}
	}
}

// TestPeersThatAgree do not make an outlier of a sensor half a kelvin off: the spread is floored.
func TestPeersThatAgree(t *testing.T) {
	p := newPlant(t, nil)
	for s := range 75 {
		for i, name := range []string{"axle1-left", "axle2-left", "axle3-left", "axle4-left"} {
			p.temps(name, float64(s), float64(s), 1, func(sec float64) float64 { return healthy(sec) + 0.5*float64(i/3) })
		}
	}
	if f := p.w.Take().Windows[3].Features; !near(f[stream.FPeerZ], 1) || !near(f[stream.FPeerDiff], 0.5) {
		t.Errorf("z %v, difference %v", f[stream.FPeerZ], f[stream.FPeerDiff])
	}
}

// TestBaseline: the usual rise over ambient is known from the sixth valid window on, apart for each class of speed, and stands still while an alarm does.
func TestBaseline(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		cfg := stream.DefaultConfig()
		w, err := stream.NewWindower(cfg, nil, func(w *stream.Window) bool { return frozen && w.Start >= at(480) })
		if err != nil {
			t.Fatal(err)
		}
		for s := range 800 {
			rise, speed := 20.0, 60
			if s >= 480 {
				rise = 29 // from here on 9 K hotter
			}
			if s >= 660 {
				speed = 0 // standing: another class
			}
			feed(t, w, "cidp/v1/telemetry/d/l/axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":20,"speed_kmh":%d}`,
				at(float64(s)), 20+rise+0.02*float64(s%2-s/30%2), speed))
		}
		for i, win := range w.Take().Windows {
			got, want := win.Features[stream.FRiseBaseline], 0.0
			switch {
			case i < 5 || i >= 11:
				want = math.NaN()
			case i == 9 && !frozen:
				want = 9 - 3.0/9 // one window's step of at most 3 K, over 9 windows
			case i == 10 && !frozen:
				want = 9 - 3.0/9 - 3.0/10
			case i >= 8:
				want = 9
			}
			if !(math.Abs(got-want) < 0.03 || math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("frozen %v: window %d: rise over the baseline %v, want %v (%s)", frozen, i, got, want, win.Detail)
			}
		}
	}
}

func TestSensorsAreDescribed(t *testing.T) {
	p := newPlant(t, nil)
	for name, want := range map[string]string{
		"axle3-left":           "bearing axle3 3 left",
		"axle3_r":              "bearing axle3 3 right",
		"motor1-drive":         "motor  1 ",
		"brake2.right":         "brake brake2 2 right",
		"trafo":                "transformer  0 ",
		"tm12":                 "motor  12 ",
		"x":                    "other  0 ",
		"bright":               "other  0 ",
		"box99999999999999999": "bearing  0 ",
	} {
		p.send(name, reading(0, 40))
		b := p.w.Take()
		p.commit(b)
		s := b.Sensors[0]
		if got := fmt.Sprintf("%s %s %d %s", s.Kind, s.Position, s.Axle, s.Side); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
		if s.Site != "douala" || s.Asset != "loco7" || s.Name != name || s.FirstSeen != t0 {
			t.Errorf("%+v", s)
		}
	}
	if len(p.assets) != 1 {
		t.Errorf("%d assets", len(p.assets))
	}
}
