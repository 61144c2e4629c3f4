package stream

import (
	"encoding/json"
	"fmt"
	"time"
)

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) syntax(want string) error {
	return errSyntax(fmt.Sprintf("not JSON: %s expected at byte %d", want, s.i))
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.syntax(word)
	}
	s.i += len(word)
	return nil
}

// notFiniteLiteral takes NaN, Infinity or -Infinity, if that is what comes next.
func (s *scanner) notFiniteLiteral() bool {
	for _, word := range [...]string{"NaN", "Infinity", "-Infinity"} {
		if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
			s.i += len(word)
			return true
		}
	}
	return false
}

// text reads a JSON string and gives what is between the quotes, escapes resolved.
func (s *scanner) text() ([]byte, error) {
	start := s.i
	escaped := false
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			if escaped {
				return unquote(s.b[start:s.i])
			}
			return s.b[start+1 : s.i-1], nil
		case c == '\\':
			escaped = true
			s.i++
		case c < ' ':
			return nil, s.syntax("a text without control characters")
		}
	}
	return nil, s.syntax("a closing quote")
}

// number reads a JSON number and gives its bytes. When no number comes next, it takes nothing and gives nil.
func (s *scanner) number() ([]byte, error) {
	start := s.i
	c := s.peek()
	if c != '-' && (c < '0' || c > '9') {
		return nil, nil
	}
	if c == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return nil, s.syntax("a digit")
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return nil, s.syntax("a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return nil, s.syntax("a digit")
		}
	}
	return s.b[start:s.i], nil
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

// skip passes over any JSON value.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return errSyntax("the value is nested too deeply")
	}
	switch s.peek() {
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	case '[':
		return s.skipList(depth, ']', false)
	case '{':
		return s.skipList(depth, '}', true)
	}
	n, err := s.number()
	if err == nil && n == nil {
		err = s.syntax("a value")
	}
	return err
}

// skipList passes over an array, or over an object when its members are keyed.
func (s *scanner) skipList(depth int, end byte, keyed bool) error {
	s.i++
	s.space()
	if s.peek() == end {
		s.i++
		return nil
	}
	for {
		if keyed {
			if s.peek() != '"' {
				return s.syntax("a field name")
			}
			if _, err := s.text(); err != nil {
				return err
			}
			s.space()
			if s.peek() != ':' {
				return s.syntax("a colon")
			}
			s.i++
			s.space()
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case end:
			s.i++
			return nil
		default:
			return s.syntax("a comma or an end")
		}
	}
}

// parseInteger reads an optional minus and digits; a fraction or an exponent is not an integer here.
func parseInteger(n []byte) (int64, bool) {
	neg := n[0] == '-'
	if neg {
		n = n[1:]
	}
	if len(n) > 18 {
		return 0, false
	}
	var v int64
	for _, c := range n {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

// parseMilli reads a JSON number as thousandths, rounded half away from zero on its decimal digits, so that the result
// depends on the text alone. ok is false beyond MaxMilli.
func parseMilli(n []byte) (m Milli, ok bool) {
	neg := n[0] == '-'
	if neg {
		n = n[1:]
	}
	point, exp := decimalPoint(n)
	keep := point + exp + 3 // how many digits make the thousandths
	var v Milli
	seen := 0
	for _, c := range n {
		if c == '.' {
			continue
		}
		if c == 'e' || c == 'E' {
			break
		}
		if seen == keep {
			if c >= '5' {
				v++
			}
			seen++
			break
		}
		if seen > keep {
			break
		}
		if v = v*10 + Milli(c-'0'); v >= MaxMilli {
			return 0, false
		}
		seen++
	}
	for ; seen < keep && v != 0; seen++ {
		if v *= 10; v >= MaxMilli {
			return 0, false
		}
	}
	if v >= MaxMilli {
		return 0, false
	}
	if neg {
		v = -v
	}
	return v, true
}

// decimalPoint gives how many digits stand before the point, and the exponent, bounded.
func decimalPoint(n []byte) (point, exp int) {
	point = -1
	for i, c := range n {
		if c == '.' {
			point = i
		}
		if c != 'e' && c != 'E' {
			continue
		}
		if point < 0 {
			point = i
		}
		neg := false
		for _, d := range n[i+1:] {
			switch {
			case d == '-':
				neg = true
			case d != '+' && exp < 1_000_000:
				exp = exp*10 + int(d-'0')
			}
		}
		if neg {
			exp = -exp
		}
		return point, exp
	}
	if point < 0 {
		point = len(n)
	}
	return point, 0
}

// parseRFC3339 reads a time with its zone; a fraction below the millisecond is cut off. RFC 3339 allows a small t and z.
func parseRFC3339(text []byte) (ms int64, ok bool) {
	if len(text) < 20 || len(text) > 64 {
		return 0, false
	}
	var buf [64]byte
	b := buf[:copy(buf[:], text)]
	if b[10] == 't' {
		b[10] = 'T'
	}
	if b[len(b)-1] == 'z' {
		b[len(b)-1] = 'Z'
	}
	// The time package also takes an hour of one digit, a comma for the point and offsets beyond 23:59 (go.dev/issue/54580).
	if b[13] != ':' || b[19] == ',' {
		return 0, false
	}
	if zone := b[len(b)-6:]; b[len(b)-1] != 'Z' && (string(zone[1:3]) > "23" || string(zone[4:]) > "59") {
		return 0, false
	}
	var t time.Time
	if t.UnmarshalText(b) != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}

// unquote resolves the escapes of a JSON string; the slow path of text.
func unquote(raw []byte) ([]byte, error) {
	var out string
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, errSyntax("a text has a bad escape")
	}
	return []byte(out), nil
}
