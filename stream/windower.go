package stream

import (
	"fmt"
	"math"
	"time"
)

// Past answers for what the windower no longer holds: readings and contexts before the open windows, and findings, committed or on their way. An
// error is fatal to the pass.
type Past interface {
	Reading(sensorID, ts int64) (Reading, bool, error)
	Context(assetID, ts int64) (Context, bool, error)
	Finding(key FindingKey) (Finding, bool, error)
}

// Scorer is told of every closed window in closing order, before anything later of the same sensor closes. It answers whether the
// sensor's baseline must stand still (an alarm stands).
type Scorer func(*Window) (frozen bool)

// Windower turns messages into batches: it decodes, refuses, de-duplicates, windows, cleans, judges. It belongs to one goroutine, does no I/O but through
// Past, and has no clock: receipt times come with the messages, monotonic time with Feed and Tick.
type Windower struct {
	cfg      Config
	registry *Registry
	base     int64 // window length, ms
	disorder int64
	past     Past
	history  History // past, where it is one
	score    Scorer
	sources  topics
	ahead    ahead
	assets   []*assetState  // by id-1
	sensors  []*sensorState // by id-1
	byName   map[[2]string]*assetState
	batch    *Batch   // filling
	taken    *Batch   // last taken
	reused   []Stored // memory for the next batch's readings; nil: none
	recent   uncommitted
	dirty    []*sensorState // whose open readings may lie elsewhere than was told
	elements []Element      // scratch of Feed
	members  []int64        // scratch of judge
	open     []entry        // scratch of closeGroup: the readings of a window
	spare    []*closing     // done with
	group    []dueSensor    // scratch of closeGroup: whose windows end together
	closed   []*closing     // likewise: the windows that close
	lagging  []*closing     // likewise: those of sensors that are behind
	mates    []mate         // likewise: what they are compared with
	judged   []judged       // scratch of closeDue: windows of one asset already judged
	received int64          // receipt time of what is being processed, ms
	most     int            // sensors, and assets: what a Key has room for
	late     []lateAt       // what revisions are to be made for
	failed   error          // of a revision that Take had to make
	revised  revisedWindows
	watch    watch  // who is silent
	later    putOff // whose windows wait for the next batch

	releasing bool           // a person puts back what is fed
	restless  bool           // tests: look at each boundary
	expired   map[int64]bool // windows that the last MakeRevisions could not release
}

// source is what a topic means: a sensor's readings, an asset's context or findings of a workshop, or why it means nothing.
type source struct {
	topic  string       // of a known sensor
	sensor *sensorState // nil until the first accepted reading
	asset  *assetState  // nil until anything of the asset was accepted
	what   input
	reason Reason
	detail string
	address
}

// assetState is an asset with its sensors and context.
type assetState struct {
	Asset
	sensors []*sensorState // in order of first sight
	context contextState
	newest  int64      // newest accepted event time of all of them, ms
	joint   []frontier // per window length, how far the asset's windows have closed
	closed  []mate     // closed windows that another sensor still has open readings beside
	hush    hush       // who of them is silent
	guard   guard      // the fail-safe
	waits   waits      // for whom its windows wait
	later   waitsForBatch
	moved   bool  // a sensor's period is configured otherwise than when this was last looked through for windows to close
	step    int64 // windows end at multiples of it, ms: the configured length, or less where a sensor hops
}

type frontier struct{ length, end int64 }

// contextState holds the contexts that open windows may still need, by event time.
type contextState struct {
	known  bool
	newest int64
	mark   int64
	mono   time.Duration
	pace   pace
	behind bool // as sensorState.behind
	kept   []contextEntry
	cut    int64 // contexts before it are no longer kept
}

type contextEntry struct {
	Context
	conflicted bool
}

// sensorState is a sensor with its readings that are in no closed window yet.
type sensorState struct {
	// What every reading touches comes first, so that it lies in few cache lines.
	asset    *assetState
	id       int64 // Sensor.ID
	newest   int64 // newest accepted event time, ms
	mark     int64 // the watermark that next makes it worth to look for windows to close
	edge     int64 // and the newest event time that does
	frontier int64 // end of the last closed window
	mono     time.Duration
	fresh    int      // readings accepted since the last Take, without those that what was told covers
	hop      *hopping // nil: its windows tumble
	pending  pending  // open readings
	quiet    quiet
	pace     pace
	clock    clock
	known    bool // newest holds
	behind   bool // it has sent readings farther behind its asset's newest than disorder: it may yet, so nobody overtakes it
	dirty    bool // its open readings have changed
	told     told

	*Sensor // never changed, but replaced: windows that were given away refer to it
	source  *source
	limits  *Limits // in force
	mate    *string // the one that the registry names; nil: by position
	period  int64   // configured, ms; 0: learned
	made    int64   // end of the last window that was made, ms; MinInt64: none
	last    int64   // event time of the last reading in a closed window, made or not, ms
	unmade  []int64 // event times of the readings of closed windows since the last one made, all in dispute, the first maxTimes+1 of them: a restart needs them
	past    past    // what its next window needs of it
}

// NewWindower gives a windower with no past. past may be nil when nothing precedes (tests, training); score may be nil.
func NewWindower(cfg Config, past Past, score Scorer) (*Windower, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check windower configuration: %w", err)
	}
	if past == nil {
		past = noPast{}
	}
	if score == nil {
		score = func(*Window) bool { return false }
	}
	history, _ := past.(History)
	return &Windower{
		cfg: cfg, registry: NewRegistry(&cfg), base: cfg.Window.Milliseconds(), disorder: cfg.Disorder.Milliseconds(),
		past: past, history: history, score: score,
		sources: newTopics(), byName: map[[2]string]*assetState{},
		batch: newBatch(), most: maxSensors,
	}, nil
}

