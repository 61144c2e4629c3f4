package store

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/camrail/cidp/stream"
)

// Bounds of a packed row. Its span bounds what a look-up at one time has to look at, its length what that has to decode.
const (
	packedSpan  = 2048 // ms of event time from its first reading on, exclusive
	packedMost  = 512  // readings
	packedLeast = 32   // readings: fewer are rows of their own

	packFrom = 2000 // readings of a commit: from here on it packs them; 200,000 a second at the default cadence
)

// packedReading is one reading of a packed row.
type packedReading struct {
	key int64
	stream.Reading
}

// appendPacked writes readings, in the order of their keys, as the column "readings" has them.
func appendPacked(dst []byte, order []rank, readings []stream.Stored) []byte {
	begin := readings[order[0].at].TS
	for i, o := range order {
		dst = append(dst, "[,"[min(i, 1)], '[')
		r := &readings[o.at]
		dst = strconv.AppendInt(dst, r.TS-begin, 10)
		dst = strconv.AppendInt(append(dst, ','), r.SensorID, 10)
		dst = strconv.AppendInt(append(dst, ','), int64(r.Temp), 10)
		fields := [...]int64{int64(r.Ambient), int64(r.Speed), int64(r.Load), int64(r.Brake), r.Seq}
		for j := range bits.Len8(uint8(r.Has)) {
			dst = append(dst, ',')
			if r.Has&(1<<j) == 0 {
				dst = append(dst, "null"...)
			} else {
				dst = strconv.AppendInt(dst, fields[j], 10)
			}
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

// decodePacked undoes appendPacked and appends to dst. Whatever is not what that writes is an error: keys that do not rise, a span or a number of readings beyond the bounds, spaces.
func decodePacked(dst []packedReading, first int64, text []byte) (_ []packedReading, err error) {
	begin, _ := stream.SplitKey(first)
	had, last := len(dst), first-1
	p := packedText{text: text}
	for p.next(had == len(dst)) {
		var r packedReading
		if err := p.reading(&r, begin); err != nil {
			return dst, fmt.Errorf("packed row %d: reading %d: %w", first, len(dst)-had, err)
		}
		if r.key <= last || len(dst) == had && r.key != first {
			return dst, fmt.Errorf("packed row %d: key %d follows %d", first, r.key, last)
		}
		last = r.key
		dst = append(dst, r)
	}
	if !p.ended || p.at != len(p.text) || len(dst) == had || len(dst)-had > packedMost {
		return dst, fmt.Errorf("packed row %d: %d readings, %d of %d bytes are text of the format", first, len(dst)-had, p.at, len(text))
	}
	return dst, nil
}

// packedText is read from left to right.
type packedText struct {
	text  []byte
	at    int
	ended bool // the last bracket was read
}

// take reads a byte if it is the next one.
func (p *packedText) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// next reads up to the first number of the next reading; after the last one it reads the end.
func (p *packedText) next(first bool) bool {
	if first && !p.take('[') {
		return false
	}
	if !first && !p.take(',') {
		p.ended = p.take(']')
		return false
	}
	return p.take('[')
}

// number reads an integer without leading zeros.
func (p *packedText) number() (v int64, ok bool) {
	begin := p.at
	minus := p.take('-')
	from, u := p.at, uint64(0)
	for p.at < len(p.text) && p.at-from < 19 {
		d := p.text[p.at] - '0'
		if d > 9 {
			break
		}
		u, p.at = u*10+uint64(d), p.at+1
	}
	switch digits := p.at - from; {
	case digits == 0, digits > 1 && p.text[from] == '0', minus && u == 0:
	case minus && u <= 1<<63:
		return -int64(u), true // of 1<<63 it is itself
	case !minus && u <= math.MaxInt64:
		return int64(u), true
	}
	p.at = begin
	return 0, false
}

// reading reads a reading behind its first bracket.
func (p *packedText) reading(r *packedReading, begin int64) error {
	var head [3]int64
	for i := range head {
		v, ok := p.number()
		if !ok || i < len(head)-1 && !p.take(',') {
			return fmt.Errorf("byte %d is not what is written", p.at)
		}
		head[i] = v
	}
	after, id := head[0], head[1]
	if after < 0 || after >= packedSpan || id < 1 || id > maxID || begin+after >= stream.MaxTS {
		return fmt.Errorf("%d ms and sensor %d are out of bounds", after, id)
	}
	r.TS, r.Temp = begin+after, stream.Milli(head[2])
	r.key = stream.Key(r.TS, id)
	for bit := stream.HasAmbient; !p.take(']'); bit <<= 1 {
		if bit > stream.HasSeq || !p.take(',') {
			return fmt.Errorf("byte %d is not what is written", p.at)
		}
		if p.null() {
			continue
		}
		v, ok := p.number()
		if !ok || bit == stream.HasBrake && uint64(v) > 1 {
			return fmt.Errorf("byte %d is not what is written", p.at)
		}
		r.Has |= bit
		switch bit {
		case stream.HasAmbient:
			r.Ambient = stream.Milli(v)
		case stream.HasSpeed:
			r.Speed = stream.Milli(v)
		case stream.HasLoad:
			r.Load = stream.Milli(v)
		case stream.HasBrake:
			r.Brake = uint8(v)
		default:
			r.Seq = v
		}
	}
	return nil
}

func (p *packedText) null() bool {
	if p.at+4 <= len(p.text) && string(p.text[p.at:p.at+4]) == "null" {
		p.at += 4
		return true
	}
	return false
}
