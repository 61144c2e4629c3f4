package stream

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"
)

// ParseTopic shows parseTopic's verdict to the tests.
func ParseTopic(topic string) (context bool, reason Reason) {
	_, what, reason, _ := parseTopic(topic)
	return what == contexts, reason
}

// ParseMilli reads a JSON number as Decode does.
func ParseMilli(text string) (Milli, bool) { return parseMilli([]byte(text)) }

// MemoryRoundTrip decodes a stored memory and encodes it again.
func MemoryRoundTrip(b []byte) ([]byte, error) {
	var m memory
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return m.encode(), nil
}

// MemoryWhole encodes what a stored memory holds as version 5 did, with encoding/binary, and says whether all its fields are 8 bytes wide.
func MemoryWhole(b []byte) (out []byte, words bool, err error) {
	var m memory
	if err := m.decode(b); err != nil {
		return nil, false, err
	}
	if out, err = binary.Append([]byte{5}, binary.LittleEndian, &m); err != nil {
		return nil, false, err
	}
	words = binary.Size(&m) == int(unsafe.Sizeof(m)) && len(out) == 1+int(unsafe.Sizeof(m))
	return out, words && onlyWords(reflect.TypeOf(m)), nil
}

// onlyWords says whether a type is made of fields of 8 bytes.
func onlyWords(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if !onlyWords(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return onlyWords(t.Elem())
	case reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// TopicTable is the table of topics, for the tests: what is put in under a hash is found again by it.
type TopicTable struct{ t topics }

// NewTopicTable gives an empty one.
func NewTopicTable() *TopicTable { return &TopicTable{newTopics()} }

// Add puts a topic in, under the hash that it has or, where collide is set, under one that all others have too.
func (t *TopicTable) Add(topic string, collide bool) {
	src := &source{topic: topic}
	if !collide {
		t.t.add(src)
		return
	}
	t.t.grow()
	t.t.put(slot{collided, src})
}

const collided = math.MaxUint64

// Find gives the topic that is found, or nothing.
func (t *TopicTable) Find(topic string, collide bool) string {
	h := uint64(collided)
	if !collide {
		h = t.t.hash(topic)
	}
	if src := t.t.find(h, topic); src != nil {
		return src.topic
	}
	return ""
}

// SampleMemory encodes a memory with every field set to something else.
func SampleMemory() []byte {
	m := memory{
		Nominal: 60_000, First: 1_600_000_000_000, Last: 1_700_000_000_000, Intervals: [ringSize]int64{1, 2, 3, 4, 5, 6, 7, 8}, Next: 7, Gap: 9, Windows: 10,
		Quantum: 11, Value: -12, Since: 1_699_999_999_000,
	}
	for i := range m.Baseline {
		m.Baseline[i] = baseline{Rise: float64(i) - 0.1, N: int64(i)}
	}
	m.Gauge = gauge{Verdict: gaugeSound, Slope: 0.5, Good: 13, GoodAt: 14, Code: 85_000, CodeOn: 1, SpikeN: [spikeWindows]int64{15, 16}, SpikeOf: [spikeWindows]int64{17, 18},
		Dither: 0.25, DitherN: 19, Still: 20, Soak: -0.75, SoakN: 21, XY: 22.5, XX: 23.5, GainN: 24, Off: -25.5, OffN: 26, Own: -26.5, OwnN: 15, Grow: 27.5, GrowW: 28.5,
		Fit: [fitSums]float64{29, 30, 31, 32, 33}, Astray: astrayGain}
	m.Pair = pairing{Apart: [pairRing]float64{1, -2, 3, -4, 5}, Both: [pairRing]float64{-6, 7, -8, 9, -10}, N: 4, End: 11, Move: 0.12, MoveBoth: 0.13, MoveN: 14, Jump: -1.5, Limit: 0.16, Level: -0.7, Left: 17}
	m.Twin = twin{At: 18, Off: -19.5, Own: 20.5, Moves: 21.5, Bends: 22.5, N: 6.5}
	m.Cool = cooling{{YY: 34.5, SY: 35.5, N: 36, Off: -37.5, OffN: 5, Last: -45, Var: 38.5}, {YY: 39.5, SY: -40.5, N: 41, Off: 42.5, OffN: 6, Last: 46, Var: 43.5}}
	m.Course.pack(&course{Apart: strand{Level: 0.5, Heat: -0.25, Trend: 0.125, Noise: 0.75, Sum: -9.5}, Both: strand{Level: -1.5, Heat: 1.25, Trend: -1.125, Noise: 1.75, Sum: 10.5},
		P: [6]float64{1.5, -2.5, 3.5, 4.5, -5.5, 6.5}, N: 7, Chance: 0.5, Doubt: 8, Warm: [pairRing]float64{10, 11, 12, 13, -14},
		Late: -0.0625, Offset: offset{Off: 15, Slope: -16, V: [3]float64{17, -18, 19}}})
	m.Scatter, m.Over, m.Mate, m.Mean, m.Move = 0.0625, -48.5, 47, 40.5, -0.375
	return m.encode()
}

// SetWatermark moves the watermark of one sensor, by its id, or of all with id 0, as if each had sent a reading there.
func (w *Windower) SetWatermark(id, mark int64) {
	for _, s := range w.sensors {
		if id == 0 || s.ID == id {
			s.advance(mark + w.disorder)
			s.asset.advance(mark+w.disorder, w.disorder)
			s.lookNext(w)
		}
	}
	for _, a := range w.assets {
		w.closeDue(a, -1)
	}
}

// SetMost lowers how many sensors and assets a windower takes.
func (w *Windower) SetMost(n int) { w.most = n }

// Listen is the part of Tick that looks for silence.
func (w *Windower) Listen(mono time.Duration) { w.listen(mono) }

// SameFolds says whether two memories differ in nothing but how their window ended and was judged.
func SameFolds(a, b []byte) bool {
	var x, y memory
	if x.decode(a) != nil || y.decode(b) != nil {
		return false
	}
	x.takeOver(y.carry(), &Window{})
	x.Last, x.Gauge.Verdict, x.Gauge.Slope, x.Mean, x.Move = y.Last, y.Gauge.Verdict, y.Gauge.Slope, y.Mean, y.Move
	return *x.words() == *y.words() // as they are stored: a NaN is like itself
}

// MemoryWithCourse is SampleMemory with the words of its course changed.
func MemoryWithCourse(change func(words []int64)) []byte {
	var m memory
	m.unpack(SampleMemory())
	change(m.Course[:])
	return m.encode()
}

// MemoryOfVersion writes a memory as a version did, without what it lacked.
func MemoryOfVersion(b []byte, version byte) []byte {
	var m memory
	m.unpack(b)
	words := memoryWords - m.missing(version)/8
	if version < packedFirst {
		out := []byte{version}
		for _, v := range m.words()[:words] {
			out = binary.LittleEndian.AppendUint64(out, v)
		}
		return out
	}
	clear(m.words()[words:])
	b = m.encode()
	out := append([]byte{version}, b[1:1+(words+1)/2]...)
	return append(out, b[memoryHead:]...)
}

// LearnOffset learns from windows, each how far two are apart and their rise over ambient, K. turned is the first after an exchange; 0: none is. It gives K, K for each, and the standard deviation of the former.
func LearnOffset(windows [][2]float64, turned int) (off, slope, sd float64) {
	var o offset
	for i, w := range windows {
		if i > 0 && i == turned {
			o.turn()
		}
		o.learn(w[0], w[1])
	}
	return o.Off, o.Slope, math.Sqrt(o.V[0])
}

// Together is the mean of moves without whoever moves otherwise, all in K; it leaves them as they are.
func Together(moves []float64, noise float64) float64 { return together(slices.Clone(moves), noise) }

// PairHeat gives what a stored memory says of a sensor and its mate: K that they are apart by for each that both warm, the same for each that both are over ambient, and whether the course waits to begin
// anew.
func PairHeat(b []byte) (heat, slope float64, rests bool) {
	var m memory
	m.unpack(b)
	c := m.Course.unpack()
	return c.Apart.Heat, c.Offset.Slope, c.Doubt < 0
}

// MemoryHead is where the words of a stored memory begin.
const MemoryHead = memoryHead

// CourseBytes is how long what version 7 of the memory added is: the course, the scatter, the rise over the baseline, whose the mate is, the mean and the move.
var CourseBytes = binary.Size(packedCourse{}) + 5*8

// UnknownMove is the end of a memory of an older version in the form of version 5: neither mean nor move are known.
var UnknownMove = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())), math.Float64bits(math.NaN()))

