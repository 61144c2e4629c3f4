package simulator_test

import (
	"math"
	"testing"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

func ticksIn(f *simulator.Fleet, d time.Duration) int { return int(d / f.Period()) }

// TestBearingAtSpeed: held at 80 km/h a bearing settles 15 to 30 K over ambient (domain notes 2.4), with a time constant of
// 20 to 60 minutes.
func TestBearingAtSpeed(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 2, Assets: 12})
	f.Hold(80)
	first := map[int]float64{}
	reached := map[int]time.Duration{}
	var trace [][]float64
	const settle = 4 * time.Hour
	for range ticksIn(f, settle) {
		f.Step(nil)
		row := make([]float64, len(f.Sensors()))
		for i := range row {
			temp, ambient, _ := f.Node(i)
			row[i] = temp - ambient
		}
		trace = append(trace, row)
	}
	end := trace[len(trace)-1]
	measured := 0
	for i, s := range f.Sensors() {
		if s.Kind != stream.Bearing {
			continue
		}
		if end[i] < 15 || end[i] > 30 {
			t.Errorf("%s/%s settles %.1f K over ambient at 80 km/h, want 15 to 30", s.Asset, s.Name, end[i])
		}
		first[i] = trace[0][i]
		if first[i] > 2 {
			continue // not a cold start
		}
		for k, row := range trace {
			if row[i] >= 0.632*end[i] {
				reached[i] = time.Duration(k) * f.Period()
				break
			}
		}
		measured++
		if reached[i] < 20*time.Minute || reached[i] > time.Hour {
			t.Errorf("%s/%s warms with a time constant of %v, want 20 to 60 minutes", s.Asset, s.Name, reached[i])
		}
	}
	if measured < 8 {
		t.Fatalf("only %d bearings started cold", measured)
	}
}

// TestHealthyFleet: in a day of service a healthy fleet stays inside what is published as normal, and mates stay alike.
func TestHealthyFleet(t *testing.T) {
	sequential(t)
	f := mustFleet(t, simulator.Config{Seed: 4, Assets: 8, RateHz: 0.1})
	limit := map[stream.Kind]float64{stream.Bearing: 75, stream.Motor: 120, stream.Brake: 200, stream.Transformer: 90}
	fastest := map[stream.Kind]float64{stream.Bearing: 2.5, stream.Motor: 8, stream.Brake: 120, stream.Transformer: 4}
	hottest := map[stream.Kind]float64{}
	last := make([]float64, len(f.Sensors()))
	low, high := math.Inf(1), math.Inf(-1)
	for tick := range ticksIn(f, 24*time.Hour) {
		f.Step(nil)
		for i, s := range f.Sensors() {
			temp, ambient, speed := f.Node(i)
			low, high = min(low, ambient), max(high, ambient)
			hottest[s.Kind] = max(hottest[s.Kind], temp)
			if temp < ambient-3 || temp > limit[s.Kind] || speed < 0 || speed > 90 {
				t.Fatalf("%s/%s is %.1f degC at %.1f ambient and %.0f km/h", s.Asset, s.Name, temp, ambient, speed)
			}
			if rate := math.Abs(temp-last[i]) * 6; tick > 0 && rate > fastest[s.Kind] {
				t.Fatalf("%s/%s moves by %.1f K/min", s.Asset, s.Name, rate)
			}
			if s.Side == "right" && math.Abs(temp-lastMate(f, i)) > 4 {
				t.Fatalf("%s/%s is %.1f K off its mate", s.Asset, s.Name, temp-lastMate(f, i))
			}
			last[i] = temp
		}
	}
	for kind, least := range map[stream.Kind]float64{stream.Bearing: 40, stream.Motor: 60, stream.Brake: 80, stream.Transformer: 55} {
		if hottest[kind] < least {
			t.Errorf("no %s gets over %.1f degC in a day", kind, hottest[kind])
		}
	}
	if low < 17 || high > 36 || high-low < 6 {
		t.Errorf("ambient goes from %.1f to %.1f degC, want a daily cycle within 20 to 35 or so", low, high)
	}
}

