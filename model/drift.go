package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/camrail/cidp/stream"
)

// Limits of a population stability index, as they are used since credit scoring (Lewis 1994; Siddiqi 2006).
const (
	PSIWatch = 0.1  // from here on a distribution has moved a little
	PSILook  = 0.25 // and from here on so much that a person should look
)

// Shares of windows without a value, beyond training's, that count likewise.
const (
	MissingWatch = 0.1
	MissingLook  = 0.25
)

// leastShare is what a bin's share is taken for at least: a bin that is empty on one side would make the index infinite.
const leastShare = 1e-4

// PSI is the population stability index of counts against expected ones, bin by bin: the sum of (a - e) ln(a/e) over the shares a and e. 0: the same shares. It is NaN where a side has no rows. Of n rows of the expected distribution
// itself it is about (bins - 1)/n, more where rows resemble each other.
func PSI(expected, counts []int64) float64 {
	var all, seen int64
	for i := range expected {
		all, seen = all+expected[i], seen+counts[i]
	}
	if all == 0 || seen == 0 {
		return math.NaN()
	}
	sum := 0.0
	for i := range expected {
		e, a := max(float64(expected[i])/float64(all), leastShare), max(float64(counts[i])/float64(seen), leastShare)
		sum += float64((a - e) * math.Log(a/e))
	}
	return sum
}

// DriftBucket is the event time that is counted together.
const DriftBucket = time.Hour

// Bounds of how far back drift looks.
const (
	MinDriftSpan = 2 * DriftBucket
	MaxDriftSpan = 62 * 24 * DriftBucket
)

// DriftLeast is how many windows are needed before an index means anything.
const DriftLeast = 1000

// Drift counts how the features and scores of a model's windows are spread, over a sliding stretch of event time, beside how they were in training. It is a function of the set of windows, whatever their order, and holds about 1 KiB for each
// bucket of the stretch: 170 KiB for a week. One goroutine owns it.
type Drift struct {
	model   string
	inputs  []spreadOver // one for each feature, then the score
	width   int          // counters of a bucket
	ring    []driftBucket
	newest  int64 // key of the newest bucket
	any     bool
	changed map[int64]bool // keys of buckets that Changed has not told of
}

// spreadOver is one distribution with its place among a bucket's counters: its bins, then missing.
type spreadOver struct {
	name string
	Distribution
	at int
}

// driftBucket is the windows that ended in one hour.
type driftBucket struct {
	key     int64
	windows int64
	squares int64 // of probabilities, in units of 1e-9: what is missing to a Brier score when nothing fails
	counts  []uint32
}

const squareUnit = 1e9

// ErrNoDistribution says that a model's file does not tell how its training data were spread.
var ErrNoDistribution = errors.New("the model does not say how its training data were spread: it was imported")

// CheckDriftSpan says in a sentence why drift cannot be counted over a span.
func CheckDriftSpan(span time.Duration) error {
	if span < MinDriftSpan || span > MaxDriftSpan || span%DriftBucket != 0 {
		return fmt.Errorf("drift over %s: whole hours from %s to %s are allowed", span, MinDriftSpan, MaxDriftSpan)
	}
	return nil
}

// NewDrift begins to count for a model over a span of event time.
func NewDrift(f *Forest, span time.Duration) (*Drift, error) {
	if err := CheckDriftSpan(span); err != nil {
		return nil, fmt.Errorf("count drift: %w", err)
	}
	d := &Drift{model: f.ID(), changed: map[int64]bool{}, ring: make([]driftBucket, span/DriftBucket)}
	add := func(name string, s Distribution) {
		d.inputs = append(d.inputs, spreadOver{name, s, d.width})
		d.width += len(s.Rows) + 1
	}
	for i, feature := range f.Schema() {
		s, ok := f.Distribution(i)
		if !ok {
			return nil, fmt.Errorf("count drift: %w", ErrNoDistribution)
		}
		add(feature.Name, s)
	}
	score, ok := f.ScoreDistribution()
	if !ok {
		return nil, fmt.Errorf("count drift: %w", ErrNoDistribution)
	}
	add("", score.Distribution)
	return d, nil
}

