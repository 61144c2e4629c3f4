package stream

import (
	"fmt"
	"unicode/utf8"
)

// Element is one reading, context or finding of a message, good (Reason empty) or refused.
type Element struct {
	Reading          // of a context: Temp and Seq are zero; of a finding but for TS all of it
	Finding *Finding // without names: those are the topic's; nil of a reading and a context
	Reason  Reason   // why it is refused; empty when it is good
	Detail  string   // what is wrong, in words
	Raw     []byte   // its bytes within the payload
	Index   int      // its position in the array, or -1 for the whole payload
}

// Decode reads a payload: one JSON object, or an array of which each element stands alone. It appends the elements to dst. A
// payload that is not JSON gives one refused element for the whole. The elements alias the payload.
//
// It is strict: RFC 8259 JSON in UTF-8, known fields at most once and of their type, unknown fields ignored. NaN and Infinity, which JSON
// does not know but several libraries write, are read as what they are and refused as not finite.
func Decode(dst []Element, payload []byte, context bool) []Element {
	if context {
		return decode(dst, payload, contexts)
	}
	return decode(dst, payload, readings)
}

// DecodeFindings reads a payload of findings in the same way.
func DecodeFindings(dst []Element, payload []byte) []Element { return decode(dst, payload, findings) }

func decode(dst []Element, payload []byte, what input) []Element {
	keep := len(dst)
	s := scanner{b: payload, what: what}
	dst, err := s.message(dst)
	if err == nil && s.strict && !utf8.Valid(payload) {
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
	b      []byte
	i      int
	what   input
	strict bool // something of the payload was not read by plain: it may be other than ASCII
}

func (s *scanner) message(dst []Element) ([]Element, error) {
	s.space()
	if s.peek() != '[' {
		dst, err := s.element(dst, -1)
		if err != nil {
			return dst, err
		}
		dst[len(dst)-1].Raw = s.b
		return dst, s.end()
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		return dst, errSyntax("the array is empty")
	}
	for n := 0; ; n++ {
		var err error
		if dst, err = s.element(dst, n); err != nil {
			return dst, err
		}
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

// element reads one value that should be an object, and appends it.
func (s *scanner) element(dst []Element, index int) ([]Element, error) {
	start := s.i
	if len(dst) < cap(dst) { // what was there is written over, field by field: an Element is large
		dst = dst[:len(dst)+1]
	} else {
		dst = append(dst, Element{})
	}
	e := &dst[len(dst)-1]
	if s.plain(&e.Reading) {
		e.Finding, e.Reason, e.Detail, e.Raw, e.Index = nil, "", "", s.b[start:s.i], index
		return dst, nil
	}
	s.strict = true
	var err error
	*e, err = s.strictly(index)
	return dst, err
}

func (s *scanner) end() error {
	s.space()
	if s.i != len(s.b) {
		return s.syntax("the end of the payload")
	}
	return nil
}

// strictly reads one value that should be an object, and says what is wrong with it.
func (s *scanner) strictly(index int) (Element, error) {
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
	if s.what == findings {
		o.finding = &Finding{}
	}
	err := o.fields()
	if s.i = o.i; err != nil {
		return e, err
	}
	e.Raw = s.b[start:s.i]
	e.Reading, e.Finding = o.r, o.finding
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
	seenFinding
	seenSince
	seenRevision
	seenComponent
	seenBy
	seenNote
	seenID
)

// object gathers the fields of one element and the first fault of each class.
type object struct {
	scanner   // a copy: through a pointer the payload's scanner would move to the heap
	r         Reading
	finding   *Finding // nil: a reading or a context
	seen      uint16   // fields met
	set       uint16   // fields met and not null
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
	case o.what == findings && o.set&seenFinding == 0:
		return MissingField, "finding is missing"
	case o.what == readings && o.set&seenTemp == 0:
		return MissingField, "temp_c is missing"
	case o.what == contexts && o.set&(seenAmbient|seenSpeed|seenLoad|seenBrake) == 0:
		return MissingField, "a context needs one of ambient_c, speed_kmh, load_t, brake"
	case o.notFinite != "":
		return NotFinite, o.notFinite
	case o.badTime != "":
		return BadTime, o.badTime
	case o.r.TS < MinTS || o.r.TS >= MaxTS:
		return BadTime, fmt.Sprintf("ts %d is before 2000-01-01 or not below 2^43 ms", o.r.TS)
	case o.what == findings:
		return o.settle()
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
	if o.what == findings {
		return o.findingField(key)
	}
	switch string(key) {
	case "ts":
		return o.time(seenTS, "ts", &o.r.TS)
	case "temp_c":
		if o.what == readings {
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
		if o.what == readings {
			return o.seq()
		}
	}
	return o.skip(0)
}

// once notes a field and whether it is null; a known field that comes twice is a fault, since either value could be meant.
func (o *object) once(bit uint16, name string) (null bool, err error) {
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

func (o *object) milli(bit uint16, name string, into *Milli, has Fields) error {
	n, err := o.numeral(bit, name)
	if n == nil || err != nil {
		return err
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
	n, err := o.numeral(seenSeq, "seq")
	if n == nil || err != nil {
		return err
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

// numeral reads a field that is a number; nil when it is null, or a fault was noted.
func (o *object) numeral(bit uint16, name string) ([]byte, error) {
	null, err := o.once(bit, name)
	if null || err != nil {
		return nil, err
	}
	if o.notFiniteLiteral() {
		o.fault(&o.notFinite, name+" is not a finite number")
		return nil, nil
	}
	n, err := o.number()
	if err == nil && n == nil {
		o.fault(&o.malformed, name+" is not a number")
		err = o.skip(0)
	}
	return n, err
}

func (o *object) time(bit uint16, name string, into *int64) error {
	null, err := o.once(bit, name)
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
			o.fault(&o.badTime, name+" is not RFC 3339 with a zone")
			return nil
		}
		*into = ms
		return nil
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
		o.fault(&o.malformed, name+" is neither a number nor a text")
		return o.skip(0)
	}
	v, ok := parseInteger(n)
	if !ok {
		o.fault(&o.badTime, name+" is not an integer of milliseconds")
		return nil
	}
	*into = v
	return nil
}