// lastMate is the true temperature of a right bearing's left mate.
func lastMate(f *simulator.Fleet, right int) float64 {
	temp, _, _ := f.Node(right - 1)
	return temp
}

// excess follows one fault of a fleet and its healthy twin up to the failure (or for the given time), and gives by how many
// kelvin the sensor's node is hotter then, and its fastest rise in 10 minutes in K/min.
func excess(t *testing.T, seed uint64, row simulator.Truth, f *simulator.Fleet, within time.Duration) (hotter, fastest float64) {
	t.Helper()
	twin := mustFleet(t, simulator.Config{Seed: seed})
	at := -1
	for i, s := range f.Sensors() {
		if s.Asset == row.Asset && s.Name == row.Sensor {
			at = i
		}
	}
	until := row.FailureMs
	if until == 0 {
		until = row.OnsetMs + within.Milliseconds()
	}
	var trace []float64
	for f.Now().UnixMilli() < until {
		f.Step(nil)
		twin.Step(nil)
		temp, _, _ := f.Node(at)
		healthy, _, _ := twin.Node(at)
		if f.Now().UnixMilli() <= row.OnsetMs && temp != healthy {
			t.Fatalf("%s shows before its onset", row.Fault)
		}
		hotter = temp - healthy
		trace = append(trace, temp)
		if n := 120; len(trace) > n {
			fastest = max(fastest, (temp-trace[len(trace)-1-n])/10)
		}
	}
	return hotter, fastest
}

// TestMachineFaults: each machine fault fails 40 to 90 minutes after its onset and by then has heated its component by what is
// documented for it.
func TestMachineFaults(t *testing.T) {
	sequential(t)
	want := map[string]struct{ least, most, slowest, fastest float64 }{
		simulator.LubricationLoss: {35, 130, 1.4, 4.5}, // runaway near the published 2.6 to 3.4 K/min
		simulator.DraggingBrake:   {180, 380, 4, 20},
		simulator.BlockedCooling:  {22, 110, 0.8, 5},
		simulator.SealRub:         {10, 60, 0.3, 2.5},
		simulator.Spall:           {2, 25, 0.2, 2},
	}
	for _, fault := range simulator.MachineFaults() {
		w, seen := want[fault], 0
		for seed := range uint64(3) {
			f := mustFleet(t, simulator.Config{Seed: seed, Faults: []string{fault}, FaultShare: 0.01})
			for _, row := range f.Truth() {
				if row.FailureMs == 0 {
					continue
				}
				seen++
				took := time.Duration(row.FailureMs-row.OnsetMs) * time.Millisecond
				if took < 40*time.Minute || took > 90*time.Minute {
					t.Errorf("%s, seed %d: fails after %v", fault, seed, took)
				}
				hotter, fastest := excess(t, seed, row, f, 0)
				t.Logf("%s, seed %d: %+.1f K at failure, fastest 10 minutes %.2f K/min, %v", fault, seed, hotter, fastest, took)
				if hotter < w.least || hotter > w.most || fastest < w.slowest || fastest > w.fastest {
					t.Errorf("%s, seed %d: %+.1f K at failure, fastest %.2f K/min; want %+v", fault, seed, hotter, fastest, w)
				}
			}
		}
		if seen < 1 {
			t.Errorf("%s: only %d failures in three fleets", fault, seen)
		}
	}
}

