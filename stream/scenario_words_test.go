package stream_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// words walks over one line of a scenario. The first fault stays: after it nothing more is read.
type words struct {
	s    *scenario
	line int
	list []string
	at   int
	err  error
}

// split cuts a line into words. A comma, a bracket and a parenthesis stand alone; a text in double quotes is one word, with its first quote; # begins a
// comment.
func split(line string) ([]string, error) {
	var out []string
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '#':
			return out, nil
		case strings.IndexByte(",[)", c) >= 0:
			out = append(out, line[i:i+1])
			i++
		case c == '"':
			n := strings.IndexByte(line[i+1:], '"')
			if n < 0 {
				return nil, fmt.Errorf("the quote is not closed")
			}
			out = append(out, line[i:i+1+n])
			i += n + 2
		default:
			n := strings.IndexAny(line[i:], " \t#,[)\"")
			if n < 0 {
				n = len(line) - i
			}
			out = append(out, line[i:i+n])
			i += n
		}
	}
	return out, nil
}

func (c *words) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s:%d: %s", c.s.file, c.line, fmt.Sprintf(format, args...))
	}
}

// peek gives the next word without taking it; empty at the end of the line.
func (c *words) peek() string {
	if c.err != nil || c.at >= len(c.list) {
		return ""
	}
	return c.list[c.at]
}

func (c *words) next(what string) string {
	w := c.peek()
	if w == "" {
		c.fail("%s is missing at the end of the line", what)
	}
	c.at++
	return w
}

// take takes the next word if it is this one.
func (c *words) take(word string) bool {
	if c.peek() != word {
		return false
	}
	c.at++
	return true
}

func (c *words) must(word string) {
	if got := c.peek(); got != word {
		c.fail("%q is expected here, not %q", word, got)
	}
	c.at++
}

func (c *words) end() {
	if w := c.peek(); w != "" {
		c.fail("%q is not understood here", w)
	}
}

// maxTime bounds what a scenario may call a time, in either direction: sums stay far from overflow.
const maxTime = int64(1) << 53

// time reads a time: 12:00:00 of the scenario's day, RFC 3339 with a zone, +1500ms after the origin, or an integer of epoch milliseconds.
func (c *words) time() int64 {
	text := c.next("a time")
	ts, ok := c.s.parseTime(text)
	if c.err == nil && !ok {
		c.fail("%q is not a time: 12:00:00, 2024-03-04T12:00:00Z, +1500ms after the origin, or milliseconds since 1970", text)
	}
	return ts
}

func (s *scenario) parseTime(text string) (ts int64, ok bool) {
	switch {
	case text == "":
		return 0, false
	case text[0] == '+' || text[0] == '-' && strings.Trim(text, "-0123456789") != "":
		d, err := time.ParseDuration(text)
		return s.origin + d.Milliseconds(), err == nil && d%time.Millisecond == 0
	case strings.Contains(text, "T"):
		at, err := time.Parse(time.RFC3339Nano, text)
		return at.UnixMilli(), err == nil
	case strings.Contains(text, ":"):
		ms, ok := parseClock(text)
		return s.day + ms, ok
	}
	ts, err := strconv.ParseInt(text, 10, 64)
	return ts, err == nil && ts >= -maxTime && ts <= maxTime
}

// parseClock reads hours, minutes and seconds; 36:00:00 is noon of the next day.
func parseClock(text string) (ms int64, ok bool) {
	part := strings.Split(text, ":")
	if len(part) == 2 {
		part = append(part, "00")
	}
	if len(part) != 3 || len(part[0]) < 2 || len(part[0]) > 4 || len(part[1]) != 2 || len(part[2]) < 2 {
		return 0, false
	}
	h, err1 := strconv.ParseUint(part[0], 10, 16)
	m, err2 := strconv.ParseUint(part[1], 10, 8)
	whole, fraction, _ := strings.Cut(part[2], ".")
	s, err3 := strconv.ParseUint(whole, 10, 8)
	if err1 != nil || err2 != nil || err3 != nil || len(whole) != 2 || len(fraction) > 3 || m > 59 || s > 59 {
		return 0, false
	}
	var milli uint64
	if fraction != "" {
		var err error
		if milli, err = strconv.ParseUint((fraction + "00")[:3], 10, 16); err != nil {
			return 0, false
		}
	}
	return int64(h*3600_000 + m*60_000 + s*1000 + milli), true
}

