package simulator_test

import (
	"math"
	"testing"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// pair is what a faulty sensor said after the onset, in sending order, and what it would have said, by sequence number.
type pair struct {
	row   simulator.Truth
	said  []simulator.Sample
	due   int // readings due from the onset on
	truth map[int64]stream.Reading
	lag   map[int64]int64 // by sequence number: ms between the tick it was sent in and the tick it was taken in
}

// run follows the only sensor fault of a fleet and its healthy twin for some hours.
func run(t *testing.T, fault string, seed uint64, hours int) pair {
	t.Helper()
	f := mustFleet(t, simulator.Config{Seed: seed, Assets: 4, Faults: []string{fault}, FaultShare: 0.01, Span: time.Hour})
	twin := mustFleet(t, simulator.Config{Seed: seed, Assets: 4, Span: time.Hour})
	if len(f.Truth()) == 0 {
		t.Fatalf("no sensor has %s", fault)
	}
	p := pair{row: f.Truth()[0], truth: map[int64]stream.Reading{}, lag: map[int64]int64{}}
	at := int32(-1)
	for i, s := range f.Sensors() {
		if s.Asset == p.row.Asset && s.Name == p.row.Sensor {
			at = int32(i)
		}
	}
	taken := map[int64]int64{}
	for range ticksIn(f, time.Duration(hours)*time.Hour) {
		now := f.Now().UnixMilli()
		samples, healthy := f.Step(nil), twin.Step(nil)
		for _, s := range healthy {
			if s.Sensor == at && s.TS >= p.row.OnsetMs {
				p.truth[s.Seq], taken[s.Seq] = s.Reading, now
				p.due++
			}
		}
		for _, s := range samples {
			if _, after := p.truth[s.Seq]; s.Sensor == at && after {
				p.said = append(p.said, s)
				p.lag[s.Seq] = now - taken[s.Seq]
			}
		}
	}
	if p.due < 300 || p.row.FailureMs != 0 {
		t.Fatalf("%s: %d readings due, truth %+v", fault, p.due, p.row)
	}
	return p
}

// diffs gives said minus true temperatures, K.
func (p pair) diffs() []float64 {
	var d []float64
	for _, s := range p.said {
		d = append(d, (s.Temp - p.truth[s.Seq].Temp).Float())
	}
	return d
}

func TestDriftRamps(t *testing.T) {
	p := run(t, simulator.Drift, 1, 3)
	d := p.diffs()
	hours := float64(len(d)) * 5 / 3600
	if end := math.Abs(d[len(d)-1]) / hours; end < 5.5 || end > 14.5 || math.Abs(d[0]) > 0.1 {
		t.Errorf("drift starts at %.2f K and is %.1f K an hour, want 6 to 14", d[0], end)
	}
}

func TestStuckHolds(t *testing.T) {
	p := run(t, simulator.Stuck, 1, 2)
	for _, s := range p.said {
		if s.Temp != p.said[0].Temp {
			t.Fatalf("a stuck sensor moves from %v to %v", p.said[0].Temp, s.Temp)
		}
	}
	if len(p.said) != p.due {
		t.Errorf("%d readings of %d", len(p.said), p.due)
	}
}

func TestSpikesAreSingleAndFarOff(t *testing.T) {
	p := run(t, simulator.Spikes, 1, 2)
	hit := 0
	for _, d := range p.diffs() {
		switch {
		case d == 0:
		case math.Abs(d) < 19.9 || math.Abs(d) > 70.1:
			t.Fatalf("a spike of %.1f K", d)
		default:
			hit++
		}
	}
	if share := float64(hit) / float64(p.due); share < 0.03 || share > 0.15 {
		t.Errorf("%.3f of the readings are spikes", share)
	}
}

func TestOpenCircuitIsRailed(t *testing.T) {
	for _, s := range run(t, simulator.OpenCircuit, 1, 2).said {
		if s.Temp != 850_000 {
			t.Fatalf("an open circuit reads %v", s.Temp)
		}
	}
}

// TestFoulingDampsAndLags: a fouled bearing sensor reads low; a fouled brake sensor rises more slowly when the brake is applied.
func TestFoulingDampsAndLags(t *testing.T) {
	sequential(t)
	bearing, brake := false, false
	for seed := uint64(0); seed < 40 && !(bearing && brake); seed++ {
		f := mustFleet(t, simulator.Config{Seed: seed, Assets: 4, Faults: []string{simulator.Fouling}, FaultShare: 0.01, Span: time.Hour})
		switch on := f.Truth()[0].Sensor[:4]; {
		case on == "axle" && !bearing:
			bearing = true
			d := run(t, simulator.Fouling, seed, 3).diffs()
			low := 0.0
			for _, x := range d[len(d)-360:] {
				low += x / 360
			}
			if low > -2.5 || low < -15 {
				t.Errorf("seed %d: a fouled bearing sensor reads %.1f K off in the last half hour, want -2.5 to -15", seed, low)
			}
		case on == "brak" && !brake:
			brake = true
			p := run(t, simulator.Fouling, seed, 3)
			var said, truth float64 // fastest rises in 10 s of the last hour, K
			for _, s := range p.said[len(p.said)-720:] {
				if before, ok := p.truth[s.Seq-2]; ok {
					truth = max(truth, (p.truth[s.Seq].Temp - before.Temp).Float())
				}
			}
			for i := len(p.said) - 720; i < len(p.said); i++ {
				said = max(said, (p.said[i].Temp - p.said[i-2].Temp).Float())
			}
			if said > 0.75*truth || said < 0.1*truth {
				t.Errorf("seed %d: a fouled brake sensor rises %.1f K in 10 s where the truth rises %.1f K", seed, said, truth)
			}
		}
	}
	if !bearing || !brake {
		t.Fatalf("bearing %t, brake %t among forty seeds", bearing, brake)
	}
}

func TestDropoutLosesReadings(t *testing.T) {
	sequential(t)
	gaps, singles := false, false
	for seed := range uint64(5) {
		p := run(t, simulator.Dropout, seed, 2)
		share := 1 - float64(len(p.said))/float64(p.due)
		if share < 0.2 || share > 0.7 {
			t.Errorf("seed %d: %.2f of the readings are missing", seed, share)
		}
		longest := int64(0)
		for i := 1; i < len(p.said); i++ {
			longest = max(longest, p.said[i].TS-p.said[i-1].TS)
		}
		gaps = gaps || longest >= 2*60_000
		singles = singles || longest < 90_000
	}
	if !gaps || !singles {
		t.Errorf("gaps %t, single losses %t: want both among five fleets", gaps, singles)
	}
}

func TestClockSkewShiftsTime(t *testing.T) {
	sequential(t)
	ahead, behind := false, false
	for seed := range uint64(4) {
		p := run(t, simulator.ClockSkew, seed, 1)
		for _, s := range p.said {
			off := s.TS - p.truth[s.Seq].TS
			if a := max(off, -off); a < 34_000 || a > 91_000 || s.Temp != p.truth[s.Seq].Temp {
				t.Fatalf("seed %d: clock off by %d ms", seed, off)
			}
			ahead, behind = ahead || off > 0, behind || off < 0
		}
	}
	if !ahead || !behind {
		t.Errorf("ahead %t, behind %t: want both among four fleets", ahead, behind)
	}
}

func TestDuplicatesRepeatTheSame(t *testing.T) {
	p := run(t, simulator.Duplicates, 1, 2)
	again := 0
	for i := 1; i < len(p.said); i++ {
		if p.said[i].Seq == p.said[i-1].Seq {
			again++
			if p.said[i].Reading != p.said[i-1].Reading {
				t.Fatal("a duplicate differs")
			}
		}
	}
	if share := float64(again) / float64(p.due); share < 0.15 || share > 0.45 || len(p.said) != p.due+again {
		t.Errorf("%d duplicates of %d, %d sent", again, p.due, len(p.said))
	}
}

// TestLateBurstsHoldAndKeepOrder: some readings come minutes late, in order, and at most the last burst is still held.
func TestLateBurstsHoldAndKeepOrder(t *testing.T) {
	p := run(t, simulator.LateBursts, 1, 3)
	latest, late, joined := int64(0), 0, 0
	for i, s := range p.said {
		latest = max(latest, p.lag[s.Seq])
		if p.lag[s.Seq] > 60_000 {
			late++
		}
		if s.Joined {
			joined++
		}
		if i > 0 && s.Seq != p.said[i-1].Seq+1 {
			t.Fatalf("reading %d follows %d", s.Seq, p.said[i-1].Seq)
		}
	}
	if latest < 4*60_000 || latest > 13*60_000+10_000 || late < 100 || joined < 50 || p.due-len(p.said) > 13*12+2 {
		t.Errorf("latest %d ms, %d late, %d joined, %d of %d sent", latest, late, joined, len(p.said), p.due)
	}
}

// TestSwapExchangesMates: after the onset each channel shows the other's element.
func TestSwapExchangesMates(t *testing.T) {
	cfg := simulator.Config{Seed: 2, Span: time.Hour}
	twin := mustFleet(t, cfg)
	cfg.Faults, cfg.FaultShare = []string{simulator.Swap}, 0.01
	f := mustFleet(t, cfg)
	rows := f.Truth()
	if len(rows) != 2 || rows[0].OnsetMs != rows[1].OnsetMs || rows[0].Sensor[:5] != rows[1].Sensor[:5] {
		t.Fatalf("truth is %+v", rows)
	}
	pairs := 0
	for range 1000 {
		now := f.Now().UnixMilli()
		a, b := f.Step(nil), twin.Step(nil)
		if len(a) != len(b) {
			t.Fatal("a swap changes how much is sent")
		}
		for i, s := range a {
			info := f.Sensors()[max(s.Sensor, 0)]
			swapped := s.Sensor >= 0 && info.Fault == simulator.Swap && now >= info.OnsetMs
			if !swapped && s != b[i] {
				t.Fatalf("%s/%s changed without a swap", info.Asset, info.Name)
			}
			if swapped && info.Side == "left" {
				// Noise and calibration stay with the channel, so sums agree: left and right exchange their elements.
				sum := s.Temp + a[i+1].Temp - b[i].Temp - b[i+1].Temp
				if sum > 20 || sum < -20 {
					t.Fatalf("swapped pair is off by %v", sum)
				}
				pairs++
			}
		}
	}
	if pairs < 100 {
		t.Fatalf("only %d swapped pairs", pairs)
	}
}

// TestHealthySensorNoise: noise near 0.08 K on a resolution of 0.01 K.
func TestHealthySensorNoise(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 1, RateHz: 1, Assets: 1})
	var sum float64
	n := 0
	last := map[int32]stream.Milli{}
	for range 1200 {
		for _, s := range f.Step(nil) {
			if s.Sensor >= 8 {
				continue
			}
			if s.Temp%10 != 0 {
				t.Fatalf("a reading of %v", s.Temp)
			}
			if prev, ok := last[s.Sensor]; ok {
				d := (s.Temp - prev).Float()
				sum += d * d / 2 // successive differences: bearings move slowly
				n++
			}
			last[s.Sensor] = s.Temp
		}
	}
	if sigma := math.Sqrt(sum / float64(n)); sigma < 0.07 || sigma > 0.09 {
		t.Errorf("noise is %.3f K", sigma)
	}
}
