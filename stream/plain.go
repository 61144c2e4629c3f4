package stream

import "bytes"

// The way of nearly every reading: an object as devices write it. What is unusual, and what is wrong, is left to the strict scanner, which begins the object anew. So this way may decline
// whatever it likes, but must take nothing that the scanner reads otherwise.

// plain reads an object of known fields, each at most once, with unescaped names and numbers without exponents, which is good as a whole. It is false, and the scanner
// where it was, when the object is anything else. All bytes that it takes are ASCII.
func (s *scanner) plain(r *Reading) bool {
	p := plainText{b: s.b, i: s.i}
	*r = Reading{}
	if s.what == findings || !p.next('{') {
		return false
	}
	seen := uint16(0)
	for {
		bit := p.name()
		if bit == 0 || seen&bit != 0 || !p.next(':') || !p.value(bit, r) {
			return false
		}
		seen |= bit
		if p.next(',') {
			continue
		}
		if !p.next('}') {
			return false
		}
		break
	}
	if s.what == contexts && (seen&(seenTemp|seenSeq) != 0 || r.Has == 0) || s.what == readings && seen&seenTemp == 0 {
		return false
	}
	if r.TS < MinTS || r.TS >= MaxTS { // none is 0
		return false
	}
	s.i = p.i
	return true
}

// plainText is a place in a payload.
type plainText struct {
	b []byte
	i int
}

// peek passes over white space and gives the byte behind it, 0 at the end.
func (p *plainText) peek() byte {
	for ; p.i < len(p.b); p.i++ {
		if c := p.b[p.i]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// next takes a byte, if that is what comes behind white space.
func (p *plainText) next(want byte) bool {
	if p.i < len(p.b) && p.b[p.i] == want || p.peek() == want {
		p.i++
		return true
	}
	return false
}

// name takes the name of a field and says which one it is; 0: none that is known.
func (p *plainText) name() uint16 {
	if !p.next('"') {
		return 0
	}
	switch {
	case p.word(`ts"`):
		return seenTS
	case p.word(`temp_c"`):
		return seenTemp
	case p.word(`ambient_c"`):
		return seenAmbient
	case p.word(`speed_kmh"`):
		return seenSpeed
	case p.word(`load_t"`):
		return seenLoad
	case p.word(`brake"`):
		return seenBrake
	case p.word(`seq"`):
		return seenSeq
	}
	return 0
}

func (p *plainText) word(w string) bool {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		return false
	}
	p.i += len(w)
	return true
}

// value reads the value of a field.
func (p *plainText) value(bit uint16, r *Reading) (ok bool) {
	p.peek()
	switch bit {
	case seenTS:
		if p.next('"') {
			r.TS, ok = p.time()
		} else {
			r.TS, ok = p.whole()
		}
	case seenTemp:
		r.Temp, ok = p.milli()
	case seenAmbient:
		r.Has |= HasAmbient
		r.Ambient, ok = p.milli()
	case seenSpeed:
		r.Has |= HasSpeed
		r.Speed, ok = p.milli()
	case seenLoad:
		r.Has |= HasLoad
		r.Load, ok = p.milli()
	case seenBrake:
		var v int64
		v, ok = p.whole()
		ok = ok && v <= 1
		r.Has |= HasBrake
		r.Brake = uint8(v)
	case seenSeq:
		r.Has |= HasSeq
		r.Seq, ok = p.whole()
	}
	return ok
}

// time reads RFC 3339 up to the closing quote.
func (p *plainText) time() (ms int64, ok bool) {
	n := bytes.IndexByte(p.b[p.i:], '"')
	if n < 0 {
		return 0, false
	}
	ms, ok = parseRFC3339(p.b[p.i : p.i+n])
	p.i += n + 1
	return ms, ok
}

// maxPlain is how many digits a plain number has at most before its point: their thousandths fit into 64 bits.
const maxPlain = 15

// whole reads digits, of which the first is zero only when it is alone.
func (p *plainText) whole() (v int64, ok bool) {
	start := p.i
	i := start
	for ; i < len(p.b); i++ {
		c := p.b[i] - '0'
		if c > 9 {
			break
		}
		v = v*10 + int64(c)
	}
	p.i = i
	n := i - start
	return v, n == 1 || n > 1 && n <= maxPlain && p.b[start] != '0'
}

// milli reads a number without an exponent, as parseMilli does.
func (p *plainText) milli() (Milli, bool) {
	neg := p.i < len(p.b) && p.b[p.i] == '-'
	if neg {
		p.i++
	}
	v, ok := p.whole()
	if !ok {
		return 0, false
	}
	v *= 1000
	if p.i < len(p.b) && p.b[p.i] == '.' {
		f, ok := p.fraction()
		if !ok {
			return 0, false
		}
		v += f
	}
	if neg {
		v = -v
	}
	return Milli(v), v > -int64(MaxMilli) && v < int64(MaxMilli)
}

// fraction reads a point and digits as thousandths, rounded by the fourth digit.
func (p *plainText) fraction() (v int64, ok bool) {
	i := p.i + 1
	start := i
	unit := int64(100)
	for ; i < len(p.b); i++ {
		c := p.b[i] - '0'
		if c > 9 {
			break
		}
		if i-start == 3 && c >= 5 {
			v++
		}
		v += int64(c) * unit
		unit /= 10
	}
	p.i = i
	return v, i > start
}