// TestAfterFailure: a failed component goes on being hot, and stays within what metal and oil do.
func TestAfterFailure(t *testing.T) {
	sequential(t)
	f := mustFleet(t, simulator.Config{Seed: 6, Assets: 20, Faults: simulator.MachineFaults(), FaultShare: 0.2, RateHz: 0.1})
	limit := map[stream.Kind]float64{stream.Bearing: 260, stream.Motor: 195, stream.Brake: 650, stream.Transformer: 145}
	for range ticksIn(f, 8*time.Hour) {
		f.Step(nil)
	}
	hot := 0
	for i, s := range f.Sensors() {
		temp, _, _ := f.Node(i)
		if temp > limit[s.Kind] {
			t.Errorf("%s/%s with %q is at %.0f degC", s.Asset, s.Name, s.Fault, temp)
		}
		if s.Fault == simulator.LubricationLoss && temp > 130 {
			hot++
		}
	}
	if hot < 5 {
		t.Errorf("only %d bearings without grease are still hot", hot)
	}
}

// TestDraggingBrakeHeatsItsAxle: both bearings of the axle follow the disc, alike, and are in the truth without a failure.
func TestDraggingBrakeHeatsItsAxle(t *testing.T) {
	sequential(t)
	f := mustFleet(t, simulator.Config{Seed: 1, Faults: []string{simulator.DraggingBrake}, FaultShare: 0.01})
	rows := f.Truth()
	if len(rows) != 3 || rows[0].Sensor[:5] != "axle"+rows[2].Sensor[5:] || rows[0].FailureMs != 0 || rows[1].FailureMs != 0 {
		t.Fatalf("truth is %+v", rows)
	}
	left, _ := excess(t, 1, rows[0], f, 70*time.Minute)
	right, _ := excess(t, 1, rows[1], mustFleet(t, simulator.Config{Seed: 1, Faults: []string{simulator.DraggingBrake}, FaultShare: 0.01}), 70*time.Minute)
	if left < 4 || left > 30 || math.Abs(left-right) > 1 {
		t.Errorf("bearings of the axle are %+.1f and %+.1f K after 70 minutes, want 4 to 30 and alike", left, right)
	}
}

// TestSealThatBedsIn: +10..25 K at the start at speed, less after hours, and never a failure.
func TestSealThatBedsIn(t *testing.T) {
	sequential(t)
	for seed := range uint64(40) {
		cfg := simulator.Config{Seed: seed, Faults: []string{simulator.SealRub}, FaultShare: 0.01}
		f := mustFleet(t, cfg)
		row := f.Truth()[0]
		if row.FailureMs != 0 {
			continue
		}
		soon, _ := excess(t, seed, row, f, 75*time.Minute)
		late, _ := excess(t, seed, row, mustFleet(t, cfg), 9*time.Hour)
		if soon < 3 || soon > 25 || late > soon/2 {
			t.Errorf("seed %d: %+.1f K after 75 minutes, %+.1f K after nine hours", seed, soon, late)
		}
		return
	}
	t.Fatal("no seal bedded in with 40 seeds")
}

// TestFailsWithin: the label turns true at the onset or the horizon, whichever is later, and stays true after the failure.
func TestFailsWithin(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 1, Faults: []string{"lubrication_loss", "stuck"}, FaultShare: 0.02})
	for _, r := range f.Truth() {
		label := func(ts int64, h time.Duration) bool { return f.FailsWithin(r.Asset, r.Sensor, ts, h) }
		if r.FailureMs == 0 {
			if r.Fault != "stuck" || label(r.OnsetMs+1, 100*time.Hour) {
				t.Errorf("%+v is labelled as failing", r)
			}
			continue
		}
		half := r.FailureMs - 30*60_000
		for _, c := range []struct {
			ts   int64
			h    time.Duration
			want bool
		}{{half, 30 * time.Minute, true}, {half - 1, 30 * time.Minute, false}, {r.FailureMs + 1, 0, true}, {r.OnsetMs - 1, 100 * time.Hour, false}, {r.OnsetMs, 100 * time.Hour, true}} {
			if label(c.ts, c.h) != c.want {
				t.Errorf("%+v: FailsWithin(%d, %v) is %t", r, c.ts, c.h, !c.want)
			}
		}
	}
	if f.FailsWithin("loco-1", "nothing", 0, time.Hour) {
		t.Error("an unknown sensor fails")
	}
}
