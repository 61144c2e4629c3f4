package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/camrail/cidp/stream"
)

// vehicle feeds eight bearings of one asset, a reading each five seconds, that warm and cool with their runs: 15 minutes of running, 3 of standing. They differ by some per cent.
type vehicle struct {
	w      *stream.Windower
	rng    *rand.Rand
	sec    int64
	heat   float64 // K over ambient, of a bearing with a gain of 1
	alone  bool    // it has but oddOne
	stands bool    // it does not run any more
	told   map[string]*sensorStory
}

type sensorStory struct {
	windows int
	first   int // number of the first quarantined window, 0: none
	last    bool
	detail  string // of the first quarantined one
	reasons map[stream.Reason]int
}

func newVehicle(t *testing.T) *vehicle {
	t.Helper()
	v := &vehicle{rng: rand.New(rand.NewPCG(5, 5)), told: map[string]*sensorStory{}}
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	var err error
	if v.w, err = stream.NewWindower(cfg, nil, func(w *stream.Window) bool { return w.Features[stream.FOverAmbient] > 45 }); err != nil {
		t.Fatal(err)
	}
	return v
}

const vehicleAmbient = 20.0

// minutes runs the vehicle. odd changes what one bearing's sensor shows: name, K over ambient, minutes since the call, whether the vehicle stands.
func (v *vehicle) minutes(t *testing.T, n int64, odd func(name string, rise, minute float64, standing bool) float64) {
	t.Helper()
	begin := v.sec
	for ; v.sec < begin+60*n; v.sec += 5 {
		standing := v.stands || v.sec/60%18 >= 15
		speed, toward, tau := stream.Milli(70_000), 30.0, 2400.0
		if standing {
			speed, toward, tau = 0, 0, 5400
		}
		v.heat += (toward - v.heat) * 5 / tau
		for i := range 8 {
			name := fmt.Sprintf("axle%d-%s", i/2+1, []string{"left", "right"}[i%2])
			rise := v.heat * (0.96 + 0.01*float64(i))
			if v.alone && name != oddOne {
				continue
			}
			if odd != nil {
				rise = odd(name, rise, float64(v.sec-begin)/60, standing)
			}
			temp, _ := stream.ToMilli(vehicleAmbient + rise + 0.08*v.rng.NormFloat64())
			r := stream.Reading{TS: t0 + v.sec*1000, Temp: temp / 10 * 10, Conditions: stream.Conditions{
				Ambient: vehicleAmbient * 1000, Speed: speed, Has: stream.HasAmbient | stream.HasSpeed}}
			if _, err := v.w.FeedReading(stream.TelemetryTopic("d", "l", name), r, r.TS, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range v.w.Take().Windows {
		s := v.told[w.Sensor.Name]
		if s == nil {
			s = &sensorStory{reasons: map[stream.Reason]int{}}
			v.told[w.Sensor.Name] = s
		}
		s.windows++
		s.last = w.Valid()
		for _, r := range w.Reasons {
			s.reasons[r]++
		}
		if !w.Valid() && s.first == 0 {
			s.detail = w.Detail
			s.first = s.windows
		}
	}
}

// forget lets nothing count that was told so far: of many windows one or the other shows by chance what exchanged mates would (TestChanceIsNoExchange).
func (v *vehicle) forget() {
	for _, s := range v.told {
		s.first, s.detail = 0, ""
		clear(s.reasons)
	}
}

// others fails the test for every sensor but one that was ever quarantined. One window in a thousand shows by chance what exchanged mates would, and puts both in doubt for a window or two: of the
// sensors named as doubted that is borne.
func (v *vehicle) others(t *testing.T, but string, doubted ...string) {
	t.Helper()
	for name, s := range v.told {
		chance := len(s.reasons) == 1 && s.reasons[stream.Swapped] <= 2 && slices.Contains(doubted, name)
		if name != but && s.first != 0 && !chance {
			t.Errorf("%s was sound, and out from window %d on: %v", name, s.first, s.reasons)
		}
	}
}

const oddOne = "axle2-left"

// warming are the two that a vehicle which starts cold doubts in its 25th minute.
var warming = []string{"axle1-left", "axle1-right"}

// TestSensorFaultsAgainstComponentFaults: what one sensor of eight shows, and whether it is the sensor or the bearing.
func TestSensorFaultsAgainstComponentFaults(t *testing.T) {
	excess := 0.0 // K that a failing bearing is hotter than a sound one: it grows while the vehicle runs and goes while it stands
	heats := func(kMin float64) func(rise, minute float64, standing bool) float64 {
		return func(rise, minute float64, standing bool) float64 {
			switch {
			case minute == 0:
				excess = 0
			case standing:
				excess -= excess * 5 / 5400
			default:
				excess = min(150, excess+kMin/12)
			}
			return rise + excess
		}
	}
	either := []stream.Reason{stream.SensorDrift, stream.Fouling} // a shortfall that grows while the fleet warms up is like both
	for _, c := range []struct {
		about string
		want  []stream.Reason // one of them; none: never quarantined
		by    int             // minutes by which it is out
		odd   func(rise, minute float64, standing bool) float64
	}{
		{"a sound bearing", nil, 0, func(rise, _ float64, _ bool) float64 { return rise }},
		{"a drift down of 10 K an hour", either, 45, func(rise, m float64, _ bool) float64 { return rise - m/6 }},
		{"a drift up of 14 K an hour", either[:1], 110, func(rise, m float64, _ bool) float64 { return rise + min(16, m*14/60) }},
		{"dirt that takes 40 % in 40 minutes", either[1:], 40, func(rise, m float64, _ bool) float64 { return rise * (1 - 0.4*min(1, m/40)) }},
		{"twelve kelvin too low at once", []stream.Reason{stream.PeerDisagreement}, 2, func(rise, m float64, _ bool) float64 { return rise - 12*min(1, m*3) }},
		{"a bearing that gains 10 K an hour while it turns", nil, 0, heats(1.0 / 6)},
		{"a bearing that gains 0.5 K a minute", nil, 0, heats(0.5)},
		{"a bearing that gains 3 K a minute", nil, 0, heats(3)},
	} {
		t.Run(c.about, func(t *testing.T) {
			v := newVehicle(t)
			v.minutes(t, 72, nil)
			before := v.told[oddOne].windows
			v.minutes(t, 120, func(name string, rise, minute float64, standing bool) float64 {
				if name == oddOne {
					return c.odd(rise, minute, standing)
				}
				return rise
			})
			v.others(t, oddOne, warming...)
			s := v.told[oddOne]
			switch {
			case c.want == nil && s.first != 0:
				t.Errorf("out from window %d on: %v", s.first-before, s.reasons)
			case c.want != nil && (s.first == 0 || s.first-before > c.by || !slices.ContainsFunc(c.want, func(r stream.Reason) bool { return s.reasons[r] > 0 })):
				t.Errorf("out at window %d for %v, want %v by %d", s.first-before, s.reasons, c.want, c.by)
			case c.want != nil && s.last:
				t.Error("the sensor came back though it did not mend")
			}
		})
	}
}

// TestDriftStaysOutUntilItIsHot: a sensor that was found to drift upwards is not believed again at 45 K over ambient, where alarms begin, but at 65 K; and at once when heat comes to the
// error, which is faster than any drift.
func TestDriftStaysOutUntilItIsHot(t *testing.T) {
	for _, c := range []struct {
		about string
		until func(m float64) float64 // K that the sensor reads too high, m minutes after it was found
		back  float64                 // K over ambient at which it is back; 0: it stays out
	}{
		{"the drift ends at 58 K over ambient", func(m float64) float64 { return min(30, 16+m*14/60) }, 0},
		{"the drift goes on", func(m float64) float64 { return 16 + m*14/60 }, 65},
		{"the bearing heats by 3 K a minute", func(m float64) float64 { return 16 + m*14/60 + 3*max(0, m-10) }, 55},
	} {
		t.Run(c.about, func(t *testing.T) {
			v := newVehicle(t)
			v.minutes(t, 72, nil)
			drift := func(of func(m float64) float64) func(name string, rise, m float64, _ bool) float64 {
				return func(name string, rise, m float64, _ bool) float64 {
					if name == oddOne {
						return rise + of(m)
					}
					return rise
				}
			}
			v.minutes(t, 120, drift(func(m float64) float64 { return min(16, m*14/60) }))
			if s := v.told[oddOne]; s.last || s.reasons[stream.SensorDrift] == 0 {
				t.Fatalf("it was not found to drift: %+v", s)
			}
			back := 0.0
			for m := range int64(150) {
				v.minutes(t, 1, drift(func(minute float64) float64 { return c.until(float64(m) + minute) }))
				if back == 0 && v.told[oddOne].last {
					back = v.heat*0.98 + c.until(float64(m))
				}
			}
			if (back == 0) != (c.back == 0) || math.Abs(back-c.back) > 4 {
				t.Errorf("it is believed again at %.1f K over ambient, want %.1f", back, c.back)
			}
			v.others(t, oddOne, warming...)
		})
	}
}

// TestAxleHeatIsNoDrift: a hot wheel warms both ends of its axle, at standstill most of all. Neither is a sensor's fault.
func TestAxleHeatIsNoDrift(t *testing.T) {
	v := newVehicle(t)
	v.minutes(t, 72, nil)
	extra := map[string]float64{}
	v.minutes(t, 120, func(name string, rise, _ float64, standing bool) float64 {
		if name == "axle2-left" || name == "axle2-right" {
			if standing {
				extra[name] += 0.02 // 0.24 K/min
			} else {
				extra[name] += 0.004
			}
		}
		return rise + extra[name]
	})
	v.others(t, "", warming...)
}

// TestDriftBesideSpikes: a sensor that drifts up is held against its mate also while that one is out for spikes, which cleaning takes away.
func TestDriftBesideSpikes(t *testing.T) {
	v := newVehicle(t)
	v.minutes(t, 72, nil)
	v.minutes(t, 120, func(name string, rise, minute float64, _ bool) float64 {
		switch {
		case name == oddOne:
			return rise + min(16, minute*14/60)
		case name == "axle2-right" && v.sec/5%5 == 0:
			return rise + 30
		}
		return rise
	})
	if s := v.told["axle2-right"]; s.reasons[stream.Spikes] < 100 {
		t.Errorf("the mate is out for %v", s.reasons)
	}
	if s := v.told[oddOne]; s.reasons[stream.SensorDrift] < 20 {
		t.Errorf("out for %v in %d windows", s.reasons, s.windows)
	}
}

// TestSensorComesBack: once a drifted sensor agrees again it is let in.
func TestSensorComesBack(t *testing.T) {
	v := newVehicle(t)
	v.minutes(t, 72, nil)
	v.minutes(t, 40, func(name string, rise, _ float64, _ bool) float64 {
		if name == oddOne {
			return rise - 8
		}
		return rise
	})
	if s := v.told[oddOne]; s.first == 0 || s.last {
		t.Fatalf("it was not out: %+v", s)
	}
	v.minutes(t, 20, nil)
	if s := v.told[oddOne]; !s.last {
		t.Errorf("it agrees again and is still out: %v", s.reasons)
	}
	v.others(t, oddOne, warming...)
}

// settled is after how many minutes of a vehicle that begins warm its baselines stand.
const settled = 700

// warmVehicle has run for hours: what is usual of it is what it goes on with.
func warmVehicle(t *testing.T) *vehicle {
	t.Helper()
	v := newVehicle(t)
	v.heat = 28
	v.minutes(t, settled, nil)
	v.forget()
	return v
}

// hotPeers has bearings heat by 0.4 K a minute, up to 18 K: n of the seven besides oddOne.
func hotPeers(n int, name string, minute float64) float64 {
	heats := []string{"axle1-left", "axle1-right", "axle3-left", "axle3-right", "axle4-left", "axle4-right", "axle2-right"}
	if slices.Contains(heats[:n], name) {
		return min(18, minute*0.4)
	}
	return 0
}

// TestHotPeers: where six bearings of eight heat, the two that do not are sound, as their own past says, and stay in. Whatever else one of them shows is found all the same.
func TestHotPeers(t *testing.T) {
	for _, c := range []struct {
		about string
		heat  int                                // how many of the seven others do
		odd   func(rise, minute float64) float64 // what oddOne shows
		all   func(rise float64) float64         // what every bearing does, oddOne included
		found bool
	}{
		{"six heat", 6, nil, nil, false},
		{"six heat, and it falls by 20 K at once", 6, func(rise, minute float64) float64 { return rise - 20 }, nil, true},
		{"six heat, and it falls by 4 K within ten minutes", 6, func(rise, minute float64) float64 { return rise - min(4, minute*0.4) }, nil, true},
		{"two heat where all run hot, and it loses 6 K within half an hour", 2, func(rise, minute float64) float64 { return rise - min(6, minute*0.2) }, func(rise float64) float64 { return rise + 9 }, true},
	} {
		t.Run(c.about, func(t *testing.T) {
			v := warmVehicle(t)
			v.minutes(t, 80, func(name string, rise, minute float64, _ bool) float64 {
				if c.all != nil {
					rise = c.all(rise)
				}
				if name == oddOne && c.odd != nil {
					return c.odd(rise, minute)
				}
				return rise + hotPeers(c.heat, name, minute)
			})
			for _, name := range []string{oddOne, "axle2-right"} {
				s := v.told[name]
				if found := s.first != 0; found != (c.found && name == oddOne) || found && s.last {
					t.Errorf("%s is out from window %d on: %v, valid at the end: %t; %s", name, s.first-settled, s.reasons, s.last, s.detail)
				}
			}
		})
	}
}

// TestHotPeersForgiveNothing: a sensor that was found to read low, so long ago that its baseline took the error over, stays out when its peers heat.
func TestHotPeersForgiveNothing(t *testing.T) {
	v := warmVehicle(t)
	low := func(name string, rise, by float64) float64 {
		if name == oddOne {
			rise -= by
		}
		return rise
	}
	v.minutes(t, 60, func(name string, rise, minute float64, _ bool) float64 { return low(name, rise, minute/10) })
	v.minutes(t, 900, func(name string, rise, _ float64, _ bool) float64 { return low(name, rise, 6) })
	s := v.told[oddOne]
	if s.last {
		t.Fatalf("6 K low, it is valid before its peers heat; %v", s.reasons)
	}
	in, was := s.windows, s.reasons[stream.SensorDrift]+s.reasons[stream.Fouling]
	v.minutes(t, 80, func(name string, rise, minute float64, _ bool) float64 {
		return low(name, rise, 6) + hotPeers(6, name, minute)
	})
	if in, was = s.windows-in, s.reasons[stream.SensorDrift]+s.reasons[stream.Fouling]-was; in != was {
		t.Errorf("6 K low, it is out in %d of %d windows after its peers heated", was, in)
	}
}

// TestColdSoak: hours after the last run what is not at ambient is off.
func TestColdSoak(t *testing.T) {
	v := newVehicle(t)
	v.alone = true
	v.minutes(t, 30, nil)
	v.stands = true
	v.minutes(t, 60*12, func(name string, rise, _ float64, _ bool) float64 {
		if name == oddOne {
			return rise + 6
		}
		return rise
	})
	v.others(t, oddOne)
	s := v.told[oddOne]
	if s.reasons[stream.SensorDrift] == 0 || s.first < 30+6*60 || s.first > 30+7*60 {
		t.Errorf("out from window %d on: %v, first %s", s.first, s.reasons, s.detail)
	}
}

// TestFaultCodes: 85 degC is a plausible bearing and a fault code.
func TestFaultCodes(t *testing.T) {
	ramp := func(s float64) float64 { return 84.8 + 0.01*math.Floor(s/2) }
	for _, c := range []struct {
		about string
		temp  func(sec float64) float64
		fails int // readings of the second window that fail
	}{
		{"through 85 on its way", func(s float64) float64 { return ramp(s - 60) }, 0},
		{"a lone 85 among 40", func(s float64) float64 { return odd(s == 80, 85, s) }, 1},
		{"a lone 0 among 40", func(s float64) float64 { return odd(s == 80, 0, s) }, 1},
		{"a lone 0 among 2", func(s float64) float64 { return odd(s == 80, 0, s-0) - odd(s == 80, 0, 38) }, 0},
		{"seven times -127", func(s float64) float64 { return odd(s >= 80 && s < 87, -127, s) }, 7},
		{"85 from second 80 on", func(s float64) float64 { return odd(s >= 80, 85, s) }, 40},
		{"85 since the window before", func(s float64) float64 { return odd(s >= 50, 85, s) }, 60},
	} {
		p := newPlant(t, nil)
		p.temps("axle1-left", 0, 135, 1, c.temp)
		w := p.w.Take().Windows[1]
		fails := 0
		for _, f := range w.Flagged {
			if f.Flag == stream.FlagFail {
				fails++
			}
		}
		if fails != c.fails || slices.Contains(w.Reasons, stream.OutOfRange) != (c.fails > 6) {
			t.Errorf("%s: %d fail, want %d; %s", c.about, fails, c.fails, w.Detail)
		}
	}
}

func odd(is bool, value, sec float64) float64 {
	if is {
		return value
	}
	return healthy(sec)
}

// TestGapsAreFilled: up to two readings in a row, for the features alone.
func TestGapsAreFilled(t *testing.T) {
	for gap, filled := range map[int]bool{1: true, 2: true, 3: false} {
		p := newPlant(t, nil)
		for s := range 135 {
			if s <= 100 || s > 100+gap {
				p.send("axle1-left", reading(float64(s), 40+0.05*float64(s)))
			}
		}
		w := p.w.Take().Windows[1]
		whole := 40 + 0.05*89.5
		if near(w.Features[stream.FMean], whole) != filled || w.N != 60-gap || !w.Valid() {
			t.Errorf("a gap of %d: mean %v of %d readings, the whole has %v", gap, w.Features[stream.FMean], w.N, whole)
		}
	}
}

// TestSpikesAddUp: three in each of two windows are too many, though neither is out alone.
func TestSpikesAddUp(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 255, 1, func(s float64) float64 { return odd(s >= 60 && math.Mod(s, 20) == 7, 60, s) })
	var got []bool
	for _, w := range p.w.Take().Windows {
		got = append(got, slices.Contains(w.Reasons, stream.Spikes))
	}
	if want := []bool{false, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestStuckAtStandstill: a sensor that flickers at standstill is stuck when it stops; one that never did is not.
func TestStuckAtStandstill(t *testing.T) {
	for _, flickers := range []bool{true, false} {
		p := newPlant(t, nil)
		rng := rand.New(rand.NewPCG(9, 9))
		for s := range 6*60 + 15 {
			temp := 40 - 0.001*float64(s/2)
			if flickers {
				temp += 0.08 * rng.NormFloat64()
			}
			if s >= 240 {
				temp = 39.5
			}
			p.send("axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"speed_kmh":0}`, at(float64(s)), temp))
		}
		w := p.w.Take().Windows
		if got := slices.Contains(w[5].Reasons, stream.Flatline); got != flickers {
			t.Errorf("flickers %v: %v %s", flickers, got, w[5].Detail)
		}
	}
}

// TestStepIsSuspect: a step that stays is no spike; its reading is suspect, and nothing is altered.
func TestStepIsSuspect(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 135, 1, func(s float64) float64 { return healthy(s) + 8*min(1, max(0, s-89)) })
	w := p.w.Take().Windows[1]
	if want := []stream.Flagged{{TS: at(90), Flag: stream.FlagSuspect}}; !slices.Equal(w.Flagged, want) {
		t.Errorf("flags %v, want %v", w.Flagged, want)
	}
}
