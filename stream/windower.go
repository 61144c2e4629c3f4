package stream

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Past answers for what the windower no longer holds: readings and contexts before the open windows, committed or on their way. An
// error is fatal to the pass.
type Past interface {
	Reading(sensorID, ts int64) (Reading, bool, error)
	Context(assetID, ts int64) (Context, bool, error)
}

// Scorer is told of every closed window in closing order, before anything later of the same sensor closes. It answers whether the
// sensor's baseline must stand still (an alarm stands).
type Scorer func(*Window) (frozen bool)

// Windower turns messages into batches: it decodes, refuses, de-duplicates, windows, cleans, judges. It belongs to one goroutine, does no I/O but through
// Past, and has no clock: receipt times come with the messages, monotonic time with Feed and Tick.
type Windower struct {
	cfg      Config
	base     int64 // window length, ms
	disorder int64
	past     Past
	score    Scorer
	sources  map[string]*source // by topic
	assets   []*assetState      // by id-1
	sensors  []*sensorState     // by id-1
	byName   map[[2]string]*assetState
	batch    *Batch
	dirty    []*sensorState // whose first open reading may have moved since the last Take
	elements []Element      // scratch of Feed
	members  []int64        // scratch of due
	received int64          // receipt time of what is being processed, ms
}

// source is what a topic means: a sensor's readings or an asset's context, or why it means nothing.
type source struct {
	address
	context bool
	reason  Reason
	detail  string
	sensor  *sensorState // nil until the first accepted reading
	asset   *assetState  // nil until anything of the asset was accepted
}

// assetState is an asset with its sensors and context.
type assetState struct {
	Asset
	sensors []*sensorState // in order of first sight
	context contextState
	joint   []frontier // per window length, how far the asset's windows closed together
}

type frontier struct{ length, end int64 }

// contextState holds the contexts that open windows may still need, by event time.
type contextState struct {
	known  bool
	newest int64
	mark   int64
	mono   time.Duration
	stride int64
	kept   []contextEntry
	cut    int64 // contexts before it are no longer kept
}

type contextEntry struct {
	Context
	conflicted bool
}

// sensorState is a sensor with its readings that are in no closed window yet.
type sensorState struct {
	Sensor
	asset    *assetState
	source   *source
	period   int64 // configured, ms; 0: learned
	known    bool  // newest holds
	newest   int64 // newest accepted event time, ms
	mark     int64 // the watermark that next makes it worth to look for windows to close
	frontier int64 // end of the last closed window
	mono     time.Duration
	stride   int64 // how far newest moved with the last messages, ms: a device that sends in batches is not idle between them
	pending  []entry
	memory   memory
	dirty    bool
	openFrom int64 // as last told in Batch.Opened; 0: none open
}

type entry struct {
	Reading
	conflicted bool
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
	return &Windower{
		cfg: cfg, base: cfg.Window.Milliseconds(), disorder: cfg.Disorder.Milliseconds(),
		past: past, score: score,
		sources: map[string]*source{}, byName: map[[2]string]*assetState{},
		batch: newBatch(),
	}, nil
}

type noPast struct{}

func (noPast) Reading(_, _ int64) (Reading, bool, error) { return Reading{}, false, nil }
func (noPast) Context(_, _ int64) (Context, bool, error) { return Context{}, false, nil }

func newBatch() *Batch {
	return &Batch{Count: Count{RefusedByReason: map[Reason]int64{}}}
}

// Take gives what has gathered since the last Take and starts anew.
func (w *Windower) Take() *Batch {
	for _, s := range w.dirty {
		s.dirty = false
		from := int64(0)
		if len(s.pending) > 0 {
			from = s.pending[0].TS
		}
		if from != s.openFrom {
			s.openFrom = from
			w.batch.Opened = append(w.batch.Opened, Open{SensorID: s.ID, From: from})
		}
	}
	w.dirty = w.dirty[:0]
	b := w.batch
	w.batch = newBatch()
	return b
}

