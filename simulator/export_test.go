package simulator

import (
	"bufio"
	"time"
)

// Node tells a test the true temperature at a sensor's place, degC, its vehicle's ambient temperature, degC, and speed, km/h.
func (f *Fleet) Node(sensor int) (temp, ambient, speed float64) {
	a := &f.assets[f.info[sensor].AssetIndex]
	return a.vehicle.nodes[sensor-a.first], a.vehicle.ambient, a.vehicle.drive.speed
}

// Hold keeps every vehicle rolling at a speed with a burden of 1, for measuring steady states.
func (f *Fleet) Hold(speed float64) {
	for i := range f.assets {
		d := &f.assets[i].vehicle.drive
		d.phase, d.left, d.slack, d.speed, d.target, d.burden = cruising, 1e12, 1e12, speed, speed, 1
	}
}

// Sine, SeventhTenth and Quantum open the exact helpers to tests.
func Sine(turns float64) float64 { return sine(turns) }

func SeventhTenth(v float64) float64 { return newPowers().at(v) }

func Quantum(v float64, step int64) int64 { return quantum(v, step) }

// Due opens the pacer to tests.
func Due(wall, event time.Time, speedup float64, tick time.Time) time.Time {
	return pacer{wall: wall, event: event, speedup: speedup}.due(tick)
}

// Ahead of a tick's time a reading may be, skewed clocks apart.
const MaxPhase = maxPhase * time.Millisecond

// ReadAck opens the reader of acknowledgements to tests.
func ReadAck(r *bufio.Reader) (uint16, error) { return readAck(r) }
