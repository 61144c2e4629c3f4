package stream

// Kind is what a sensor measures.
type Kind uint8

// The kinds.
const (
	Other Kind = iota
	Bearing
	Motor
	Brake
	Transformer
)

var kindNames = [...]string{"other", "bearing", "motor", "brake", "transformer"}

// String gives the name used in tables and payloads.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "other"
}

// Asset is a vehicle or an installation that carries sensors. Its id is dense, from 1, in order of first sight.
type Asset struct {
	ID        int64
	Site      string
	Name      string
	FirstSeen int64 // event time of its first accepted reading or context, ms
}

// Sensor is one temperature source of an asset. Its id is dense, from 1, in order of first sight, below 2^20.
type Sensor struct {
	ID        int64
	AssetID   int64
	Site      string // of its asset
	Asset     string // name of its asset
	Name      string
	Kind      Kind
	Position  string // the name without its side: what mates share ("axle3"); empty when the name says none
	Axle      int    // axle or unit number, 0 when the name says none
	Side      string // "left", "right" or empty
	FirstSeen int64  // event time of its first accepted reading, ms
}

// ClosedBy says what closed a window.
type ClosedBy string

// What closes a window (contract, section 5).
const (
	ByWatermark ClosedBy = "watermark" // every member's watermark passed the end
	ByMedian    ClosedBy = "median"    // the lower-median member's watermark passed the end by one length
	ByIdle      ClosedBy = "idle"      // the members behind sent nothing for too long
	ByLate      ClosedBy = "late"      // a late reading made it where its sensor had no window
)

// Flag is a QARTOD flag of a reading (IOOS QARTOD: 1 good, 2 not evaluated, 3 suspect, 4 fail, 9 missing).
type Flag uint8

// The flags.
const (
	FlagGood    Flag = 1
	FlagUnknown Flag = 2
	FlagSuspect Flag = 3
	FlagFail    Flag = 4
	FlagMissing Flag = 9
)

// Flagged is a reading of a closed window whose flag is not good.
type Flagged struct {
	TS   int64
	Flag Flag
}

// Window is one closed window [Start, End) of one sensor, with its verdict.
type Window struct {
	Sensor       *Sensor
	Start, End   int64 // event time, ms, half-open
	Revision     int
	N            int     // accepted readings without the conflicted ones
	Expected     int     // readings expected from the sensor's period, at least 1
	Completeness float64 // N over Expected, at most 1
	Reasons      []Reason
	Detail       string // the reasons in a sentence each, with number and limit; empty when valid
	ClosedBy     ClosedBy
	Last         int64 // event time of its last reading, ms
	PeriodMs     int64 // the sensor's period after this window; 0 while unknown
	Features     Features
	Flagged      []Flagged // in event-time order
	Live         bool      // false when older than history-after at receipt: stored and scored, not published
	Between      bool      // of a sensor that hops: it overlaps those windows that learn and count, and does neither
	Behind       bool      // a later window of its sensor has closed before: a revision that moves no alert and is published as nothing
	Times        []int64   // of a revision, and where Behind: event times of the readings it was made of, whose older flags go
	Memory       []byte    // what the sensor's next window needs of its past: opaque, stored with the window
}

// ID is the window's natural key: its start in milliseconds above 20 bits of sensor id. The same (sensor, start) has it in
// every revision.
func (w *Window) ID() int64 { return Key(w.Start, w.Sensor.ID) }

// Valid says whether the window may be scored.
func (w *Window) Valid() bool { return len(w.Reasons) == 0 }

// SelfValid says whether the window is valid by its own verdict: nothing but its asset's fail-safe may be against it.
func (w *Window) SelfValid() bool {
	return len(w.Reasons) == 0 || len(w.Reasons) == 1 && w.Reasons[0] == FailsafeOpen
}

// SensorBits is how many low bits of a Key hold the sensor.
const SensorBits = 20

// Key packs an event time and a sensor (or asset) id into one integer that sorts by time.
func Key(ts, id int64) int64 { return ts<<SensorBits | id }

// SplitKey undoes Key.
func SplitKey(key int64) (ts, id int64) { return key >> SensorBits, key & (1<<SensorBits - 1) }