// Pending says whether Take would give anything to commit.
func (w *Windower) Pending() bool {
	return w.batch.Messages > 0 || len(w.batch.Windows) > 0
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
	w.batch.Messages++
	w.received = m.Received
	src := w.source(m.Topic)
	if src.reason != "" {
		w.batch.Count.Received++
		w.refuse(m, src.reason, src.detail, m.Payload, -1)
		return src.reason, nil
	}
	w.elements = Decode(w.elements[:0], m.Payload, src.context)
	w.batch.Count.Received += int64(len(w.elements))
	before, had := src.newest()
	var first Reason
	for i := range w.elements {
		e := &w.elements[i]
		reason, detail := e.Reason, e.Detail
		if reason == "" {
			var err error
			if reason, detail, err = w.accept(src, e, m.Received, mono); err != nil {
				return "", err
			}
		}
		if reason == "" {
			continue
		}
		w.refuse(m, reason, detail, e.Raw, e.Index)
		if first == "" {
			first = reason
		}
	}
	if after, has := src.newest(); has && after != before {
		if !had {
			before = w.elements[0].TS
		}
		arrived(src.stride(), after-before)
	}
	return first, nil
}

// newest gives the newest accepted event time of what a topic means.
func (src *source) newest() (int64, bool) {
	switch {
	case src.context && src.asset != nil:
		return src.asset.context.newest, src.asset.context.known
	case src.sensor != nil:
		return src.sensor.newest, src.sensor.known
	}
	return 0, false
}

// stride gives where the arrival steps of a known source are noted.
func (src *source) stride() *int64 {
	if src.context {
		return &src.asset.context.stride
	}
	return &src.sensor.stride
}

// source finds or makes what a topic means. Refused topics are not kept: a stranger could name ever new ones.
func (w *Windower) source(topic string) *source {
	if src, ok := w.sources[topic]; ok {
		return src
	}
	a, context, reason, detail := parseTopic(topic)
	src := &source{address: a, context: context, reason: reason, detail: detail}
	if reason == "" {
		src.asset = w.byName[[2]string{a.site, a.asset}]
	}
	return src
}

// accept takes one good element. A reason says that it is refused after all; duplicates and late ones are counted here.
func (w *Windower) accept(src *source, e *Element, received int64, mono time.Duration) (Reason, string, error) {
	if ahead := e.TS - received; ahead > w.cfg.FutureAfter.Milliseconds() {
		return Future, fmt.Sprintf("ts is %d ms ahead of its receipt, more than %s", ahead, w.cfg.FutureAfter), nil
	}
	if behind := received - e.TS; w.cfg.TooOld > 0 && behind > w.cfg.TooOld.Milliseconds() {
		return TooOld, fmt.Sprintf("ts is %d ms behind its receipt, more than %s", behind, w.cfg.TooOld), nil
	}
	if src.context {
		return w.acceptContext(src, Context{TS: e.TS, Conditions: e.Conditions}, received, mono)
	}
	return w.acceptReading(src, e.Reading, received, mono)
}

// maxSensors is how many sensors a Key has room for.
const maxSensors = 1<<SensorBits - 1

func (w *Windower) acceptReading(src *source, r Reading, received int64, mono time.Duration) (Reason, string, error) {
	s := src.sensor
	if s == nil {
		if len(w.sensors) >= maxSensors {
			return UnknownTopic, fmt.Sprintf("the registry is full: %d sensors", maxSensors), nil
		}
		s = w.newSensor(src, r.TS)
	}
	if r.TS < s.frontier {
		return w.behind(s, r, received)
	}
	old, fresh := s.insert(r)
	if !fresh {
		if old.Reading == r {
			w.batch.Count.Duplicate++
			return "", "", nil
		}
		old.conflicted = true
		w.batch.Conflicted = append(w.batch.Conflicted, Stored{SensorID: s.ID, Reading: r})
		return Conflict, conflictDetail, nil
	}
	w.batch.Count.Stored++
	w.batch.Readings = append(w.batch.Readings, Stored{SensorID: s.ID, Reading: r})
	w.touch(s)
	s.mono = mono
	s.advance(r.TS)
	if s.newest-w.disorder >= s.mark {
		s.mark = next(s.newest-w.disorder, w.base)
		w.closeDue(s.asset, -1)
	}
	return "", "", nil
}

// advance moves the sensor's newest event time, and with it its watermark.
func (s *sensorState) advance(ts int64) {
	if !s.known || ts > s.newest {
		s.known, s.newest = true, ts
	}
}

const conflictDetail = "another value is already stored for this time; the first is kept and neither feeds a window"

