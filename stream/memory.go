package stream

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
	"time"
	"unsafe"
)

// speedBins is how many classes of speed a baseline tells apart: unknown, standing, slow, middle, fast.
const speedBins = 5

// ringSize is how many windows' intervals vote on a sensor's period.
const ringSize = 8

// memory is what a sensor's next window needs of its past. It folds over closed windows in event-time order and is stored with each
// window, so that a restart and a replay see the same past.
type memory struct {
	Nominal   int64           // nominal length of the last window, ms
	Cut       int64           // 1 when the last window ended early, where the sensor woke up
	First     int64           // event time of the first reading windowed, in dispute or not, ms
	Last      int64           // event time of the last reading windowed, in dispute or not, ms; 0 before the first
	Intervals [ringSize]int64 // typical interval of the newest windows, ms; 0 where there is none yet
	Next      int64           // where the ring is written next
	Gap       int64           // interval between lone readings that waits for a second to confirm it, ms
	Windows   int64           // windows closed so far
	Quantum   Milli           // smallest step between neighbouring readings seen so far; 0 while unknown
	Value     Milli           // the last reading
	Since     int64           // event time from which the value has not changed, ms
	Baseline  [speedBins]baseline
	Gauge     gauge        // since version 2
	Pair      pairing      // since version 3
	Twin      twin         // since version 4
	Cool      cooling      // since version 5
	Course    packedCourse // since version 7, as what follows
	Scatter   float64      // K²: variance of the newest window's mean, as the scatter of its readings gives it
	Over      float64      // K: how far the newest window was over the sensor's baseline; 0 where that was not known
	Mate      int64        // hash of the name of the mate that Pair and Course are of; 0: not known
	Mean      float64      // degC: mean of the newest window, NaN where that is not known or it was not sound by its own figures
	Move      float64      // K: by which that was over the mean of the one before, NaN where that was not known
}

// baseline is the usual rise over ambient at one class of speed.
type baseline struct {
	Rise float64 // K
	N    int64   // windows it stands on
}

// Baselines move by at most stepK towards a window's rise, divided by the windows seen up to memoryN, and are used from minN windows on.
const (
	baselineMinN   = 5
	baselineMemory = 240
	baselineStepK  = 3.0
)

// period is the lower median of the ring, 0 while it is empty.
func (m *memory) period() int64 {
	var known [ringSize]int64
	n := 0
	for _, v := range m.Intervals {
		if v != 0 {
			known[n] = v
			n++
		}
	}
	if n == 0 {
		return 0
	}
	slices.Sort(known[:n])
	return known[(n-1)/2]
}

// learnGap takes the interval between lone readings of neighbouring windows. It counts once a second one follows: one gap is not a period.
func (m *memory) learnGap(ms int64) {
	if m.Gap != 0 {
		m.learnInterval(min(ms, m.Gap))
	}
	m.Gap = ms
}

// maxPeriod is the longest period, learned or configured, ms. A longer interval is a gap.
const maxPeriod = int64(24 * time.Hour / time.Millisecond)

func (m *memory) learnInterval(ms int64) {
	if ms <= 0 || ms > maxPeriod {
		return
	}
	m.Intervals[m.Next] = ms
	m.Next = (m.Next + 1) % ringSize
}

// speedBin tells which baseline a window compares with; v is the mean speed in km/h, NaN when unknown.
func speedBin(v float64) int {
	switch {
	case math.IsNaN(v):
		return 0
	case v < 5:
		return 1
	case v < 40:
		return 2
	case v < 80:
		return 3
	}
	return 4
}

// usual gives the baseline at a speed, NaN until it stands on enough windows.
func (m *memory) usual(bin int) float64 {
	if b := m.Baseline[bin]; b.N >= baselineMinN {
		return b.Rise
	}
	return math.NaN()
}

// learnRise moves a baseline towards a window's rise: a clipped exponential mean, so that one odd window moves it little.
func (m *memory) learnRise(bin int, rise float64) {
	b := &m.Baseline[bin]
	if b.N == 0 {
		*b = baseline{Rise: rise, N: 1}
		return
	}
	step := min(max(rise-b.Rise, -baselineStepK), baselineStepK)
	b.N = min(b.N+1, baselineMemory)
	b.Rise += float64(step / float64(b.N))
}

// memoryVersion is the form that is written. Version 1 ended before the gauge, version 2 before the pairing, version 3 before the twin, version 4 before the cooling, which a sensor then
// begins anew, and version 6 before the course. Up to version 5 each field took its 8 bytes; since then it takes as many as it needs.
const memoryVersion = 7

// A memory is written as its version, the lengths of its words, two to a byte, and of each word its bytes up to the last that is not 0, in little-endian order. Small numbers are short so, and what
// a sensor has no use for takes half a byte: some 150 to 500 bytes in all, where 937 would be. A row of telemetry_window that is longer than 1,002 bytes has a page of 4 kB of its own.
const (
	memoryWords = int(unsafe.Sizeof(memory{}) / 8)
	memoryHead  = 1 + (memoryWords+1)/2
	packedFirst = 6 // the first version that is written so
)

// words are the fields in order. Each is 8 bytes wide (a test holds it): encoding/binary, which looks at each through reflection, cost a window 1.2 µs more.
func (m *memory) words() *[memoryWords]uint64 { return (*[memoryWords]uint64)(unsafe.Pointer(m)) }

