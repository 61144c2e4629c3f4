package stream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/camrail/cidp/stream"
)

// FuzzDecode sets Decode against encoding/json: what Decode accepts, encoding/json reads to the same values, and what
// encoding/json can read, Decode refuses only by a rule that is written down.
func FuzzDecode(f *testing.F) {
	for _, c := range decodeCases {
		if len(c.payload) < 1000 {
			f.Add([]byte(c.payload), false)
		}
	}
	f.Add([]byte(`{"ts":1700000000000,"ambient_c":31,"speed_kmh":80.5,"load_t":61.125,"brake":0}`), true)
	f.Fuzz(func(t *testing.T, payload []byte, context bool) {
		elements := stream.Decode(nil, payload, context)
		checkElements(t, elements, payload)
		for i := range elements {
			if elements[i].Reason == "" && !context {
				checkRoundTrip(t, elements[i].Reading)
			}
		}
		if refusedUnread(t, elements, payload) {
			return
		}
		if err := compareWithJSON(elements, payload, context); err != nil {
			t.Errorf("%q: %v", payload, err)
		}
	})
}

// FuzzPlain holds that the quick way of the decoder takes nothing that the strict one reads otherwise.
func FuzzPlain(f *testing.F) {
	for _, c := range decodeCases {
		if len(c.payload) < 1000 {
			f.Add([]byte(c.payload), false)
		}
	}
	for _, s := range plainCases {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, payload []byte, context bool) {
		if _, difference := stream.PlainAsStrict(payload, context); difference != "" {
			t.Errorf("%q: %s", payload, difference)
		}
	})
}

// plainCases are taken by the quick way, as readings or as contexts.
var plainCases = []string{
	`{"ts":1700000000000,"temp_c":61.372}`,
	` { "ts" : 1700000000000 ,` + "\n\t\r" + `"temp_c" : -0.0005 } `,
	`{"temp_c":-61.3725,"seq":123456789012345,"ts":"2023-11-14T22:13:20.123+01:00"}`,
	`{"ts":1700000000000,"temp_c":0,"ambient_c":31.2,"speed_kmh":0.00049999,"load_t":61.25,"brake":1}`,
	`{"ts":1700000000000,"ambient_c":9007199254740.991,"speed_kmh":80.5,"load_t":61.125,"brake":0}`,
}

func TestPlain(t *testing.T) {
	for _, s := range plainCases {
		reading, difference := stream.PlainAsStrict([]byte(s), false)
		context, other := stream.PlainAsStrict([]byte(s), true)
		if reading == context || difference+other != "" {
			t.Errorf("%s: taken as a reading %v, as a context %v; %s %s", s, reading, context, difference, other)
		}
	}
	for _, s := range []string{
		`{"ts":1700000000000,"temp_c":1e1}`, `{"ts":1700000000000,"temp_c":01}`, `{"ts":1700000000000,"temp_c":1.}`, `{"ts":1700000000000,"temp_c":.5}`, `{"ts":1700000000000,"temp_c":-}`,
		`{"ts":1700000000000,"temp_c":1,"temp_c":1}`, `{"ts":1700000000000,"temp_c":1,}`, `{"ts":1700000000000,"temp_c":1`, `{"ts":-1,"temp_c":1}`, `{"temp_c":1}`, `{"ts":1700000000000}`,
		`{"ts":1700000000000.0,"temp_c":1}`, `{"ts":1700000000000,"temp_c":9007199254740.992}`, `{"ts":1700000000000,"temp_c":null}`, `{"ts":1700000000000,"temp_c":NaN}`, `{"ts":8796093022208,"temp_c":1}`,
		`{"ts":1700000000000,"temp_c":1,"brake":2}`, `{"ts":1700000000000,"temp_c":1,"seq":1.5}`, `{"ts":1700000000000,"temp_c":1,"other":1}`, `{"ts":"2023-11-14","temp_c":1}`, `{}`, `[]`, ``,
	} {
		for _, context := range []bool{false, true} {
			if taken, difference := stream.PlainAsStrict([]byte(s), context); taken || difference != "" {
				t.Errorf("%s: taken; %s", s, difference)
			}
		}
	}
}

// refusedUnread says whether the payload as a whole was refused as no JSON, and holds that encoding/json does not read it either, but
// for the three stricter rules: UTF-8, depth, no empty array.
func refusedUnread(t *testing.T, elements []stream.Element, payload []byte) bool {
	e := &elements[0]
	if len(elements) != 1 || e.Index != -1 || e.Reason != stream.Malformed {
		return false
	}
	switch {
	case strings.HasPrefix(e.Detail, "not JSON: ") || strings.Contains(e.Detail, "bad escape"):
		if json.Valid(payload) {
			t.Errorf("%q is refused (%s), and encoding/json reads it", payload, e.Detail)
		}
	case strings.Contains(e.Detail, "UTF-8"):
		if utf8.Valid(payload) {
			t.Errorf("%q is UTF-8", payload)
		}
	case strings.Contains(e.Detail, "nested"):
		if strings.Count(string(payload), "[")+strings.Count(string(payload), "{") < 32 {
			t.Errorf("%q is not nested deeply", payload)
		}
	case strings.Contains(e.Detail, "empty"):
		if inside, _, _ := strings.Cut(string(payload), "]"); strings.Trim(inside, " \t\r\n[") != "" {
			t.Errorf("%q is no empty array", payload)
		}
	default:
		return false // the fault is in a field: encoding/json must see it too
	}
	return true
}