// behind classes a reading before its sensor's last closed window: known already, in dispute, or late.
func (w *Windower) behind(s *sensorState, r Reading, received int64) (Reason, string, error) {
	old, found, err := w.past.Reading(s.ID, r.TS)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("look up reading: %w", err)
	case found && old == r:
		w.batch.Count.Duplicate++
		return "", "", nil
	case found:
		w.batch.Conflicted = append(w.batch.Conflicted, Stored{SensorID: s.ID, Reading: r})
		return Conflict, conflictDetail, nil
	}
	w.batch.Count.Late++
	w.batch.Late = append(w.batch.Late, LateReading{AssetID: s.AssetID, SensorID: s.ID, Received: received, Reading: r, Reason: Late})
	return "", "", nil
}

// next gives the first multiple of base above v.
func next(v, base int64) int64 { return floor(v, base) + base }

// floor gives the last multiple of base at or below v.
func floor(v, base int64) int64 {
	q := v / base
	if v%base < 0 {
		q--
	}
	return q * base
}

// insert puts a reading among the pending ones by event time. When that time is taken, it gives the one that is there.
func (s *sensorState) insert(r Reading) (old *entry, fresh bool) {
	n := len(s.pending)
	if n == 0 || r.TS > s.pending[n-1].TS {
		s.pending = append(s.pending, entry{Reading: r})
		return nil, true
	}
	i, found := slices.BinarySearchFunc(s.pending, r.TS, func(e entry, ts int64) int { return compare(e.TS, ts) })
	if found {
		return &s.pending[i], false
	}
	s.pending = slices.Insert(s.pending, i, entry{Reading: r})
	return nil, true
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// touch notes that the first open reading of a sensor may have moved.
func (w *Windower) touch(s *sensorState) {
	if !s.dirty {
		s.dirty = true
		w.dirty = append(w.dirty, s)
	}
}

// assetOf finds or makes the asset that a topic names.
func (w *Windower) assetOf(src *source, ts int64) *assetState {
	if src.asset != nil {
		return src.asset
	}
	name := [2]string{src.site, src.address.asset}
	a := w.byName[name]
	if a == nil {
		a = &assetState{Asset: Asset{ID: int64(len(w.assets) + 1), Site: src.site, Name: src.address.asset, FirstSeen: ts}}
		w.addAsset(a)
		asset := a.Asset
		w.batch.Assets = append(w.batch.Assets, &asset)
	}
	src.asset = a
	return a
}

func (w *Windower) addAsset(a *assetState) {
	w.assets = append(w.assets, a)
	w.byName[[2]string{a.Site, a.Name}] = a
	a.context.mark = math.MinInt64
	a.context.cut = math.MinInt64
}

func (w *Windower) newSensor(src *source, ts int64) *sensorState {
	a := w.assetOf(src, ts)
	s := &sensorState{Sensor: Sensor{
		ID: int64(len(w.sensors) + 1), AssetID: a.ID, Site: a.Site, Asset: a.Name, Name: src.address.sensor, FirstSeen: ts,
	}}
	w.addSensor(s, a)
	sensor := s.Sensor
	w.batch.Sensors = append(w.batch.Sensors, &sensor)
	src.sensor = s
	return s
}

// addSensor links a sensor, new or restored, to its asset, its topic and its configuration.
func (w *Windower) addSensor(s *sensorState, a *assetState) {
	p := w.cfg.pattern(address{s.Site, s.Asset, s.Name})
	s.Kind, s.period = p.Kind, p.Period.Milliseconds()
	describe(&s.Sensor)
	s.asset = a
	s.mark, s.frontier = math.MinInt64, math.MinInt64
	w.sensors = append(w.sensors, s)
	a.sensors = append(a.sensors, s)
	topic := TelemetryTopic(s.Site, s.Asset, s.Name)
	s.source = &source{address: address{s.Site, s.Asset, s.Name}, sensor: s, asset: a}
	w.sources[topic] = s.source
}

// maxStride bounds what a batch that spans long is taken to say about when the next one comes.
const maxStride = int64(time.Hour / time.Millisecond)

// arrived notes a message's arrival for idling: when it came, and how far it moved the source's newest event time. A device that sends a minute's
// readings once a minute is not idle in between.
func arrived(stride *int64, advance int64) {
	*stride = max(*stride-*stride/4, min(advance, maxStride))
}
