package simulator

// machineFault is one failing component of a vehicle. Its effect is a function of growth, which moves only while running.
type machineFault struct {
	fault  string
	rng    draw
	at     int     // index of the bearing, axle or cooled component
	sensor int     // index in the fleet of the sensor that shows it first
	onset  int64   // event time, ms
	growth float64 // s of running from onset to the end of growth
	grown  float64 // 0 to 1
	size   float64 // severity, by kind
	mends  bool    // a seal that beds in: never fails
	failed int64   // event time of failure, ms; 0 while it has not

	on   bool    // spall: now disturbed
	left float64 // spall: s left of it
}

// Growth of a fault in seconds of running: with stops this makes 40 to 90 minutes from onset to failure. Published runaways
// took 14 and 25 minutes for 36 and 83 K, 2.6 and 3.4 K/min (East Palestine) [R from NTSB figures].
const (
	growthMin = 2520
	growthMax = 3600
)

// Limits at which a component has failed before its growth ends.
const (
	bearingLimit = 141.0 // K over ambient: 253 F, the last reading at East Palestine before the axle failed [S: NTSB figures]
	discLimit    = 400.0 // degC after minutes without a brake application: critical [P]
)

func newMachineFault(rng draw, fault string, onset int64) machineFault {
	m := machineFault{fault: fault, rng: rng, onset: onset}
	m.growth = m.rng.between(growthMin, growthMax)
	switch fault {
	case SealRub:
		// +10..25 K [K] at 15 W/K and 461 rpm.
		rise := m.rng.between(10, 25)
		m.size = rise * 15 / (skfWatts * 461)
		m.mends = m.rng.chance(0.4)
	case DraggingBrake:
		m.size = m.rng.between(33e3, 40e3) // W at 80 km/h: a shoe force of about 1.7 kN
	default:
		m.size = m.rng.between(0.95, 1.05)
	}
	return m
}

// step grows the fault and puts its effect on the vehicle.
func (m *machineFault) step(v *vehicle, now int64, dt float64) {
	if now < m.onset {
		return
	}
	if v.drive.speed > 1 {
		m.grown = min(1, m.grown+dt/m.growth)
	}
	over := false
	switch m.fault {
	case LubricationLoss:
		over = m.starve(&v.bearings[m.at], v.drive.burden, v.ambient)
	case Spall:
		over = m.spall(&v.bearings[m.at], v, dt)
	case SealRub:
		over = m.rub(&v.bearings[m.at], v.ambient, dt)
	case DraggingBrake:
		a := &v.axles[m.at]
		// Half the force within a tenth of the growth: the shoe does not come off; the rest as it heats and swells [K].
		a.drag = float64(m.size * (float64(0.5*min(1, float64(10*m.grown))) + float64(0.5*m.grown)))
		over = a.disc >= discLimit
	case BlockedCooling:
		c := &v.cooled[m.at]
		c.block = min(0.92, float64(1.3*m.size*m.grown))
		over = c.temp >= c.limit
	}
	if m.failed == 0 && !m.mends && (over || m.grown >= 1) {
		m.failed = now
	}
}

// starve: the torque of metal on metal rises slowly, then as the square, with load and speed; near 2 kW net late in the growth make
// the published 3 K/min at 40 kJ/K.
func (m *machineFault) starve(b *bearing, burden, ambient float64) bool {
	g := m.grown
	b.starve = g
	b.rub = float64(m.size * (0.5 + float64(0.5*burden)) * (float64(4e3*g) + float64(80e3*g*g))) // N mm
	return b.temp-ambient >= bearingLimit
}

// spall: disturbed for a minute or some, then quiet. Heat is highest before the end, as damage wears smooth (CJME
// s10033-022-00789-y: temperature rises, then falls with growing defect size).
func (m *machineFault) spall(b *bearing, v *vehicle, dt float64) bool {
	if m.left -= dt; m.left <= 0 {
		m.on = !m.on
		m.left = m.rng.between(60, 240)
	}
	shape := float64(m.grown * (2 - float64(1.2*m.grown)) * 1.2) // highest, 1, at a growth of 0.83
	b.friction, b.flash = 1+float64(0.7*m.size*shape), 0
	if jolt := m.rng.unit(); m.on {
		b.friction += float64(1.6 * m.size * shape)
		if v.drive.speed > 10 {
			b.flash = float64(shape * (0.3 + float64(2.2*jolt)))
		}
	}
	return b.temp-v.ambient >= bearingLimit
}

// rub: full after five minutes of running; beds in with a time constant of two hours, or grows sixfold.
func (m *machineFault) rub(b *bearing, ambient, dt float64) bool {
	if m.mends {
		m.size -= float64(m.size*dt) / 7200
	}
	force := min(1, m.grown*m.growth/300)
	if !m.mends {
		force += float64(5 * m.grown * m.grown)
	}
	b.rub = float64(m.size * force)
	return b.temp-ambient >= bearingLimit
}
