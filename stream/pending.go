package stream

import "slices"

// pending are the open readings of a sensor in event-time order, packed: a 1 Hz sensor holds some seventy of them, and there may be 100,000 sensors. A row counts
// milliseconds and sequence numbers from those of the first reading, and refers to its conditions, which it shares with the row before it while they do not change.
// A reading that does not fit is kept wide, and nothing is rounded.
//
// The rows lie in all[room:], with free room before them as well as behind: a logger that sends its newest reading first must not cost the square of what it sends.
type pending struct {
	base  int64 // event time that rows count from, ms
	first int64 // sequence number that rows count from
	all   []row
	room  int
	conds []condition
	wide  []Reading
}

// row is one reading: 12 bytes.
type row struct {
	after int32  // event time after base, ms
	temp  int32  // degC, thousandths; of a wide one, its position in wide
	seq   int16  // sequence number after first, where the conditions name it
	ref   uint16 // position in conds and one, 0: no conditions; with the two bits below
}

const (
	rowDisputed = 1 << 15
	rowWide     = 1 << 14
	rowRef      = rowWide - 1
)

// condition is Conditions in 10 bytes: ambient, speed and load in three bytes each, then what is there, with the brake above it.
type condition [10]byte

// hasBrakeOn is where a condition keeps the brake: above the fields that there are.
const hasBrakeOn = 1 << 7

func packCondition(c *Conditions) (out condition, ok bool) {
	for i, v := range [3]Milli{c.Ambient, c.Speed, c.Load} {
		if v < -1<<23 || v >= 1<<23 {
			return out, false
		}
		out[3*i], out[3*i+1], out[3*i+2] = byte(v), byte(v>>8), byte(v>>16)
	}
	out[9] = byte(c.Has) | c.Brake<<7
	return out, c.Brake <= 1 && c.Has < hasBrakeOn
}

func (c *condition) conditions() Conditions {
	return Conditions{Ambient: c.milli(0), Speed: c.milli(3), Load: c.milli(6), Brake: c[9] >> 7, Has: Fields(c[9] &^ hasBrakeOn)}
}

// milli reads three bytes, lowest first, with their sign.
func (c *condition) milli(at int) Milli {
	return Milli(int32(uint32(c[at])<<8|uint32(c[at+1])<<16|uint32(c[at+2])<<24) >> 8)
}

// entry is an open reading as it is measured.
type entry struct {
	Reading
	conflicted bool
}

func (p *pending) len() int { return len(p.all) - p.room }

// ts gives the event time of the i-th reading.
func (p *pending) ts(i int) int64 {
	r := &p.all[p.room+i]
	if r.ref&rowWide != 0 {
		return p.wide[r.temp].TS
	}
	return p.base + int64(r.after)
}

// at gives the i-th reading.
func (p *pending) at(i int) entry {
	r := &p.all[p.room+i]
	e := entry{conflicted: r.ref&rowDisputed != 0}
	if r.ref&rowWide != 0 {
		e.Reading = p.wide[r.temp]
		return e
	}
	k := r.ref & rowRef
	e.TS, e.Temp = p.base+int64(r.after), Milli(r.temp)
	if k == 0 {
		return e
	}
	e.Conditions = p.conds[k-1].conditions()
	if e.Has&HasSeq != 0 {
		e.Seq = p.first + int64(r.seq)
	}
	return e
}

// entries appends the readings [from, to) to dst. Conditions are unpacked once for all that share them.
func (p *pending) entries(dst []entry, from, to int) []entry {
	dst = slices.Grow(dst, to-from)
	var shared uint16
	var c Conditions
	for i := from; i < to; i++ {
		r := &p.all[p.room+i]
		k := r.ref & rowRef
		if r.ref&rowWide != 0 {
			dst = append(dst, p.at(i))
			continue
		}
		if k != shared {
			shared, c = k, Conditions{}
			if k != 0 {
				c = p.conds[k-1].conditions()
			}
		}
		n := len(dst)
		dst = dst[:n+1]
		e := &dst[n]
		e.TS, e.Temp, e.Seq, e.Conditions, e.conflicted = p.base+int64(r.after), Milli(r.temp), 0, c, r.ref&rowDisputed != 0
		if c.Has&HasSeq != 0 {
			e.Seq = p.first + int64(r.seq)
		}
	}
	return dst
}

