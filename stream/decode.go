package stream

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Element is one reading or context of a message, good (Reason empty) or refused.
type Element struct {
	Reading        // of a context: Temp and Seq are zero
	Reason  Reason // why it is refused; empty when it is good
	Detail  string // what is wrong, in words
	Raw     []byte // its bytes within the payload
	Index   int    // its position in the array, or -1 for the whole payload
}

// Decode reads a payload: one JSON object, or an array of which each element stands alone. It appends the elements to dst. A
// payload that is not JSON gives one refused element for the whole. The elements alias the payload.
//
// It is strict: RFC 8259 JSON in UTF-8, known fields at most once and of their type, unknown fields ignored. NaN and Infinity, which JSON
// does not know but several libraries write, are read as what they are and refused as not finite.
func Decode(dst []Element, payload []byte, context bool) []Element {
	keep := len(dst)
	s := scanner{b: payload, context: context}
	dst, err := s.message(dst)
	if err == nil && !utf8.Valid(payload) {
		err = errSyntax("the text is not UTF-8")
	}
	if err != nil {
		return append(dst[:keep], Element{Reason: Malformed, Detail: err.Error(), Raw: payload, Index: -1})
	}
	return dst
}

type errSyntax string

func (e errSyntax) Error() string { return string(e) }

const maxDepth = 32

// scanner walks one payload. It never allocates on a good one.
type scanner struct {
	b       []byte
	i       int
	context bool
}

func (s *scanner) message(dst []Element) ([]Element, error) {
	s.space()
	if s.peek() != '[' {
		e, err := s.element(-1)
		if err != nil {
			return dst, err
		}
		e.Raw = s.b
		return append(dst, e), s.end()
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		return dst, errSyntax("the array is empty")
	}
	for n := 0; ; n++ {
		e, err := s.element(n)
		if err != nil {
			return dst, err
		}
		dst = append(dst, e)
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case ']':
			s.i++
			return dst, s.end()
		default:
			return dst, s.syntax("a comma or the end of the array")
		}
	}
}

func (s *scanner) end() error {
	s.space()
	if s.i != len(s.b) {
		return s.syntax("the end of the payload")
	}
	return nil
}

// element reads one value that should be an object.
func (s *scanner) element(index int) (Element, error) {
	start := s.i
	e := Element{Index: index}
	if s.peek() != '{' {
		if err := s.skip(0); err != nil {
			return e, err
		}
		e.Raw = s.b[start:s.i]
		e.Reason, e.Detail = Malformed, "not a JSON object"
		return e, nil
	}
	o := object{scanner: *s}
	err := o.fields()
	if s.i = o.i; err != nil {
		return e, err
	}
	e.Raw = s.b[start:s.i]
	e.Reading = o.r
	e.Reason, e.Detail = o.verdict()
	return e, nil
}

// The known fields, as bits of object.seen.
const (
	seenTS = 1 << iota
	seenTemp
	seenAmbient
	seenSpeed
	seenLoad
	seenBrake
	seenSeq
)

// object gathers the fields of one element and the first fault of each class.
type object struct {
	scanner   // a copy: through a pointer the payload's scanner would move to the heap
	r         Reading
	seen      uint8 // fields met
	set       uint8 // fields met and not null
	malformed string
	notFinite string
	badTime   string
}

// verdict orders the faults by the precedence of contract section 4.
func (o *object) verdict() (Reason, string) {
	switch {
	case o.malformed != "":
		return Malformed, o.malformed
	case o.set&seenTS == 0:
		return MissingField, "ts is missing"
	case !o.context && o.set&seenTemp == 0:
		return MissingField, "temp_c is missing"
	case o.context && o.set&(seenAmbient|seenSpeed|seenLoad|seenBrake) == 0:
		return MissingField, "a context needs one of ambient_c, speed_kmh, load_t, brake"
	case o.notFinite != "":
		return NotFinite, o.notFinite
	case o.badTime != "":
		return BadTime, o.badTime
	case o.r.TS < MinTS || o.r.TS >= MaxTS:
		return BadTime, fmt.Sprintf("ts %d is before 2000-01-01 or not below 2^43 ms", o.r.TS)
	}
	return "", ""
}

func (o *object) fields() error {
	o.i++ // the brace
	o.space()
	if o.peek() == '}' {
		o.i++
		return nil
	}
	for {
		if o.peek() != '"' {
			return o.syntax("a field name")
		}
		key, err := o.text()
		if err != nil {
			return err
		}
		o.space()
		if o.peek() != ':' {
			return o.syntax("a colon")
		}
		o.i++
		o.space()
		if err := o.field(key); err != nil {
			return err
		}
		o.space()
		switch o.peek() {
		case ',':
			o.i++
			o.space()
		case '}':
			o.i++
			return nil
		default:
			return o.syntax("a comma or a closing brace")
		}
	}
}