type noPast struct{}

func (noPast) Reading(_, _ int64) (Reading, bool, error) { return Reading{}, false, nil }
func (noPast) Context(_, _ int64) (Context, bool, error) { return Context{}, false, nil }
func (noPast) Finding(FindingKey) (Finding, bool, error) { return Finding{}, false, nil }

func newBatch() *Batch {
	return &Batch{Count: Count{RefusedByReason: map[Reason]int64{}}}
}

// Take gives what has gathered since the last Take and starts anew. What the last Take gave must be committed by then, so that Past knows it.
// Revisions that MakeRevisions has not made are made; when that fails the batch is empty and the next Feed tells the error.
func (w *Windower) Take() *Batch {
	if w.MakeRevisions() != nil {
		return newBatch()
	}
	w.tellOpen()
	if len(w.batch.Windows) == 0 { // a quiet line needs no scratch
		w.spare, w.group, w.closed, w.lagging, w.open, w.mates = nil, nil, nil, nil, nil, nil
	}
	w.taken, w.batch = w.batch, newBatch()
	w.recent = uncommitted{}
	return w.taken
}

// Pending says whether Take would give anything to commit.
func (w *Windower) Pending() bool {
	return w.batch.Messages > 0 || len(w.batch.Windows) > 0 || len(w.late) > 0 || len(w.batch.Silences) > 0 || len(w.batch.Changed) > 0
}

// Size is how many elements the filling batch holds: what a caller bounds its memory by.
func (w *Windower) Size() int {
	b := w.batch
	return len(b.Readings) + len(b.Contexts) + len(b.Findings) + len(b.Late) + len(b.Refusals) + int(b.Count.Duplicate)
}

// Refuse counts and keeps as evidence a message that is refused before it is read (too large).
func (w *Windower) Refuse(m Message, reason Reason, detail string) {
	w.batch.Messages++
	w.batch.Count.Received++
	w.refuse(m, reason, detail, m.Payload, -1)
}

func (w *Windower) refuse(m Message, reason Reason, detail string, raw []byte, index int) {
	w.batch.Count.Refused++
	w.batch.Count.RefusedByReason[reason]++
	w.batch.Refusals = append(w.batch.Refusals, Refusal{
		Reason: reason, Received: m.Received, Topic: m.Topic, Client: m.Client, Payload: raw, Element: index, Detail: detail,
	})
}

// Feed takes one message. mono is monotonic time since any fixed instant. It answers the reason under which the message as a whole, or
// the first of its elements, was refused; empty when every element was accepted, a duplicate or late. An error is fatal: the state is
// no longer known.
func (w *Windower) Feed(m Message, mono time.Duration) (Reason, error) {
	if w.failed != nil {
		return "", w.failed
	}
	w.batch.Messages++
	w.received = m.Received
	src := w.source(m.Topic)
	if src.reason != "" {
		w.batch.Count.Received++
		w.refuse(m, src.reason, src.detail, m.Payload, -1)
		return src.reason, nil
	}
	w.elements = decode(w.elements[:0], m.Payload, src.what)
	w.batch.Count.Received += int64(len(w.elements))
	before, had := src.newest()
	oldest, latest := int64(math.MaxInt64), int64(math.MinInt64)
	var first Reason
	for i := range w.elements {
		e := &w.elements[i]
		reason, detail := e.Reason, e.Detail
		if reason == "" {
			latest = max(latest, e.TS)
			var err error
			if reason, detail, err = w.accept(src, e, m.Received, mono); err != nil {
				return "", err
			}
		}
		if reason == "" {
			oldest = min(oldest, e.TS)
			continue
		}
		w.refuse(m, reason, detail, e.Raw, e.Index)
		if first == "" {
			first = reason
		}
	}
	if w.releasing { // what is put back is no sign of its device
		return first, nil
	}
	if after, has := src.newest(); has && (!had || after > before) {
		if !had {
			before = oldest
		}
		src.pace().arrived(after - before)
	}
	if latest != math.MinInt64 && src.sensor != nil {
		w.noteClock(src.sensor, latest, m.Received)
	}
	return first, nil
}

// newest gives the newest accepted event time of what a topic means.
func (src *source) newest() (int64, bool) {
	switch {
	case src.what == contexts && src.asset != nil:
		return src.asset.context.newest, src.asset.context.known
	case src.sensor != nil:
		return src.sensor.newest, src.sensor.known
	}
	return 0, false
}

// pace gives where the steps of a known source are noted.
func (src *source) pace() *pace {
	if src.what == contexts {
		return &src.asset.context.pace
	}
	return &src.sensor.pace
}

// pace is how a source's messages move its newest event time: a device that sends a minute's readings once a minute is not idle in between.
type pace struct {
	last   int64 // step of the last message, ms
	stride int64 // the larger of the usual step and what is left of past ones, ms
}

// maxStride bounds what a message that spans long is taken to say about when the next one comes.
const maxStride = int64(time.Hour / time.Millisecond)

// arrived notes a message's step. A large one counts once the next is as large: a gap is not a pace.
func (p *pace) arrived(step int64) {
	usual := step
	if p.last > 0 {
		usual = min(step, p.last)
	}
	p.last = step
	p.stride = max(p.stride-p.stride/4, min(usual, maxStride))
}
