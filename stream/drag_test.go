package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// braked is an axle's discs on their wheelset, K over ambient, with the constants of the simulator: what a drag heats for long warms the wheelset, which then holds the disc up at standstill.
type braked struct{ disc, wheel float64 }

// step takes what heats the disc, W, and the speed, km/h, for a second.
func (a *braked) step(watts, speed float64) {
	pow := math.Pow(speed, 0.7)
	flow := 18 * (a.disc - a.wheel)
	heat := watts - flow - (10+2.9*pow)*a.disc
	flow -= (12 + 1.6*pow) * a.wheel
	a.disc += heat / 90e3
	a.wheel += flow / 150e3
}

// timetable runs for 8 to 20 minutes between stops of 2 to 6.
type timetable struct {
	rng         *rand.Rand
	speed, left float64 // km/h; s
	target      float64 // km/h; 0: it stands
	braking     bool
}

func (d *timetable) step() {
	d.left--
	switch d.braking = false; {
	case d.target == 0 && d.left <= 0:
		d.target, d.left = 55+30*d.rng.Float64(), 520+720*d.rng.Float64()
	case d.target > 0 && d.left > 0:
		d.speed = min(d.target, d.speed+0.9*(1-d.speed/170))
	case d.target > 0:
		if d.braking, d.speed = true, max(0, d.speed-1.6); d.speed == 0 {
			d.target, d.left = 0, 120+240*d.rng.Float64()
		}
	}
}

// discsRun drives for some hours and tells every five seconds what two discs show, K over ambient. drag, kW at 80 km/h, is what heats the first one besides its brake, err what its sensor adds.
func discsRun(rng *rand.Rand, hours float64, drag, err func(minute float64) float64, told func(sec int, shows [2]float64, drive *timetable)) {
	drive := timetable{rng: rng}
	discs := [2]braked{{disc: 30}, {disc: 30}}
	for sec := range int(hours * 3600) {
		drive.step()
		minute := float64(sec) / 60
		heat := [2]float64{1e3 * drag(minute) * drive.speed / 80, 0}
		for i := range discs {
			if drive.braking {
				heat[i] += 10 * 1000 * 1.6 * drive.speed / 12.96 // 10 t
			}
			discs[i].step(heat[i], drive.speed)
		}
		if sec%5 == 0 {
			told(sec, [2]float64{discs[0].disc + err(minute) + 0.08*rng.NormFloat64(), discs[1].disc + 0.08*rng.NormFloat64()}, &drive)
		}
	}
}

// brake says what the vehicle reports of its brake: it stands with it applied.
func (d *timetable) brake() uint8 {
	if d.braking || d.speed == 0 {
		return 1
	}
	return 0
}

// dragRun drives for eight hours. It tells how many windows of the first disc are out, how many of those that are more than hot K over ambient, and of how many.
func dragRun(t *testing.T, seed uint64, alone bool, drag, err func(minute float64) float64, hot float64) (out, hotOut, hotAll int) {
	t.Helper()
	p := newPlant(t, nil)
	discsRun(rand.New(rand.NewPCG(seed, 9)), 8, drag, err, func(sec int, shows [2]float64, drive *timetable) {
		for i, v := range shows {
			if i == 0 || !alone {
				p.send(discNames[i], fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25,"speed_kmh":%.1f,"brake":%d}`, at(float64(sec)), 25+v, drive.speed, drive.brake()))
			}
		}
	})
	for _, w := range p.w.Take().Windows {
		bad := !w.Valid()
		switch {
		case w.Sensor.Name != discNames[0]:
			if bad {
				t.Errorf("%s [%d, %d) is out for %v", w.Sensor.Name, w.Start, w.End, w.Reasons)
			}
			continue
		case bad:
			out++
		}
		if w.Features[stream.FOverAmbient] > hot {
			hotAll++
			if bad {
				hotOut++
			}
		}
	}
	return out, hotOut, hotAll
}

var discNames = [2]string{"brake1", "brake2"}

func none(float64) float64 { return 0 }

// ramp goes from 0 at a minute to a height, over some minutes.
func ramp(start, over, height float64) func(minute float64) float64 {
	return func(minute float64) float64 { return height * min(1, max(0, minute-start)/over) }
}

// TestDragIsNoDrift: a brake that drags, much or little, with another disc beside it or alone, is no sensor that drifts, although its wheelset keeps it warm at standstill. A drag so small that it was
// taken for a drift is believed once it grows.
func TestDragIsNoDrift(t *testing.T) {
	for _, alone := range []bool{false, true} {
		for _, kW := range []float64{2, 3, 5, 35} {
			for seed := range uint64(2) {
				if out, _, hot := dragRun(t, seed, alone, ramp(150, 60, kW), none, 45); out > 0 || hot < 100 {
					t.Errorf("a drag of %g kW, alone %v, timetable %d: out in %d windows, %d are hot", kW, alone, seed, out, hot)
				}
			}
		}
	}
	small, grows, taken, hots := ramp(150, 1, 0.9), ramp(300, 60, 4.5), 0, 0
	for seed := range uint64(12) {
		out, hotOut, hot := dragRun(t, seed, true, func(m float64) float64 { return small(m) + grows(m) }, none, 60)
		if taken, hots = taken+out, hots+hot; hotOut > 0 {
			t.Errorf("a drag that was small, timetable %d: out in %d windows, %d of %d hot ones", seed, out, hotOut, hot)
		}
	}
	if taken == 0 || hots < 500 {
		t.Errorf("a drag that was small: out in %d windows, %d hot ones: it tests little", taken, hots)
	}
	if out, _, _ := dragRun(t, 0, false, none, ramp(150, 120, 20), 45); out < 60 {
		t.Errorf("a drift up of 10 K an hour: out in %d windows", out)
	}
}

// TestCoolingIsAFunctionOfTheReadings is the law of contract section 5 for what takes longer than a morning to learn: how two discs come apart and how each cools, beside a mate that is not there for
// a while.
func TestCoolingIsAFunctionOfTheReadings(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 41))
		var all []sent
		discsRun(rng, 5, none, ramp(120, 120, 20), func(sec int, shows [2]float64, drive *timetable) {
			for i, v := range shows {
				if i == 1 && sec > 170*60 && sec < 210*60 {
					continue
				}
				r := stream.Reading{TS: at(float64(sec)), Temp: stream.Milli(25_000 + math.Round(1000*v))}
				r.Ambient, r.Speed, r.Brake, r.Has = 25_000, stream.Milli(math.Round(1000*drive.speed)), drive.brake(), stream.HasAmbient|stream.HasSpeed|stream.HasBrake
				all = append(all, sent{topic: stream.TelemetryTopic("d", "loco0", discNames[i]), Reading: r})
			}
		})
		cfg := smallConfig()
		cfg.Window, cfg.Disorder = time.Minute, 20*time.Second
		want := run(t, cfg, all, rng, 0, 0)
		told := 0
		for _, w := range want.windows {
			if slices.Contains(w.Reasons, stream.SensorDrift) {
				told++
			}
		}
		if told < 20 {
			t.Errorf("drive %d: a drift is told of in %d windows: it tests little", seed, told)
		}
		for n, s := range [][2]int{{0, 0}, {20, 0}, {20, 400}} {
			got := run(t, cfg, arrival(all, cfg.Disorder.Milliseconds(), rng), rng, s[0], s[1])
			compareContent(t, fmt.Sprintf("drive %d, schedule %d", seed, n), got.content(), want.content())
		}
	}
}