// field reads the value of one field. Only a syntax fault is an error; the others are noted.
func (o *object) field(key []byte) error {
	switch string(key) {
	case "ts":
		return o.time()
	case "temp_c":
		if !o.context {
			return o.milli(seenTemp, "temp_c", &o.r.Temp, 0)
		}
	case "ambient_c":
		return o.milli(seenAmbient, "ambient_c", &o.r.Ambient, HasAmbient)
	case "speed_kmh":
		return o.milli(seenSpeed, "speed_kmh", &o.r.Speed, HasSpeed)
	case "load_t":
		return o.milli(seenLoad, "load_t", &o.r.Load, HasLoad)
	case "brake":
		return o.brake()
	case "seq":
		if !o.context {
			return o.seq()
		}
	}
	return o.skip(0)
}

// once notes a field and whether it is null; a known field that comes twice is a fault, since either value could be meant.
func (o *object) once(bit uint8, name string) (null bool, err error) {
	if o.seen&bit != 0 {
		o.fault(&o.malformed, name+" comes twice")
	}
	o.seen |= bit
	if o.peek() == 'n' {
		return true, o.literal("null")
	}
	o.set |= bit
	return false, nil
}

func (o *object) fault(at *string, text string) {
	if *at == "" {
		*at = text
	}
}

func (o *object) milli(bit uint8, name string, into *Milli, has Fields) error {
	null, err := o.once(bit, name)
	if null || err != nil {
		return err
	}
	if o.notFiniteLiteral() {
		o.fault(&o.notFinite, name+" is not a finite number")
		return nil
	}
	n, err := o.number()
	if err != nil {
		return err
	}
	if n == nil {
		o.fault(&o.malformed, name+" is not a number")
		return o.skip(0)
	}
	v, ok := parseMilli(n)
	if !ok {
		o.fault(&o.notFinite, name+" is too large to be kept to a thousandth")
		return nil
	}
	*into = v
	o.r.Has |= has
	return nil
}

func (o *object) brake() error {
	null, err := o.once(seenBrake, "brake")
	if null || err != nil {
		return err
	}
	if o.notFiniteLiteral() {
		o.fault(&o.notFinite, "brake is not a finite number")
		return nil
	}
	n, err := o.number()
	if err != nil {
		return err
	}
	if n == nil {
		o.fault(&o.malformed, "brake is not 0 or 1")
		return o.skip(0)
	}
	v, ok := parseMilli(n)
	if !ok || v != 0 && v != 1000 {
		o.fault(&o.malformed, "brake is not 0 or 1")
		return nil
	}
	o.r.Brake = uint8(v / 1000)
	o.r.Has |= HasBrake
	return nil
}

func (o *object) seq() error {
	null, err := o.once(seenSeq, "seq")
	if null || err != nil {
		return err
	}
	if o.notFiniteLiteral() {
		o.fault(&o.notFinite, "seq is not a finite number")
		return nil
	}
	n, err := o.number()
	if err != nil {
		return err
	}
	if n == nil {
		o.fault(&o.malformed, "seq is not a number")
		return o.skip(0)
	}
	v, ok := parseInteger(n)
	if !ok || v >= 1<<53 || v <= -(1<<53) {
		o.fault(&o.malformed, "seq is not an integer below 2^53")
		return nil
	}
	o.r.Seq = v
	o.r.Has |= HasSeq
	return nil
}

func (o *object) time() error {
	null, err := o.once(seenTS, "ts")
	if null || err != nil {
		return err
	}
	if o.peek() == '"' {
		text, err := o.text()
		if err != nil {
			return err
		}
		ms, ok := parseRFC3339(text)
		if !ok {
			o.fault(&o.badTime, "ts is not RFC 3339 with a zone")
			return nil
		}
		o.r.TS = ms
		return nil
	}
	if o.notFiniteLiteral() {
		o.fault(&o.notFinite, "ts is not a finite number")
		return nil
	}
	n, err := o.number()
	if err != nil {
		return err
	}
	if n == nil {
		o.fault(&o.malformed, "ts is neither a number nor a text")
		return o.skip(0)
	}
	v, ok := parseInteger(n)
	if !ok {
		o.fault(&o.badTime, "ts is not an integer of milliseconds")
		return nil
	}
	o.r.TS = v
	return nil
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