func (m *memory) encode() []byte {
	var out [memoryHead + 8*memoryWords]byte
	out[0] = memoryVersion
	at := memoryHead
	for i, v := range m.words() {
		n := (bits.Len64(v) + 7) / 8
		out[1+i/2] |= byte(n << (i % 2 * 4))
		binary.LittleEndian.PutUint64(out[at:], v) // what is beyond its length the next one writes over
		at += n
	}
	return slices.Clone(out[:at])
}

func (m *memory) decode(b []byte) error {
	if len(b) < 1 {
		return errors.New("decode window memory: it is empty")
	}
	var got memory
	if b[0] >= packedFirst && !got.unpack(b) || b[0] < packedFirst && !got.unpackWhole(b) {
		return errors.New("decode window memory: not this version's form")
	}
	if b[0] < memoryVersion {
		got.Mean, got.Move = math.NaN(), math.NaN()
	}
	if !got.sound() {
		return errors.New("decode window memory: a figure is out of its range")
	}
	*m = got
	return nil
}

// unpack reads what encode wrote, in this version or the one before, and nothing else: it says whether that is what b is.
func (m *memory) unpack(b []byte) bool {
	count := memoryWords - m.missing(b[0])/8
	head := 1 + (count+1)/2
	if b[0] > memoryVersion || len(b) < head {
		return false
	}
	rest := b[head:]
	for i, words := 0, m.words(); i < 2*(head-1); i++ {
		n := int(b[1+i/2] >> (i % 2 * 4) & 15)
		if i == count { // the half byte that fills the last one up
			return n == 0 && len(rest) == 0
		}
		if n == 0 {
			words[i] = 0
			continue
		}
		if n > 8 || n > len(rest) || rest[n-1] == 0 {
			return false
		}
		if len(rest) >= 8 {
			words[i] = binary.LittleEndian.Uint64(rest) & (1<<(8*n) - 1)
		} else {
			var word [8]byte
			copy(word[:], rest[:n])
			words[i] = binary.LittleEndian.Uint64(word[:])
		}
		rest = rest[n:]
	}
	return len(rest) == 0
}

// past is a sensor's memory between two windows, as its last window left it: the bytes that are stored with that window, which nobody changes. Of a sensor they are a quarter of what the
// memory itself takes, and a window reads them once.
type past struct {
	packed []byte // nil: no window has closed yet
	first  int64  // memory.First
	period int64  // the learned one, ms; 0: not known yet
}

// pack gives a memory as past.
func (m *memory) pack() past { return past{m.encode(), m.First, m.period()} }

// unpack writes the memory to m.
func (p *past) unpack(m *memory) {
	if p.packed == nil {
		*m = memory{}
		return
	}
	m.unpack(p.packed) // it can be read: encode wrote it
}

// memory gives the memory.
func (p *past) memory() (m memory) {
	p.unpack(&m)
	return m
}

// recall gives a sensor its past from what was stored with its last window.
func (s *sensorState) recall(stored []byte) (k memory, err error) {
	if err = k.decode(stored); err == nil {
		s.past = k.pack()
	}
	return k, err
}

// unpackWhole reads the form of the versions before, in which every field has its 8 bytes, and does not touch what they lack.
func (m *memory) unpackWhole(b []byte) bool {
	if b[0] < 1 || len(b) != 1+8*memoryWords-m.missing(b[0]) {
		return false
	}
	for i := range (len(b) - 1) / 8 {
		m.words()[i] = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	return true
}

// missing is how many bytes a version lacks at its end.
func (m *memory) missing(version byte) int {
	ends := [...]uintptr{1: unsafe.Offsetof(m.Gauge), 2: unsafe.Offsetof(m.Pair), 3: unsafe.Offsetof(m.Twin), 4: unsafe.Offsetof(m.Cool), 5: unsafe.Offsetof(m.Course), 6: unsafe.Offsetof(m.Course)}
	if int(version) >= len(ends) {
		return 0
	}
	return int(unsafe.Sizeof(*m) - ends[version])
}

// maxLength bounds a window's nominal length, ms: six of the longest periods, rounded up to a multiple of the longest configured window.
const maxLength = (minReadings + 1) * maxPeriod

// sound says whether the figures are such as encode writes.
func (m *memory) sound() bool {
	ok := m.Nominal > 0 && m.Nominal <= maxLength && m.First >= MinTS && m.First <= m.Last && m.Last < MaxTS && m.Next >= 0 && m.Next < ringSize &&
		m.Gap >= 0 && m.Gap < MaxTS && m.Windows > 0 && m.Quantum >= 0 && m.Since >= MinTS && m.Since <= m.Last
	for _, v := range m.Intervals {
		ok = ok && v >= 0 && v < MaxTS
	}
	ok = ok && m.Scatter >= 0 && !math.IsInf(m.Scatter, 0) && !math.IsNaN(m.Over) && !math.IsInf(m.Over, 0) && m.Mate >= 0 && m.Mate <= math.MaxUint32 && !math.IsInf(m.Mean, 0) && !math.IsInf(m.Move, 0)
	for _, b := range m.Baseline {
		ok = ok && b.N >= 0 && b.N <= baselineMemory && !math.IsNaN(b.Rise) && !math.IsInf(b.Rise, 0)
	}
	return ok && m.Gauge.sound() && m.Pair.sound() && m.Twin.sound() && m.Cool[coolStand].sound() && m.Cool[coolRun].sound() && m.Course.sound()
}
