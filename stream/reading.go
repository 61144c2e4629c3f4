package stream

import "math"

// Milli is a canonical value: thousandths of its unit. A number is rounded to it once, at decode, and kept so everywhere,
// so that every figure made from it is the same whatever the arrival order, the batching and the machine.
type Milli int64

// MaxMilli bounds a canonical value: beyond it a float64 no longer tells neighbouring thousandths apart.
const MaxMilli Milli = 1 << 53

// Float gives the value in its unit.
func (m Milli) Float() float64 { return float64(m) / 1000 }

// ToMilli rounds a float in its unit to thousandths, half away from zero. NaN and infinities give ok = false.
func ToMilli(v float64) (m Milli, ok bool) {
	v = math.Round(v * 1000)
	if !(v > -float64(MaxMilli) && v < float64(MaxMilli)) {
		return 0, false
	}
	return Milli(v), true
}

// Fields says which optional fields of a reading or a context are present.
type Fields uint8

// The optional fields.
const (
	HasAmbient Fields = 1 << iota
	HasSpeed
	HasLoad
	HasBrake
	HasSeq
)

// Conditions are what a vehicle was doing when a temperature was taken. A field counts only where Has names it;
// the others are zero.
type Conditions struct {
	Ambient Milli // degC, thousandths
	Speed   Milli // km/h, thousandths
	Load    Milli // t, thousandths
	Brake   uint8 // 0 or 1
	Has     Fields
}

// Reading is one temperature at one event time. Two readings are the same if and only if they compare equal.
type Reading struct {
	TS   int64 // event time, epoch milliseconds
	Temp Milli // degC, thousandths
	Seq  int64 // device sequence number, where Has names it
	Conditions
}

// Context is what a vehicle reports about itself, apart from any sensor.
type Context struct {
	TS int64 // event time, epoch milliseconds
	Conditions
}

// Limits of a reading's event time (contract, section 2): 2000-01-01T00:00:00Z inclusive to 2^43 ms exclusive.
const (
	MinTS int64 = 946_684_800_000
	MaxTS int64 = 1 << 43
)
