package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

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

// dragRun drives for eight hours. drag, kW at 80 km/h, is what heats the first disc besides its brake, err what its sensor adds. It tells how many windows of it are out, how many of those
// that are more than hot K over ambient, and of how many.
func dragRun(t *testing.T, seed uint64, alone bool, drag, err func(minute float64) float64, hot float64) (out, hotOut, hotAll int) {
	t.Helper()
	p := newPlant(t, nil)
	drive := timetable{rng: rand.New(rand.NewPCG(seed, 9))}
	discs := [2]braked{{disc: 30}, {disc: 30}}
	for sec := range 8 * 3600 {
		drive.step()
		minute, brake := float64(sec)/60, 0
		heat := [2]float64{1e3 * drag(minute) * drive.speed / 80, 0}
		if drive.braking || drive.speed == 0 {
			brake = 1
		}
		for i := range discs {
			if drive.braking {
				heat[i] += 10 * 1000 * 1.6 * drive.speed / 12.96 // 10 t
			}
			discs[i].step(heat[i], drive.speed)
		}
		shows := [2]float64{discs[0].disc + err(minute), discs[1].disc}
		for i := range shows {
			if sec%5 == 0 && !(alone && i == 1) {
				p.send([]string{"brake1", "brake2"}[i], fmt.Sprintf(`{"ts":%d,"temp_c":%.2f,"ambient_c":25,"speed_kmh":%.1f,"brake":%d}`, at(float64(sec)), 25+shows[i]+0.08*drive.rng.NormFloat64(), drive.speed, brake))
			}
		}
	}
	for _, w := range p.w.Take().Windows {
		bad := !w.Valid()
		switch {
		case w.Sensor.Name != "brake1":
			if bad {
				t.Errorf("brake2 [%d, %d) is out for %v", w.Start, w.End, w.Reasons)
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

// TestDragIsNoDrift: a brake that drags, much or little, with another disc beside it or alone, is no sensor that drifts, although its wheelset keeps it warm at standstill. A drag so small that it was
// taken for a drift is believed once it grows.
func TestDragIsNoDrift(t *testing.T) {
	none := func(float64) float64 { return 0 }
	from := func(start, over, to float64) func(float64) float64 {
		return func(minute float64) float64 { return to * min(1, max(0, minute-start)/over) }
	}
	for _, alone := range []bool{false, true} {
		for _, kW := range []float64{2, 3, 5, 35} {
			for seed := range uint64(2) {
				if out, _, hot := dragRun(t, seed, alone, from(150, 60, kW), none, 45); out > 0 || hot < 100 {
					t.Errorf("a drag of %g kW, alone %v, timetable %d: out in %d windows, %d are hot", kW, alone, seed, out, hot)
				}
			}
		}
	}
	small, grows := from(150, 1, 0.5), from(300, 60, 4.5)
	out, hotOut, hot := dragRun(t, 4, true, func(m float64) float64 { return small(m) + grows(m) }, none, 60)
	if out == 0 || hotOut > 0 || hot < 50 {
		t.Errorf("a drag that was small: out in %d windows, and %d of %d hot ones", out, hotOut, hot)
	}
	if out, _, _ := dragRun(t, 0, false, none, from(150, 120, 20), 45); out < 60 {
		t.Errorf("a drift up of 10 K an hour: out in %d windows", out)
	}
}