// compareWithJSON reads the payload with encoding/json and compares element by element.
func compareWithJSON(elements []stream.Element, payload []byte, context bool) error {
	if !utf8.Valid(payload) {
		return errors.New("accepted without being UTF-8")
	}
	var raws []json.RawMessage
	if bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("[")) {
		if err := json.Unmarshal(finite(elements, payload), &raws); err != nil {
			return err
		}
	} else {
		raws = []json.RawMessage{finite(elements, payload)}
	}
	if len(raws) != len(elements) {
		return fmt.Errorf("%d elements, encoding/json sees %d", len(elements), len(raws))
	}
	for i := range elements {
		want, detail, err := judgeByJSON(raws[i], context)
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		e := &elements[i]
		if e.Reason == stream.NotFinite && (bytes.Contains(e.Raw, []byte("NaN")) || bytes.Contains(e.Raw, []byte("Infinity"))) {
			continue // the literals were replaced
		}
		if e.Reason != want.Reason {
			return fmt.Errorf("element %d is %q (%s), by encoding/json %q (%s)", i, e.Reason, e.Detail, want.Reason, detail)
		}
		if e.Reason == "" && e.Reading != want.Reading {
			return fmt.Errorf("element %d is %+v, by encoding/json %+v", i, e.Reading, want.Reading)
		}
	}
	return nil
}

// finite replaces the literals that only Decode reads, in elements refused for them.
func finite(elements []stream.Element, payload []byte) []byte {
	for i := range elements {
		if elements[i].Reason == "" || elements[i].Raw == nil {
			continue
		}
		raw := elements[i].Raw
		for _, word := range []string{"-Infinity", "Infinity", "NaN"} {
			clean := bytes.ReplaceAll(raw, []byte(word), []byte("0"))
			payload = bytes.ReplaceAll(payload, raw, clean)
			raw = clean
		}
	}
	return payload
}

// judgeByJSON decodes one element the slow and obvious way: encoding/json for the syntax, big decimals for the numbers.
func judgeByJSON(raw []byte, context bool) (e stream.Element, detail string, err error) {
	fields, detail, err := fieldsByJSON(raw, map[string]bool{"ts": true, "temp_c": !context, "ambient_c": true, "speed_kmh": true, "load_t": true, "brake": true, "seq": !context})
	if err != nil || detail != "" {
		e.Reason = stream.Malformed
		return e, detail, err
	}
	j := jsonJudge{e: e, worst: map[stream.Reason]string{}}
	j.fields(fields, context)
	for _, reason := range []stream.Reason{stream.Malformed, stream.MissingField, stream.NotFinite, stream.BadTime} {
		if text, bad := j.worst[reason]; bad {
			j.e.Reason = reason
			return j.e, text, nil
		}
	}
	return j.e, "", nil
}

// fieldsByJSON gives an element's known fields. detail says why it is malformed.
func fieldsByJSON(raw []byte, known map[string]bool) (fields map[string]any, detail string, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	open, err := d.Token()
	if err != nil {
		return nil, "", err
	}
	if open != json.Delim('{') {
		return nil, "no object", nil
	}
	fields = map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, "", err
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, "", err
		}
		name := key.(string)
		if !known[name] {
			continue
		}
		if _, twice := fields[name]; twice {
			detail = name + " twice"
		}
		fields[name] = v
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return nil, "", err
	}
	return fields, detail, nil
}

type jsonJudge struct {
	e     stream.Element
	worst map[stream.Reason]string
}

func (j *jsonJudge) fields(fields map[string]any, context bool) {
	any := j.milli(fields, "ambient_c", &j.e.Ambient, stream.HasAmbient)
	any = j.milli(fields, "speed_kmh", &j.e.Speed, stream.HasSpeed) || any
	any = j.milli(fields, "load_t", &j.e.Load, stream.HasLoad) || any
	var brake stream.Milli
	if j.milli(fields, "brake", &brake, stream.HasBrake) {
		any = true
		if j.e.Brake = uint8(brake / 1000); brake != 0 && brake != 1000 {
			j.worst[stream.Malformed] = "brake"
		}
	}
	if s, there := fields["brake"].(json.Number); there {
		if v, _ := thousandths(string(s)); v == nil {
			delete(j.worst, stream.NotFinite)
			j.worst[stream.Malformed] = "brake"
		}
	}
	if !context && !j.milli(fields, "temp_c", &j.e.Temp, 0) {
		j.worst[stream.MissingField] = "temp_c"
	}
	if context && !any {
		j.worst[stream.MissingField] = "context"
	}
	switch v := fields["seq"].(type) {
	case nil:
	case json.Number:
		n, good := new(big.Int).SetString(string(v), 10)
		if !good || n.CmpAbs(big.NewInt(1<<53)) >= 0 {
			j.worst[stream.Malformed] = "seq"
		} else {
			j.e.Seq = n.Int64()
			j.e.Has |= stream.HasSeq
		}
	default:
		j.worst[stream.Malformed] = "seq"
	}
	if j.time(fields["ts"], "ts", &j.e.TS); fields["ts"] == nil {
		j.worst[stream.MissingField] = "ts"
	}
}

