package stream

// Message is what a client published, as the line sees it.
type Message struct {
	Topic    string
	Client   string // MQTT client id, for the evidence
	Payload  []byte
	Received int64 // receipt, wall clock, epoch milliseconds
}

// Stored is an accepted reading with the sensor it belongs to.
type Stored struct {
	SensorID int64
	Reading
}

// StoredContext is an accepted context with its asset.
type StoredContext struct {
	AssetID int64
	Context
}

// Refusal is a message, or one element of a message, that was refused: the evidence.
type Refusal struct {
	Reason   Reason
	Received int64
	Topic    string
	Client   string
	Payload  []byte // the element's bytes, or the whole message's; cut to the evidence limit
	Element  int    // position in an array, -1 for the whole message
	Detail   string // what is wrong, in words
}

// LateReading is a reading, or a context, that came after its window had closed.
type LateReading struct {
	AssetID  int64
	SensorID int64 // 0 for a context
	Received int64
	Reading         // of a context: Temp and Seq are zero
	Reason   Reason // Late
}

// Count is one line of the ledger: how many of what, and why.
type Count struct {
	Received        int64 // elements that could be told apart, and whole messages where none could
	Stored          int64 // readings
	StoredContext   int64
	StoredFinding   int64
	Duplicate       int64
	Late            int64
	Refused         int64
	RefusedByReason map[Reason]int64
}

// Batch is everything that a run of messages meant: what was accepted, refused and closed. One commit takes it whole.
type Batch struct {
	Assets             []*Asset       // seen for the first time
	Sensors            []*Sensor      // seen for the first time
	Changed            []SensorChange // in order
	Readings           []Stored
	Contexts           []StoredContext
	Findings           []Finding
	Conflicted         []Stored // keys (SensorID, TS) whose value is in dispute; the reading is the later, refused one
	ConflictedContexts []StoredContext
	Late               []LateReading
	Refusals           []Refusal
	Windows            []*Window   // in closing order
	Opened             []Open      // of every sensor whose open readings lie elsewhere than told before; none in a batch without messages and windows
	Clocks             []ClockNote // of devices whose clocks were found otherwise than told before: an advisory, stored nowhere
	Silences           []Silence   // in order
	Failsafes          []Failsafe  // in order; the last of an asset is its state
	Count              Count
	Messages           int64
}

// Reuse takes back a batch that nobody reads any more: the next one's readings go where its readings were, which spares most of what the windower allocates. The windows and everything else of
// it stay as they are. A batch that the windower may still look at, the last taken, is left alone.
func (w *Windower) Reuse(b *Batch) {
	if b == nil || b == w.taken || b == w.batch {
		return
	}
	switch n := len(b.Readings); {
	case n == 0: // it says nothing of how much the next ones will need
	case cap(b.Readings) <= maxRoom*n:
		w.reused = b.Readings[:0]
	default: // memory of a rush that is over goes back
		w.reused = nil
	}
	b.Readings = nil
}

// maxRoom is how many times as large as its content a list may be that is used again.
const maxRoom = 4

// room gives a list for the readings of a batch: that of a former one, or one for as many as the last batch had, since growing to it would copy each twice.
func (w *Windower) room() []Stored {
	out := w.reused
	if w.reused = nil; out == nil && w.taken != nil {
		out = make([]Stored, 0, max(1, len(w.taken.Readings)))
	}
	return out
}

// Open says where a sensor's readings lie that are in no closed window yet: in [From, To), and where they are few and far between exactly at Times.
// It holds until the next one of that sensor: To leaves room for what comes meanwhile. From = 0: all readings are in closed windows.
type Open struct {
	SensorID int64
	From     int64   // event time of the first of them, ms
	To       int64   // above the last of them, ms; 0: not known
	Times    []int64 // of all of them in order, ms; nil: look in [From, To)
}
