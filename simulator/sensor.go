package simulator

import "github.com/camrail/cidp/stream"

// Sensor properties.
const (
	noiseK     = 0.08 // K, standard deviation; class B tolerance is 0.3 K and more [K: IEC 60751]
	resolution = 10   // thousandths of a degree
	railed     = 850.0
	maxPhase   = 250 // ms after the tick at which a sensor may sample
)

// sensor is one channel: an element that follows its node, and a way to the broker.
type sensor struct {
	noise   draw
	element float64 // degC
	perTau  float64 // 1/s
	bias    float64 // K, calibration
	phase   int64   // ms after the tick at which it samples
	seq     int64
	fault   *sensorFault // nil when healthy
}

// newSensor draws a sensor: lag of 3 to 5 s, seated [S: industrialmonitordirect.com, 1-5 s], calibration within 0.25 K.
func newSensor(seed uint64, asset, index int, node float64, period int64) sensor {
	r := newDraw(seed, asset, index, forSensor)
	s := sensor{noise: newDraw(seed, asset, index, forNoise), element: node}
	s.perTau = 1 / r.between(3, 5)
	s.bias = r.between(-0.25, 0.25)
	s.phase = int64(r.below(int(min(maxPhase, period/4)) + 1))
	return s
}

// follow lets the element move towards its node for dt seconds.
func (s *sensor) follow(node, ambient, dt float64) {
	rate := s.perTau
	if f := s.fault; f != nil && f.slow > 1 {
		node = ambient + float64(f.gain*(node-ambient))
		rate /= f.slow
	}
	s.element += float64((node - s.element) * rate * dt)
}

// read takes a reading of the element at a tick. It always draws the same number of random numbers.
func (s *sensor) read(element float64, tick int64) stream.Reading {
	value := element + s.bias + float64(noiseK*s.noise.normal())
	ts := tick + s.phase
	if f := s.fault; f != nil && ts >= f.onset {
		value = f.distort(value, ts)
		ts += f.skew
	}
	s.seq++
	return stream.Reading{TS: ts, Temp: stream.Milli(quantum(value, resolution)), Seq: s.seq,
		Conditions: stream.Conditions{Has: stream.HasSeq}}
}

// sensorFault is what is wrong with one sensor, or with its way to the broker.
type sensorFault struct {
	fault string
	rng   draw
	onset int64 // event time, ms
	size  float64
	many  bool // dropout: gaps of minutes rather than single readings

	gain, slow float64 // fouling, as it stands: gain towards ambient, lag multiplier
	skew       int64   // clock_skew, ms
	frozen     float64 // stuck: the first value after the onset
	caught     bool

	closed bool     // dropout in gaps, late_bursts: the way is closed until turn
	turn   int64    // event time of the next change, ms
	held   []Sample // late_bursts
}

func newSensorFault(rng draw, fault string, onset int64) *sensorFault {
	f := &sensorFault{fault: fault, rng: rng, onset: onset, gain: 1, slow: 1}
	sign := 1.0
	if f.rng.chance(0.5) {
		sign = -1
	}
	switch fault {
	case Drift:
		f.size = float64(sign * f.rng.between(6, 14)) // K an hour: months of 0.1 to 1 K/month [K] within one run
	case ClockSkew:
		f.skew = int64(float64(sign * f.rng.between(35_000, 90_000)))
		f.skew |= 1 // so that a jump back meets no earlier event time of the same sensor on a grid of even milliseconds
	case Fouling:
		f.size = f.rng.between(0.25, 0.4) // gain 0.6 to 0.75 in the end [K]
	case Dropout:
		f.many = f.rng.chance(0.5)
		f.size = f.rng.between(0.35, 0.6) // share of readings missing
	case Spikes:
		f.size = f.rng.between(0.05, 0.12) // share of readings
	case Duplicates:
		f.size = f.rng.between(0.2, 0.4) // share of readings
	}
	return f
}

// age moves a fouling layer: at its worst after 40 minutes, with six to nine times the lag (an air gap gives about 30 s of
// response against 1 to 5 s seated [S: industrialmonitordirect.com]).
func (f *sensorFault) age(now int64) {
	if f.fault != Fouling || now < f.onset {
		return
	}
	share := min(1, float64(now-f.onset)/(40*60_000))
	f.gain = 1 - float64(f.size*share)
	f.slow = 1 + float64(20*f.size*share)
}

// distort gives what the channel reports instead of value at ts, which is past the onset.
func (f *sensorFault) distort(value float64, ts int64) float64 {
	switch f.fault {
	case Drift:
		return value + float64(f.size*float64(ts-f.onset))/hourMs
	case Stuck:
		if !f.caught {
			f.caught, f.frozen = true, value
		}
		return f.frozen
	case Spikes:
		up, hit := f.rng.between(20, 70), f.rng.unit()
		if hit < f.size/2 {
			return value - up
		} else if hit < f.size {
			return value + up
		}
	case OpenCircuit:
		return railed // an RTD transmitter without its element reads full scale [K]
	}
	return value
}

// burstJoin is how many held readings share one message.
const burstJoin = 50

// send appends what leaves the vehicle now for one reading: nothing, it, or it and others.
func (f *sensorFault) send(dst []Sample, s Sample) []Sample {
	if s.TS < f.onset {
		return append(dst, s)
	}
	switch f.fault {
	case Dropout:
		if f.many {
			f.toggle(s.TS, 4*60_000, 9*60_000, 2*60_000, 6*60_000)
		} else {
			f.closed = f.rng.chance(f.size)
		}
		if f.closed {
			return dst
		}
	case Duplicates:
		if f.rng.chance(f.size) {
			dst = append(dst, s)
		}
	case LateBursts:
		f.toggle(s.TS, 3*60_000, 8*60_000, 4*60_000, 13*60_000)
		if f.closed {
			f.held = append(f.held, s)
			return dst
		}
		for i, h := range f.held {
			h.Joined = i%burstJoin != 0
			dst = append(dst, h)
		}
		f.held = f.held[:0]
	}
	return append(dst, s)
}

// toggle opens and closes the way: open for loOpen to hiOpen ms, closed for loShut to hiShut ms. It closes at the onset.
func (f *sensorFault) toggle(ts int64, loOpen, hiOpen, loShut, hiShut float64) {
	if ts < f.turn {
		return
	}
	f.closed = !f.closed
	if f.closed {
		f.turn = ts + int64(f.rng.between(loShut, hiShut))
	} else {
		f.turn = ts + int64(f.rng.between(loOpen, hiOpen))
	}
}