func (j *jsonJudge) time(v any, name string, into *int64) {
	switch v := v.(type) {
	case nil:
	case json.Number:
		n, good := new(big.Int).SetString(string(v), 10)
		if !good || !n.IsInt64() || n.Int64() < stream.MinTS || n.Int64() >= stream.MaxTS {
			j.worst[stream.BadTime] = name
			return
		}
		*into = n.Int64()
	case string:
		at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(v))
		strict := len(v) >= 20 && len(v) <= 64 && v[13] == ':' && v[19] != ',' && (at.UnixMilli() >= stream.MinTS && at.UnixMilli() < stream.MaxTS)
		if strict && v[len(v)-1]|32 != 'z' {
			strict = v[len(v)-5:len(v)-3] <= "23" && v[len(v)-2:] <= "59"
		}
		if err != nil || !strict {
			j.worst[stream.BadTime] = name
			return
		}
		*into = at.UnixMilli()
	default:
		j.worst[stream.Malformed] = name
	}
}

// milli says whether the field is there and not null.
func (j *jsonJudge) milli(fields map[string]any, name string, into *stream.Milli, has stream.Fields) bool {
	switch v := fields[name].(type) {
	case nil:
		return false
	case json.Number:
		m, good := thousandths(string(v))
		if !good {
			j.worst[stream.Malformed] = "number not understood by the test"
		} else if m == nil {
			j.worst[stream.NotFinite] = name
		} else {
			*into = *m
			j.e.Has |= has
		}
	default:
		j.worst[stream.Malformed] = name
	}
	return true
}

// thousandths rounds a JSON number in exact arithmetic; nil when it is too large.
func thousandths(text string) (m *stream.Milli, good bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	exp, _ := new(big.Int).SetString("0"+strings.TrimLeft(exponent, "+-"), 10)
	if exp == nil {
		return nil, false
	}
	if strings.HasPrefix(exponent, "-") {
		exp.Neg(exp)
	}
	v, good := new(big.Rat).SetString(mantissa)
	if !good {
		return nil, false
	}
	var zero stream.Milli
	span := int64(len(mantissa)) + 20
	switch {
	case v.Sign() == 0 || exp.Cmp(big.NewInt(-span)) < 0:
		return &zero, true
	case exp.Cmp(big.NewInt(span)) > 0:
		return nil, true
	}
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), new(big.Int).Abs(exp), nil))
	if exp.Sign() < 0 {
		scale.Inv(scale)
	}
	v.Mul(v, scale.Mul(scale, big.NewRat(1000, 1)))
	half := big.NewRat(int64(v.Sign()), 2)
	v.Add(v, half)
	n := new(big.Int).Quo(v.Num(), v.Denom())
	if n.CmpAbs(big.NewInt(int64(stream.MaxMilli))) >= 0 {
		return nil, true
	}
	got := stream.Milli(n.Int64())
	return &got, true
}

// FuzzParseMilli holds the rounding of any JSON number against exact arithmetic.
func FuzzParseMilli(f *testing.F) {
	for _, s := range []string{"0", "-0.0005", "21.4995", "1e999", "1e-999", "0.000e9999999", "9007199254740.9915", "123456789012345678901234567890e-25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 || !json.Valid([]byte(s)) || strings.Trim(s, "0123456789+-.eE") != "" {
			return
		}
		want, good := thousandths(s)
		if !good {
			t.Fatalf("%q: not understood by the test", s)
		}
		got, fits := stream.ParseMilli(s)
		if fits != (want != nil) || fits && got != *want {
			t.Errorf("%q: %d %v, exactly %v", s, got, fits, want)
		}
	})
}

// FuzzMemory holds that a damaged memory is refused or read without harm, and that what is read is written back the same.
func FuzzMemory(f *testing.F) {
	f.Add(stream.SampleMemory())
	if whole, _, err := stream.MemoryWhole(stream.SampleMemory()); err == nil {
		f.Add(whole)
	}
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := stream.MemoryRoundTrip(b)
		if err != nil {
			return
		}
		if b[0] < 6 { // an older form: its second writing is its first
			b = again
			again, err = stream.MemoryRoundTrip(b)
		}
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x is written back %x, %v", b, again, err)
		}
	})
}
