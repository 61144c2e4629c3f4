package simulator

import "github.com/camrail/cidp/stream"

const axles = 4

// vehicle is the physics of one asset. Stepping it depends on nothing outside it but the table of powers, so that a clone
// stepped ahead shows what the original will do.
type vehicle struct {
	drive    drive
	weather  weather
	powers   *powers
	bearings []bearing // left and right of axle 0, 1, ...
	axles    []axle
	cooled   []cooled // motors, then the transformer
	faults   []machineFault

	ambient float64   // degC, of the last step
	nodes   []float64 // degC at each sensor's place after the last step, in the order of layout
}

// spot is one place with a sensor.
type spot struct {
	kind stream.Kind
	name string
	axle int // from 1; 0 for none
	side string
	at   int // index of the bearing, axle or cooled component
}

// layout gives an asset's sensors: eight bearings and two discs, and on a locomotive two motors and a transformer.
func layout(loco bool) []spot {
	var spots []spot
	for a := range axles {
		n := string(rune('1' + a))
		spots = append(spots,
			spot{kind: stream.Bearing, name: "axle" + n + "-left", axle: a + 1, side: "left", at: 2 * a},
			spot{kind: stream.Bearing, name: "axle" + n + "-right", axle: a + 1, side: "right", at: 2*a + 1})
	}
	spots = append(spots,
		spot{kind: stream.Brake, name: "brake1", axle: 1, at: 0},
		spot{kind: stream.Brake, name: "brake2", axle: 2, at: 1})
	if loco {
		spots = append(spots,
			spot{kind: stream.Motor, name: "motor1-drive", axle: 1, at: 0},
			spot{kind: stream.Motor, name: "motor2-drive", axle: 2, at: 1},
			spot{kind: stream.Transformer, name: "transformer", at: 2})
	}
	return spots
}

func newVehicle(seed uint64, asset, site int, loco bool, p *powers) vehicle {
	r := newDraw(seed, asset, 0, forVehicle)
	v := vehicle{drive: newDrive(newDraw(seed, asset, 0, forDrive), loco), weather: newWeather(seed, site), powers: p}
	torque, capacity := r.between(6500, 8000), r.between(36e3, 44e3)
	tonnes := r.between(9.5, 11.5) // braked by the discs of one axle; a coach of 40 to 46 t
	if loco {
		tonnes = r.between(8, 10) // the rest of a locomotive's braking is electric
	}
	for i := range 2 * axles {
		v.bearings = append(v.bearings, newBearing(&r, i/2, i%2 == 0, torque, capacity))
	}
	for range axles {
		v.axles = append(v.axles, axle{tonnes: float64(tonnes * r.between(0.95, 1.05))})
	}
	if loco {
		v.cooled = append(v.cooled, newMotor(&r), newMotor(&r), newTransformer(&r))
	}
	v.nodes = make([]float64, len(layout(loco)))
	return v
}

// settle starts every node at ambient, and for a vehicle already in service runs an hour and a half of timetable up to start.
func (v *vehicle) settle(start int64, inService bool) {
	ambient, _ := v.weather.at(start)
	for i := range v.bearings {
		v.bearings[i].temp = ambient
	}
	for i := range v.axles {
		v.axles[i].disc, v.axles[i].wheel = ambient, ambient
	}
	for i := range v.cooled {
		v.cooled[i].temp = ambient
	}
	v.ambient = ambient
	v.show()
	if !inService {
		return
	}
	const dt = 5
	for s := int64(-5400); s < 0; s += dt {
		v.step(start+s*1000, dt)
	}
}

// step moves everything by dt seconds, ending at event time now. Failures are noted in faults.
func (v *vehicle) step(now int64, dt float64) {
	ambient, sun := v.weather.at(now)
	v.ambient = ambient
	v.drive.step(dt)
	speed := v.drive.speed
	pow := v.powers.at(speed)
	for i := range v.faults {
		v.faults[i].step(v, now, dt)
	}
	for i := range v.axles {
		v.axles[i].step(v.drive.retard, pow, speed, ambient, dt)
	}
	n, h := float64(rpmPerKmh*speed), bearingH0+float64(bearingH1*pow)
	for i := range v.bearings {
		b := &v.bearings[i]
		b.step(n, h, v.drive.burden, ambient, sun, v.axles[b.axle].wheel, dt)
	}
	for i := range v.cooled {
		v.cooled[i].step(v.drive.traction, v.drive.burden, pow, speed, ambient, dt)
	}
	v.show()
}

// show copies the temperatures to where the sensors are.
func (v *vehicle) show() {
	for i := range v.bearings {
		v.nodes[i] = v.bearings[i].temp + v.bearings[i].flash
	}
	n := v.nodes[len(v.bearings):]
	n[0], n[1] = v.axles[0].disc, v.axles[1].disc
	for i := range v.cooled {
		n[2+i] = v.cooled[i].temp
	}
}

// clone gives a vehicle that shares nothing that moves.
func (v *vehicle) clone() vehicle {
	c := *v
	c.bearings = append([]bearing(nil), v.bearings...)
	c.axles = append([]axle(nil), v.axles...)
	c.cooled = append([]cooled(nil), v.cooled...)
	c.faults = append([]machineFault(nil), v.faults...)
	c.nodes = append([]float64(nil), v.nodes...)
	return c
}

// failed says whether every fault that fails has failed.
func (v *vehicle) failed() bool {
	for i := range v.faults {
		if v.faults[i].failed == 0 && !v.faults[i].mends {
			return false
		}
	}
	return true
}