// CoolBytes is how long the cooling is that version 5 of the memory added.
var CoolBytes = binary.Size(cooling{})

// TwinBytes is how long the twin is that version 4 of the memory added.
var TwinBytes = binary.Size(twin{})

// PairBytes is how long the pairing is that version 3 of the memory added.
var PairBytes = binary.Size(pairing{})

// LookAlways makes a windower look for windows to close whenever a sensor passes a boundary, also where it is known that none is due.
func (w *Windower) LookAlways() { w.restless = true }

// PlainAsStrict reads an object plainly and strictly. It says whether plain took it, and what it then reads, or takes, otherwise than the strict scanner.
func PlainAsStrict(payload []byte, context bool) (taken bool, difference string) {
	what := readings
	if context {
		what = contexts
	}
	quick, strict := scanner{b: payload, what: what}, scanner{b: payload, what: what}
	quick.space()
	strict.space()
	start := quick.i
	var r Reading
	if !quick.plain(&r) {
		if quick.i != start {
			return false, "the scanner has moved"
		}
		return false, ""
	}
	e, err := strict.strictly(-1)
	switch {
	case err != nil:
		return true, "strictly it is not JSON: " + err.Error()
	case e.Reason != "":
		return true, "strictly it is refused: " + e.Detail
	case e.Reading != r || e.Finding != nil:
		return true, fmt.Sprintf("strictly it is %+v, not %+v", e.Reading, r)
	case strict.i != quick.i:
		return true, fmt.Sprintf("strictly it ends at byte %d, not %d", strict.i, quick.i)
	}
	for _, c := range payload[:quick.i] {
		if c >= utf8.RuneSelf {
			return true, "it is not ASCII"
		}
	}
	return true, ""
}