// ModelID is the model whose windows are counted.
func (d *Drift) ModelID() string { return d.model }

// bucketOf gives the key of the bucket that a window's end falls in; times are after 1970.
func bucketOf(end int64) int64 { return end / DriftBucket.Milliseconds() }

// oldest is the key of the oldest bucket that counts.
func (d *Drift) oldest() int64 { return d.newest - int64(len(d.ring)) + 1 }

// bucket finds or makes a bucket; nil: it is too old. A new newest one pushes out those that are too old by then.
func (d *Drift) bucket(key int64) *driftBucket {
	if !d.any || key > d.newest {
		d.any, d.newest = true, key
	}
	if key < d.oldest() {
		return nil
	}
	b := &d.ring[key%int64(len(d.ring))]
	if b.key != key || b.counts == nil {
		*b = driftBucket{key: key, counts: make([]uint32, d.width)}
	}
	return b
}

// Add counts a window: when it ended, its features in the order of the model's schema, and the probability the model gave it. One that ended too long before the newest is not counted.
func (d *Drift) Add(end int64, features []float64, p float64) {
	b := d.bucket(bucketOf(end))
	if b == nil {
		return
	}
	d.changed[b.key] = true
	b.windows++
	b.squares += int64(math.Round(float64(p*p) * squareUnit))
	for i := range d.inputs {
		in := &d.inputs[i]
		v := p
		if i < len(features) {
			v = features[i]
		}
		bin := in.Bin(v)
		if bin < 0 {
			bin = len(in.Rows)
		}
		b.counts[in.at+bin]++
	}
}

// StoredBucket is a bucket as it is kept: when it begins, and what it counts, opaque.
type StoredBucket struct {
	Start  int64 // event time, ms
	Counts []byte
}

const driftVersion = 1

// Changed gives the buckets that have changed since it was last called, in order, and the time before which none counts any more.
func (d *Drift) Changed() (buckets []StoredBucket, oldest int64) {
	for key := d.oldest(); d.any && key <= d.newest; key++ {
		if !d.changed[key] {
			continue
		}
		b := &d.ring[key%int64(len(d.ring))]
		out := binary.AppendUvarint([]byte{driftVersion}, uint64(b.windows))
		out = binary.AppendUvarint(out, uint64(b.squares))
		for _, n := range b.counts {
			out = binary.AppendUvarint(out, uint64(n))
		}
		buckets = append(buckets, StoredBucket{Start: key * DriftBucket.Milliseconds(), Counts: out})
	}
	clear(d.changed)
	return buckets, d.oldest() * DriftBucket.Milliseconds()
}

// Restore gives back what Changed gave, in any order.
func (d *Drift) Restore(s StoredBucket) error {
	rest := s.Counts
	if s.Start < stream.MinTS || s.Start >= stream.MaxTS {
		return fmt.Errorf("restore drift: a bucket at %d ms cannot be", s.Start)
	}
	if len(rest) == 0 || rest[0] != driftVersion {
		return errors.New("restore drift: the counts are of another version")
	}
	rest = rest[1:]
	values := make([]uint64, d.width+2)
	for i := range values {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > math.MaxInt64 || i > 1 && v > math.MaxUint32 {
			return fmt.Errorf("restore drift: counter %d of %d is torn", i, len(values))
		}
		values[i], rest = v, rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("restore drift: %d bytes are left over", len(rest))
	}
	b := d.bucket(bucketOf(s.Start))
	if b == nil {
		return nil
	}
	b.windows, b.squares = int64(values[0]), int64(values[1])
	for i, v := range values[2:] {
		b.counts[i] = uint32(v)
	}
	return nil
}
