// Package simulator is a seeded fleet of vehicles whose temperatures come from physics, with machine and sensor faults in it,
// and a publisher that sends what the fleet says to any MQTT broker.
//
// It promises: the same seed and configuration give the same bytes, on every machine and architecture; Truth says exactly
// what is wrong, where, from when, and when it fails; Publish never sends a reading whose event time is ahead of the wall
// clock (a skewed device clock excepted, which is at most 90 s ahead), keeps each asset's order, and tells how much of
// what it sent was acknowledged, which is all of it unless it returns an error.
//
// It refuses to be a digital twin: constants are plausible seeds with their source beside them, not Camrail's figures. It
// knows the reading codec of package stream and plain MQTT 3.1.1, nothing of the platform.
//
// # The model
//
// One vehicle is a drive (a timetable of runs and stops), an ambient temperature, and lumped thermal nodes stepped by Euler's
// method, one second of event time or less a step:
//
//	bearing      C dT/dt = 1.05e-4 M(load, T, fault) n - (h0 + h1 v^0.7)(T - Tamb) + sun + kw (Twheel - T)
//	brake disc   C dT/dt = braking power + drag power - (h0 + h1 v^0.7)(T - Tamb) - kd (T - Twheel)
//	wheelset     C dT/dt = kd (Tdisc - T) - (h0 + h1 v^0.7)(T - Tamb)
//	motor        C dT/dt = iron(v) + copper traction^2 - UA(v, fault)(T - Tamb)
//	transformer  C dT/dt = iron + load traction^2 - UA(fault)(Toil - Tamb)
//
// The friction law is SKF's N_R[W] = 1.05e-4 M[N mm] n[rpm] (skf.com, "power loss and bearing temperature"). Sources are named
// as [S] read in the cited source, [K] general knowledge, [P] our proposal, as in the project's domain notes, section 2.
//
// A sensor follows its node with a lag of seconds, has a small calibration error, noise of 0.08 K and a resolution of 0.01 K.
//
// # Faults
//
// Machine faults have an onset, a growth that only moves while the vehicle runs, and (all but a seal that beds in) a failure,
// which is the instant at which a limit is passed or the growth is at its end, whichever comes first; it falls 40 to 90 minutes
// after the onset. Failure instants are known from the start because New runs the physics of the faulty vehicles ahead: the very
// steps that Step takes later. A dragging brake also heats both bearings of its axle: the truth lists them as
// dragging_brake without a failure instant, so that an alarm on them is no false one and silence on them no missed one.
// Sensor faults have an onset and no failure. Slow ones (drift, fouling) are sped up to fit into a run.
//
// # Reproducibility
//
// Nothing here calls math.Exp, Pow, Log or Sin; every product of floats that may meet a sum is written float64(a*b), which
// forbids a fused multiply-add; randomness is math/rand/v2's PCG read as Uint64 only, one stream a sensor and purpose, so that
// a fault added to one sensor leaves every other sensor's noise as it was. A test holds the rule on products.
//
// A Fleet belongs to one goroutine; what Truth, Sensors and FailsWithin tell is fixed by New and may be read from any.
package simulator