// disputed says whether another value was sent for the time of the i-th reading; dispute notes it.
func (p *pending) disputed(i int) bool { return p.all[p.room+i].ref&rowDisputed != 0 }

func (p *pending) dispute(i int) { p.all[p.room+i].ref |= rowDisputed }

// from is the position of the first reading at or after ts.
func (p *pending) from(ts int64) int {
	lo, hi := 0, p.len()
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); p.ts(mid) < ts {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// insert puts a reading among the others by event time. When that time is taken it is not fresh, and i is where the one that is there lies.
func (p *pending) insert(r Reading) (i int, fresh bool) {
	if i = p.len(); i > 0 && r.TS <= p.ts(i-1) {
		if i = p.from(r.TS); p.ts(i) == r.TS {
			return i, false
		}
	}
	p.put(i, p.pack(&r))
	return i, true
}

// pack makes the row of a reading, which nothing refers to yet.
func (p *pending) pack(r *Reading) row {
	if p.len() == 0 {
		p.base, p.first = r.TS, r.Seq
	}
	after, seq := r.TS-p.base, r.Seq-p.first
	c, packs := packCondition(&r.Conditions)
	if !packs || !fits(after) || !fits(int64(r.Temp)) || r.Has&HasSeq != 0 && seq != int64(int16(seq)) || r.Has&HasSeq == 0 && r.Seq != 0 || r.Has == 0 && c != (condition{}) || len(p.conds) >= rowRef {
		p.wide = append(p.wide, *r)
		return row{temp: int32(len(p.wide) - 1), ref: rowWide}
	}
	out := row{after: int32(after), temp: int32(r.Temp)}
	if r.Has&HasSeq != 0 {
		out.seq = int16(seq)
	}
	if r.Has != 0 {
		if n := len(p.conds); n == 0 || p.conds[n-1] != c {
			switch {
			case n == 0 && cap(p.conds) == 0: // in most sensors they do not change
				p.conds = make([]condition, 0, 2)
			case n == cap(p.conds):
				p.conds = roomier(p.conds)
			}
			p.conds = append(p.conds, c)
		}
		out.ref = uint16(len(p.conds))
	}
	return out
}

func fits(v int64) bool { return v == int64(int32(v)) }

// roomier copies a slice that is full into one with room for eight more and an eighth, or a quarter where they are many: twice as much would be for nothing in most sensors. What a sensor
// holds of a minute and ten seconds fits 17 at a reading in five seconds, and 80 at one a second.
func roomier[T any](s []T) []T {
	more := len(s) / 8
	if len(s) >= 64 {
		more = len(s) / 4
	}
	return append(make([]T, 0, len(s)+8+more), s...)
}

// put inserts a row at a position and moves the shorter side.
func (p *pending) put(i int, r row) {
	n := p.len()
	if i >= n/2 {
		if len(p.all) == cap(p.all) {
			p.all, p.room = roomier(p.all[p.room:]), 0
		}
		p.all = slices.Insert(p.all, p.room+i, r)
		return
	}
	if p.room == 0 {
		room := n + minReadings
		all := make([]row, room+n, room+2*n)
		copy(all[room:], p.all)
		p.all, p.room = all, room
	}
	p.room--
	rows := p.all[p.room:]
	copy(rows[:i], rows[1:i+1])
	rows[i] = r
}

// drop takes the first n readings away. Few that are left are packed anew, counted from the first of them; many stay where they are, until as much lies about as is
// left. scratch is for the few.
func (p *pending) drop(n int, scratch []entry) []entry {
	rest := p.len() - n
	switch {
	case rest == 0:
		*p = pending{}
	case rest <= 4*n || len(p.conds)+len(p.wide) > 2*rest+64:
		scratch = p.entries(scratch[:0], n, n+rest)
		p.all, p.room, p.conds, p.wide = p.all[:0], 0, p.conds[:0], nil
		for i := range scratch {
			r := p.pack(&scratch[i].Reading)
			if scratch[i].conflicted {
				r.ref |= rowDisputed
			}
			p.all = append(p.all, r)
		}
	default:
		p.room += n
	}
	return scratch
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