// clock writes a time the way the scenario writes it.
func (s *scenario) clock(ts int64) string {
	if s.explicit {
		return fmt.Sprintf("%+dms", ts-s.origin)
	}
	ms := ts - s.day
	if ms < 0 || ms >= 48*3600_000 {
		if ts < stream.MinTS || ts >= stream.MaxTS {
			return fmt.Sprint(ts)
		}
		return time.UnixMilli(ts).UTC().Format("2006-01-02T15:04:05.999Z07:00")
	}
	out := fmt.Sprintf("%02d:%02d:%02d", ms/3600_000, ms/60_000%60, ms/1000%60)
	if ms %= 1000; ms != 0 {
		out += fmt.Sprintf(".%03d", ms)
	}
	return out
}

// duration reads 30s, 10m, 1h30m, whole milliseconds.
func (c *words) duration() time.Duration {
	text := c.next("a duration")
	d, err := time.ParseDuration(text)
	if c.err == nil && (err != nil || d < 0 || d%time.Millisecond != 0) {
		c.fail("%q is not a duration such as 30s, 10m or 1h30m", text)
	}
	return d
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil && strings.Trim(text, "0123456789.+-eE") == ""
}

// number reads a finite number.
func (c *words) number() float64 {
	text := c.next("a number")
	v, err := strconv.ParseFloat(text, 64)
	if c.err == nil && (err != nil || !isNumber(text) || math.IsInf(v, 0)) {
		c.fail("%q is not a number", text)
	}
	return v
}

func (c *words) integer() int64 {
	text := c.next("a whole number")
	v, err := strconv.ParseInt(text, 10, 53)
	if c.err == nil && err != nil {
		c.fail("%q is not a whole number", text)
	}
	return v
}

// name reads a source's name and completes it by the scenario's site and asset: axle1-left, loco8/axle1-left, douala/loco8/axle1-left.
func (c *words) name() string {
	text := c.next("a sensor")
	part := strings.Split(text, "/")
	for _, p := range part {
		if c.err == nil && (len(part) > 3 || !stream.ValidName(p)) {
			c.fail("%q is not a sensor's name", text)
		}
	}
	return strings.Join(append([]string{c.s.site, c.s.asset}[:max(0, 3-len(part))], part...), "/")
}

// short leaves out of a full name what the scenario need not write.
func (s *scenario) short(full string) string {
	rest, here := strings.CutPrefix(full, s.site+"/")
	if !here {
		return full
	}
	rest, _ = strings.CutPrefix(rest, s.asset+"/")
	return rest
}

// series is how a value goes on from reading to reading: one value, an even course from the first to the second, or values in turn.
type series struct {
	values []stream.Milli
	ramp   bool
}

func (c *words) series() series {
	turn := c.take("cycle")
	v := series{values: []stream.Milli{c.milli()}}
	switch {
	case turn:
		for isNumber(c.peek()) {
			v.values = append(v.values, c.milli())
		}
	case c.take("to"):
		v.values, v.ramp = append(v.values, c.milli()), true
	}
	return v
}

func (c *words) milli() stream.Milli {
	v := c.number()
	m, ok := stream.ToMilli(v)
	if c.err == nil && !ok {
		c.fail("%v is too large to be kept to a thousandth", v)
	}
	return m
}

// at gives the value of the i-th of n readings.
func (v series) at(i, n int) stream.Milli {
	if !v.ramp {
		return v.values[i%len(v.values)]
	}
	from, to := v.values[0].Float(), v.values[1].Float()
	m, _ := stream.ToMilli(from + (to-from)*float64(i)/float64(max(1, n-1)))
	return m
}
