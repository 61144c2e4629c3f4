package simulator

// Constants of the lumped models. Those of the bearing are the seeds of the domain notes, section 2.4.
const (
	skfWatts    = 1.05e-4 // W per N mm and rpm [S: skf.com, power loss and bearing temperature]
	rpmPerKmh   = 5.7664  // 0.92 m wheel: 1000 / 60 / (pi 0.92)
	bearingH0   = 7.0     // W/K standing [K: 6 to 9]
	bearingH1   = 0.3725  // W/K per (km/h)^0.7: 15 W/K at 80 km/h [K]
	sunLeft     = 24.0    // W at noon on one side of the vehicle [K]
	sunRight    = 14.0    // W on the other
	wheelToBox  = 3.0     // W/K wheelset to bearing; conduction, radiation is minimal [S: researchgate 267600317]
	wheelC      = 150e3   // J/K, the part of the wheelset near the seats: about 320 kg of steel [K]
	wheelH0     = 12.0    // W/K [K]
	wheelH1     = 1.6     // W/K per (km/h)^0.7 [K]
	discC       = 90e3    // J/K, two discs of about 95 kg [K]
	discH0      = 10.0    // W/K [K]
	discH1      = 2.9     // W/K per (km/h)^0.7: 72 W/K at 80 km/h [K]
	discToWheel = 18.0    // W/K [K]
	motorC      = 350e3   // J/K, about 800 kg of iron and copper [K]
	transC      = 520e3   // J/K, oil and core of a force-cooled traction transformer; time constant near half an hour [K]
)

// bearing is one axle box. Mates differ by a few per cent.
type bearing struct {
	axle     int // index
	temp     float64
	torque   float64 // N mm at 40 degC and the usual load [K: 5 to 8 N m at an 80 km/h axle]
	perC     float64 // K/J
	sun      float64 // W at noon
	friction float64 // torque multiplier of a fault, 1 when healthy
	starve   float64 // 0 to 1: how much of the torque no longer falls with the grease's viscosity
	rub      float64 // N mm of a rubbing seal, or of metal on metal
	flash    float64 // K above the body that a sensor near the raceway sees
}

// step takes n in rpm, h in W/K, sun 0 to 1 and temperatures in degC.
func (b *bearing) step(n, h, burden, ambient, sun, wheel, dt float64) {
	// Grease thins as it warms: a rational stand-in for the viscosity, 1 at 40 degC [K]. Starved contacts lose that relief.
	thin := 100 / (60 + b.temp)
	thin += float64(b.starve * (1 - thin))
	torque := float64(b.torque*burden*thin*b.friction) + b.rub
	if b.rub > 0 && b.temp > 150 {
		// Softening metal grips less: a seized bearing burns on near 200 degC instead of heating without end [P].
		torque -= float64(b.rub * (1 - max(0.3, (300-b.temp)/150)))
	}
	heat := float64(skfWatts*torque*n) + float64(b.sun*sun)
	heat += float64(wheelToBox*(wheel-b.temp)) - float64(h*(b.temp-ambient))
	b.temp += float64(heat * b.perC * dt)
}

// axle is a wheelset with its brake discs.
type axle struct {
	disc, wheel float64 // degC
	tonnes      float64 // mass braked by this axle's discs, t
	drag        float64 // W of a brake that does not release, at 80 km/h
}

// step takes retard in W/t, h as v^0.7, v in km/h.
func (a *axle) step(retard, pow, speed, ambient, dt float64) {
	flow := float64(discToWheel * (a.disc - a.wheel))
	heat := float64(retard*a.tonnes) + a.drag*speed/80 - flow
	heat -= float64((discH0 + float64(discH1*pow)) * (a.disc - ambient))
	flow -= float64((wheelH0 + float64(wheelH1*pow)) * (a.wheel - ambient))
	a.disc += float64(heat*dt) / discC
	a.wheel += float64(flow*dt) / wheelC
}

// cooled is a traction motor or a transformer: losses against a cooling circuit.
type cooled struct {
	temp      float64
	iron      float64 // W at 80 km/h (motor) or always (transformer)
	copper    float64 // W at full traction
	ua, uaPow float64 // W/K, and W/K per (km/h)^0.7
	perC      float64 // K/J
	rolls     bool    // iron losses follow the speed
	block     float64 // share of the cooling lost to a fault, 0 to 1
	limit     float64 // degC at which it has failed
}

func (c *cooled) step(traction, burden, pow, speed, ambient, dt float64) {
	heat := c.iron
	if c.rolls {
		heat = c.iron * speed / 80
	}
	heat += float64(c.copper * burden * traction * traction)
	if c.temp > c.limit {
		heat -= float64(heat * min(1, (c.temp-c.limit)/40)) // traction control derates a component that is too hot [K]
	}
	ua := c.ua + float64(c.uaPow*pow)
	ua -= float64(ua * c.block)
	heat -= float64(ua * (c.temp - ambient))
	c.temp += float64(heat * c.perC * dt)
}

func newBearing(r *draw, axle int, left bool, torque, capacity float64) bearing {
	b := bearing{axle: axle, friction: 1, sun: sunRight}
	if left {
		b.sun = sunLeft
	}
	b.torque = float64(torque * r.between(0.96, 1.04))
	b.perC = 1 / float64(capacity*r.between(0.98, 1.02))
	return b
}

// newMotor: rise of about 40 K at the usual load; class F winding, hot spot 155 degC [S: eurari.com].
func newMotor(r *draw) cooled {
	return cooled{iron: 2200, copper: float64(26e3 * r.between(0.96, 1.04)), ua: 120, uaPow: 7.5, perC: 1 / motorC,
		rolls: true, limit: 155}
}

// newTransformer: top-oil rise of about 40 K; alarm at 105 degC [K: IEC 60076-7].
func newTransformer(r *draw) cooled {
	return cooled{iron: 2600, copper: float64(27e3 * r.between(0.96, 1.04)), ua: 270, perC: 1 / transC, limit: 105}
}
