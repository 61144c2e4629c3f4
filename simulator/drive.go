package simulator

// phase is what a vehicle is doing.
type phase uint8

const (
	dwelling phase = iota
	accelerating
	cruising
	stopping
)

// drive is a timetable in the making: runs between stations, stops, turn-rounds, and what they ask of the vehicle.
type drive struct {
	rng     draw
	phase   phase
	left    float64 // s left in the phase, where it is timed
	descent float64 // s left of a light application on a descent
	slack   float64 // s until the next change of speed or descent while cruising
	legs    int     // runs until the next turn-round
	target  float64 // km/h
	heavy   bool    // a locomotive reports its train's load, a coach its own mass

	speed    float64 // km/h
	traction float64 // share of full effort, 0 to 1
	retard   float64 // braking power of 1 t of vehicle, W/t
	brake    bool
	load     float64 // t, as reported
	burden   float64 // load on the bearings against the usual, about 0.8 to 1.2
}

// Timetable, all [K] for a metre-gauge main line (Douala - Yaounde is about 260 km): 55 to 85 km/h, stations 10 to 25 km apart.
const (
	accelKmhS  = 0.9  // km/h per s from standstill: 0.25 m/s2
	brakeKmhS  = 1.6  // km/h per s: 0.44 m/s2, service braking
	slowKmhS   = 0.8  // km/h per s for a slow order
	descentWpT = 1900 // W per t on a 1 % descent at 70 km/h: g x 0.01 x 19.4 m/s x 1000 kg
)

func newDrive(rng draw, heavy bool) drive {
	d := drive{rng: rng, heavy: heavy, legs: 1 + rng.below(4)}
	d.left = d.rng.between(20, 240)
	d.trip()
	return d
}

// trip loads the vehicle for its next trip.
func (d *drive) trip() {
	share := d.rng.unit()
	d.burden = 0.8 + float64(0.4*share)
	if d.heavy {
		d.load = 350 + float64(750*share) // trailing load
	} else {
		d.load = 34 + float64(14*share) // coach and passengers
	}
}

// step moves the drive by dt seconds.
func (d *drive) step(dt float64) {
	d.traction, d.retard, d.brake = 0, 0, false
	switch d.phase {
	case dwelling:
		d.brake = true
		if d.left -= dt; d.left <= 0 {
			d.phase, d.target = accelerating, d.rng.between(55, 85)
		}
	case accelerating:
		d.traction = 1
		d.speed += float64(accelKmhS * (1 - d.speed/170) * dt)
		if d.speed >= d.target {
			d.phase, d.left = cruising, d.rng.between(480, 1200)
			d.slack = d.rng.between(90, 300)
		}
	case cruising:
		d.cruise(dt)
	case stopping:
		d.apply(brakeKmhS, dt)
		if d.speed <= 0 {
			d.arrive()
		}
	}
}

// cruise holds the target speed, which moves with the line, and brakes lightly on descents.
func (d *drive) cruise(dt float64) {
	if d.left -= dt; d.left <= 0 {
		d.phase = stopping
		return
	}
	if d.slack -= dt; d.slack <= 0 {
		d.slack = d.rng.between(90, 300)
		if d.rng.chance(0.35) {
			d.descent = d.rng.between(20, 50)
		} else {
			d.target = d.rng.between(50, 85)
		}
	}
	switch {
	case d.descent > 0:
		d.descent -= dt
		d.brake, d.retard = true, descentWpT*d.speed/70
	case d.speed > d.target+3:
		d.apply(slowKmhS, dt)
	case d.speed < d.target-3:
		d.traction = 0.8
		d.speed += float64(accelKmhS * 0.5 * dt)
	default:
		// Rolling resistance and curves: [K] about half the effort at the burden of a full train.
		d.traction = 0.35 + float64(0.2*d.burden)
	}
}

// apply brakes at rate km/h per s. Power of 1 t: m a v with a = rate / 3.6, v = speed / 3.6.
func (d *drive) apply(rate, dt float64) {
	d.brake = true
	d.retard = float64(1000*rate*d.speed) / 12.96
	d.speed = max(0, d.speed-float64(rate*dt))
}

// arrive stands at a station, or turns round and loads for the next trip.
func (d *drive) arrive() {
	d.phase, d.left = dwelling, d.rng.between(75, 210)
	if d.legs--; d.legs <= 0 {
		d.legs = 3 + d.rng.below(4)
		d.left = d.rng.between(360, 600)
		d.trip()
	}
}
