package stream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/camrail/cidp/stream"
)

// said puts decoded elements into words: what a reading holds, or why an element is refused.
func said(elements []stream.Element, context bool) string {
	var out []string
	for i := range elements {
		e := &elements[i]
		switch {
		case e.Reason != "":
			out = append(out, string(e.Reason))
		case context:
			out = append(out, string(stream.AppendContext(nil, stream.Context{TS: e.TS, Conditions: e.Conditions})))
		default:
			out = append(out, string(stream.AppendReading(nil, e.Reading)))
		}
	}
	return strings.Join(out, " | ")
}

const (
	ok   = `{"ts":1700000000000,"temp_c":21.5}`
	head = `{"ts":1700000000000,"temp_c":`
)

// decodeCases say what becomes of a payload: a reading as AppendReading writes it, or a reason.
var decodeCases = []struct{ about, payload, want string }{
	{"the plain reading", ok, ok},
	{"space around everything", " \t\r\n{ \"ts\" : 1700000000000 , \"temp_c\" : 21.5 }\n", ok},
	{"every field", `{"ts":1700000000000,"temp_c":-3.25,"ambient_c":31,"speed_kmh":80.5,"load_t":61.125,"brake":1,"seq":42}`,
		`{"ts":1700000000000,"temp_c":-3.25,"ambient_c":31,"speed_kmh":80.5,"load_t":61.125,"brake":1,"seq":42}`},
	{"fields in any order", `{"seq":7,"temp_c":21.5,"ts":1700000000000}`, `{"ts":1700000000000,"temp_c":21.5,"seq":7}`},
	{"unknown fields of any shape", `{"a":null,"b":[1,{"c":"\u00e9\\"}],"ts":1700000000000,"temp_c":21.5,"d":{"ts":5},"e":true,"f":false,"g":-0.5E+3,"h":[],"i":{}}`, ok},
	{"an unknown field twice", `{"x":1,"x":2,"ts":1700000000000,"temp_c":21.5}`, ok},
	{"the field names are case-sensitive", `{"TS":1,"ts":1700000000000,"Temp_C":9,"temp_c":21.5}`, ok},
	{"escapes in a key", `{"t\u0073":1700000000000,"temp\u005fc":21.5}`, ok},
	{"optional fields may be null", `{"ts":1700000000000,"temp_c":21.5,"ambient_c":null,"brake":null,"seq":null}`, ok},

	{"a third decimal rounds down", head + `21.4994}`, head + `21.499}`},
	{"a half rounds away from zero", head + `21.4995}`, head + `21.5}`},
	{"a negative half rounds away from zero", head + `-21.4995}`, head + `-21.5}`},
	{"the decimal digits decide, not the nearest float", head + `1.0005}`, head + `1.001}`},
	{"2.675 thousandths of a kelvin", head + `0.0026750}`, head + `0.003}`},
	{"less than half a thousandth", head + `0.00049999999999999999999999}`, head + `0}`},
	{"minus nothing is nothing", head + `-0.0001}`, head + `0}`},
	{"an exponent", head + `2.15e1}`, head + `21.5}`},
	{"a negative exponent", head + `21500E-3}`, head + `21.5}`},
	{"an exponent that rounds", head + `5e-4}`, head + `0.001}`},
	{"an exponent below all digits", head + `5e-5}`, head + `0}`},
	{"a long nothing", head + `0.000e99999999999999999999}`, head + `0}`},
	{"digits beyond any float", head + `21.49999999999999999999999999999999999999}`, head + `21.5}`},
	{"the largest value", head + `9007199254740.991}`, head + `9007199254740.991}`},
	{"one more than the largest", head + `9007199254740.992}`, "not_finite"},
	{"too large", head + `1e999}`, "not_finite"},
	{"too large the other way", head + `-1e999}`, "not_finite"},
	{"NaN, as some libraries write it", head + `NaN}`, "not_finite"},
	{"Infinity", head + `Infinity}`, "not_finite"},
	{"minus Infinity", head + `-Infinity}`, "not_finite"},
	{"an optional field that is not finite", `{"ts":1700000000000,"temp_c":21.5,"ambient_c":NaN}`, "not_finite"},
	{"brake and seq not finite", `[{"ts":1700000000000,"temp_c":1,"brake":NaN},{"ts":1700000000000,"temp_c":1,"seq":Infinity}]`, "not_finite | not_finite"},
	{"ts not finite", `{"ts":NaN,"temp_c":1}`, "not_finite"},
	{"NaN in a field that is not ours is not JSON", `{"ts":1700000000000,"temp_c":21.5,"x":NaN}`, "malformed"},

	{"no temperature", `{"ts":1700000000000}`, "missing_field"},
	{"no time", `{"temp_c":21.5}`, "missing_field"},
	{"a null temperature is none", `{"ts":1700000000000,"temp_c":null}`, "missing_field"},
	{"a null time is none", `{"ts":null,"temp_c":21.5}`, "missing_field"},
	{"nothing at all", `{}`, "missing_field"},
	{"missing comes before not finite", `{"temp_c":NaN}`, "missing_field"},
	{"not finite comes before a bad time", `{"ts":5,"temp_c":NaN}`, "not_finite"},
	{"malformed comes before all", `{"temp_c":"x"}`, "malformed"},

	{"a text for a number", head + `"21.5"}`, "malformed"},
	{"true for a number", head + `true}`, "malformed"},
	{"an object for a number", head + `{"v":21.5}}`, "malformed"},
	{"ts twice", `{"ts":1700000000000,"ts":1700000000000,"temp_c":21.5}`, "malformed"},
	{"temp_c twice, once hidden by an escape", `{"ts":1700000000000,"temp_c":21.5,"\u0074emp_c":22}`, "malformed"},
	{"temp_c twice, once null", `{"ts":1700000000000,"temp_c":null,"temp_c":21.5}`, "malformed"},
	{"a leading zero", head + `021.5}`, "malformed"},
	{"a leading plus", head + `+21.5}`, "malformed"},
	{"a bare point", head + `.5}`, "malformed"},
	{"a point and nothing", head + `5.}`, "malformed"},
	{"an exponent and nothing", head + `5e}`, "malformed"},
	{"a bare minus", head + `-}`, "malformed"},
	{"a comma for the point", head + `21,5}`, "malformed"},
	{"hexadecimal", head + `0x1F}`, "malformed"},
	{"single quotes", `{'ts':1700000000000,'temp_c':21.5}`, "malformed"},
	{"a trailing comma", `{"ts":1700000000000,"temp_c":21.5,}`, "malformed"},
	{"cut off", `{"ts":1700000000000,"temp_c":21`, "malformed"},
	{"two documents", ok + ok, "malformed"},
	{"a comment", ok + `//x`, "malformed"},
	{"a byte order mark", "\ufeff" + ok, "malformed"},
	{"invalid UTF-8 in a field that is ignored", "{\"ts\":1700000000000,\"temp_c\":21.5,\"x\":\"\xff\"}", "malformed"},
	{"a control character in a text", "{\"ts\":1700000000000,\"temp_c\":21.5,\"x\":\"\x01\"}", "malformed"},
	{"a bad escape", `{"ts":1700000000000,"temp_c":21.5,"x":"\q"}`, "malformed"},
	{"no payload", "", "malformed"},
	{"only space", " \n", "malformed"},
	{"a number", "21.5", "malformed"},
	{"a text", `"21.5"`, "malformed"},
	{"null", "null", "malformed"},
	{"plain text", "21.5 degC", "malformed"},
	{"a zero byte", "\x00", "malformed"},

	{"an array", "[" + ok + "," + ok + "]", ok + " | " + ok},
	{"an empty array", " [ ] ", "malformed"},
	{"bad elements among good ones", `[` + ok + `,5,null,"x",[],{"ts":1},` + head + `NaN},{},` + ok + `]`,
		ok + " | malformed | malformed | malformed | malformed | missing_field | not_finite | missing_field | " + ok},
	{"broken JSON spoils the whole array", `[` + ok + `,{"ts":]`, "malformed"},
	{"an array in an array", `[[` + ok + `]]`, "malformed"},
	{"a trailing comma in an array", `[` + ok + `,]`, "malformed"},
	{"nested within reason", `{"x":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `,"ts":1700000000000,"temp_c":21.5}`, ok},
	{"a bomb of brackets", strings.Repeat("[", 100_000), "malformed"},
	{"a bomb of objects", strings.Repeat(`{"a":`, 100_000), "malformed"},
	{"a bomb, closed", `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,"ts":1700000000000,"temp_c":21.5}`, "malformed"},

	{"the first time", `{"ts":946684800000,"temp_c":1}`, `{"ts":946684800000,"temp_c":1}`},
	{"before the first", `{"ts":946684799999,"temp_c":1}`, "bad_time"},
	{"the last time", `{"ts":8796093022207,"temp_c":1}`, `{"ts":8796093022207,"temp_c":1}`},
	{"after the last", `{"ts":8796093022208,"temp_c":1}`, "bad_time"},
	{"seconds instead of milliseconds", `{"ts":1700000000,"temp_c":1}`, "bad_time"},
	{"microseconds", `{"ts":1700000000000000,"temp_c":1}`, "bad_time"},
	{"a fraction of a millisecond", `{"ts":1700000000000.0,"temp_c":1}`, "bad_time"},
	{"a time with an exponent", `{"ts":1.7e12,"temp_c":1}`, "bad_time"},
	{"a time of many digits", `{"ts":170000000000000000000000,"temp_c":1}`, "bad_time"},
	{"a negative time", `{"ts":-1700000000000,"temp_c":1}`, "bad_time"},
	{"true as a time", `{"ts":true,"temp_c":1}`, "malformed"},
	{"RFC 3339", `{"ts":"2023-11-14T22:13:20Z","temp_c":21.5}`, ok},
	{"RFC 3339 with an offset", `{"ts":"2023-11-15T03:43:20+05:30","temp_c":21.5}`, ok},
	{"RFC 3339 in small letters", `{"ts":"2023-11-14t22:13:20z","temp_c":21.5}`, ok},
	{"an escape within a time", `{"ts":"2023-11-14T22\u003a13:20Z","temp_c":21.5}`, ok},
	{"a fraction is cut, not rounded", `{"ts":"2023-11-14T22:13:20.000999999Z","temp_c":21.5}`, ok},
	{"milliseconds in a text", `{"ts":"2023-11-14T22:13:20.123Z","temp_c":1}`, `{"ts":1700000000123,"temp_c":1}`},
	{"no zone", `{"ts":"2023-11-14T22:13:20","temp_c":1}`, "bad_time"},
	{"a space for the T", `{"ts":"2023-11-14 22:13:20Z","temp_c":1}`, "bad_time"},
	{"a comma in the seconds", `{"ts":"2023-11-14T22:13:20,5Z","temp_c":1}`, "bad_time"},
	{"a date alone", `{"ts":"2023-11-14","temp_c":1}`, "bad_time"},
	{"no such day", `{"ts":"2023-02-29T00:00:00Z","temp_c":1}`, "bad_time"},
	{"hour 24", `{"ts":"2023-11-14T24:00:00Z","temp_c":1}`, "bad_time"},
	{"one digit for the hour", `{"ts":"2023-11-14T2:13:20Z","temp_c":1}`, "bad_time"},
	{"one digit for the hour, and a fraction", `{"ts":"2023-11-14T2:13:20.5Z","temp_c":1}`, "bad_time"},
	{"an offset of 24 hours", `{"ts":"2023-11-14T22:13:20+24:00","temp_c":1}`, "bad_time"},
	{"an offset of 60 minutes", `{"ts":"2023-11-14T22:13:20+00:60","temp_c":1}`, "bad_time"},
	{"an offset without a colon", `{"ts":"2023-11-14T22:13:20+0530","temp_c":1}`, "bad_time"},
	{"an unknown offset", `{"ts":"2023-11-14T22:13:20-00:00","temp_c":21.5}`, ok},
	{"nine digits and more", `{"ts":"2023-11-14T22:13:20.0001234567890123456789+00:00","temp_c":21.5}`, ok},
	{"an offset of 99 hours", `{"ts":"2023-11-14T22:13:20+99:00","temp_c":1}`, "bad_time"},
	{"a number in a text", `{"ts":"1700000000000","temp_c":1}`, "bad_time"},
	{"an empty text", `{"ts":"","temp_c":1}`, "bad_time"},
	{"a very long text", `{"ts":"` + strings.Repeat("2", 1000) + `","temp_c":1}`, "bad_time"},
	{"the last day of 1999", `{"ts":"1999-12-31T23:59:59.999Z","temp_c":1}`, "bad_time"},

	{"brake off", `{"ts":1700000000000,"temp_c":21.5,"brake":0}`, `{"ts":1700000000000,"temp_c":21.5,"brake":0}`},
	{"brake as 1.0", `{"ts":1700000000000,"temp_c":21.5,"brake":1.0}`, `{"ts":1700000000000,"temp_c":21.5,"brake":1}`},
	{"brake between", `{"ts":1700000000000,"temp_c":21.5,"brake":0.5}`, "malformed"},
	{"brake 2", `{"ts":1700000000000,"temp_c":21.5,"brake":2}`, "malformed"},
	{"brake true", `{"ts":1700000000000,"temp_c":21.5,"brake":true}`, "malformed"},
	{"seq of 53 bits", `{"ts":1700000000000,"temp_c":21.5,"seq":-9007199254740991}`, `{"ts":1700000000000,"temp_c":21.5,"seq":-9007199254740991}`},
	{"seq beyond 53 bits", `{"ts":1700000000000,"temp_c":21.5,"seq":9007199254740992}`, "malformed"},
	{"seq with a fraction", `{"ts":1700000000000,"temp_c":21.5,"seq":1.5}`, "malformed"},
	{"seq as a text", `{"ts":1700000000000,"temp_c":21.5,"seq":"1"}`, "malformed"},
}

func TestDecode(t *testing.T) {
	for _, c := range decodeCases {
		t.Run(c.about, func(t *testing.T) {
			elements := stream.Decode(nil, []byte(c.payload), false)
			if got := said(elements, false); got != c.want {
				t.Errorf("%.200s\n gives %s\n  want %s", c.payload, got, c.want)
			}
			checkElements(t, elements, []byte(c.payload))
		})
	}
}

func TestDecodeContext(t *testing.T) {
	const whole = `{"ts":1700000000000,"ambient_c":31,"speed_kmh":80.5,"load_t":61.125,"brake":0}`
	for _, c := range []struct{ about, payload, want string }{
		{"every field", whole, whole},
		{"one field is enough", `{"ts":1700000000000,"speed_kmh":0}`, `{"ts":1700000000000,"speed_kmh":0}`},
		{"a temperature and a sequence number mean nothing here", `{"ts":1700000000000,"speed_kmh":0,"temp_c":"x","seq":"y"}`, `{"ts":1700000000000,"speed_kmh":0}`},
		{"no field", `{"ts":1700000000000,"temp_c":5}`, "missing_field"},
		{"only null", `{"ts":1700000000000,"speed_kmh":null}`, "missing_field"},
		{"no time", `{"speed_kmh":5}`, "missing_field"},
		{"an array", `[` + whole + `,{"ts":1,"brake":1},` + whole + `]`, whole + " | bad_time | " + whole},
	} {
		t.Run(c.about, func(t *testing.T) {
			if got := said(stream.Decode(nil, []byte(c.payload), true), true); got != c.want {
				t.Errorf("%s\n gives %s\n  want %s", c.payload, got, c.want)
			}
		})
	}
}

// checkElements holds what is true of every answer of Decode.
func checkElements(t *testing.T, elements []stream.Element, payload []byte) {
	t.Helper()
	if len(elements) == 0 {
		t.Fatal("no element: nobody would account for the message")
	}
	for i := range elements {
		e := &elements[i]
		if (e.Reason == "") != (e.Detail == "") {
			t.Errorf("element %d: reason %q, detail %q", i, e.Reason, e.Detail)
		}
		if whole := len(elements) == 1 && e.Index == -1; !whole && e.Index != i {
			t.Errorf("element %d of %d has index %d", i, len(elements), e.Index)
		}
		if !strings.Contains(string(payload), string(e.Raw)) {
			t.Errorf("element %d: raw %q is not of the payload", i, e.Raw)
		}
		if e.Index == -1 && string(e.Raw) != string(payload) {
			t.Errorf("the evidence is not the whole payload: %q", e.Raw)
		}
		if e.Reason == "" && (e.TS < stream.MinTS || e.TS >= stream.MaxTS || e.Temp >= stream.MaxMilli || e.Temp <= -stream.MaxMilli || e.Brake > 1) {
			t.Errorf("element %d accepted out of bounds: %+v", i, e.Reading)
		}
	}
}

// TestDecodeDoesNotAllocate holds the hot path: a good payload costs no garbage.
func TestDecodeDoesNotAllocate(t *testing.T) {
	elements := make([]stream.Element, 0, 1)
	for _, payload := range [][]byte{[]byte(ok), []byte(`{"ts":"2023-11-14T22:13:20Z","temp_c":-3.25,"ambient_c":31,"brake":1,"seq":42,"x":[1,{"y":"z"}]}`)} {
		if n := testing.AllocsPerRun(100, func() { elements = stream.Decode(elements[:0], payload, false) }); n != 0 {
			t.Errorf("%s: %v allocations", payload, n)
		}
	}
}

func TestDecodeAppends(t *testing.T) {
	first := stream.Decode(nil, []byte(ok), false)
	for _, next := range []string{ok, "{", "[" + ok + ",{]"} {
		got := stream.Decode(first[:1:1], []byte(next), false)
		if len(got) != 2 || got[0].Reading != first[0].Reading {
			t.Errorf("after %s: %d elements", next, len(got))
		}
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for _, r := range []stream.Reading{
		{TS: stream.MinTS},
		{TS: stream.MaxTS - 1, Temp: stream.MaxMilli - 1, Seq: 1<<53 - 1, Conditions: stream.Conditions{
			Ambient: -stream.MaxMilli + 1, Speed: 1, Load: -999, Brake: 1,
			Has: stream.HasAmbient | stream.HasSpeed | stream.HasLoad | stream.HasBrake | stream.HasSeq}},
		{TS: 1_700_000_000_000, Temp: -10, Conditions: stream.Conditions{Brake: 0, Load: 100, Has: stream.HasBrake | stream.HasLoad}},
	} {
		checkRoundTrip(t, r)
	}
	for v := stream.Milli(-12_345); v <= 12_345; v++ {
		text := string(stream.AppendMilli(nil, v))
		if got, good := stream.ParseMilli(text); !good || got != v {
			t.Fatalf("%d is written %s and read %d", v, text, got)
		}
		if want := fmt.Sprintf("%.3f", v.Float()); strings.TrimRight(strings.TrimRight(want, "0"), ".") != text {
			t.Fatalf("%d is written %s, not %s", v, text, want)
		}
		if got, good := stream.ToMilli(v.Float()); !good || got != v {
			t.Fatalf("%d as a float comes back %d", v, got)
		}
	}
}

func checkRoundTrip(t *testing.T, r stream.Reading) {
	t.Helper()
	text := stream.AppendReading(nil, r)
	got := stream.Decode(nil, text, false)
	if len(got) != 1 || got[0].Reason != "" || got[0].Reading != r {
		t.Errorf("%+v is written %s and read %+v", r, text, got)
	}
	if r.Has&^stream.HasSeq == 0 {
		return
	}
	c := stream.Context{TS: r.TS, Conditions: r.Conditions}
	c.Has &^= stream.HasSeq
	text = stream.AppendContext(nil, c)
	got = stream.Decode(nil, text, true)
	if len(got) != 1 || got[0].Reason != "" || got[0].TS != c.TS || got[0].Conditions != c.Conditions {
		t.Errorf("%+v is written %s and read %+v", c, text, got)
	}
}

func TestTopics(t *testing.T) {
	long := strings.Repeat("x", 64)
	for topic, want := range map[string]string{
		"cidp/v1/telemetry/douala/loco-7/axle3-left":         "telemetry",
		"cidp/v1/telemetry/A.z_0-9/" + long + "/.":           "telemetry",
		"cidp/v1/context/douala/loco-7":                      "context",
		"cidp/v1/telemetry/douala/loco-7":                    "unknown_topic",
		"cidp/v1/telemetry/douala":                           "unknown_topic",
		"cidp/v1/telemetry/douala/loco-7/axle3/left":         "unknown_topic",
		"cidp/v1/context/douala":                             "unknown_topic",
		"cidp/v1/context/douala/loco-7/axle3":                "unknown_topic",
		"cidp/v1/risk/douala/loco-7/axle3":                   "unknown_topic",
		"cidp/v2/telemetry/douala/loco-7/axle3":              "unknown_topic",
		"cidp/v1/telemetry":                                  "unknown_topic",
		"/cidp/v1/telemetry/douala/loco-7/axle3":             "unknown_topic",
		"CIDP/v1/telemetry/douala/loco-7/axle3":              "unknown_topic",
		"":                                                   "unknown_topic",
		"cidp/v1/telemetry/douala/loco-7/":                   "bad_name",
		"cidp/v1/telemetry//loco-7/axle3":                    "bad_name",
		"cidp/v1/telemetry/douala//axle3":                    "bad_name",
		"cidp/v1/telemetry/douala/loco 7/axle3":              "bad_name",
		"cidp/v1/telemetry/douala/loco-7/axle+":              "bad_name",
		"cidp/v1/telemetry/douala/loco-7/essieu-arrière":     "bad_name",
		"cidp/v1/telemetry/douala/loco-7/axle\x00":           "bad_name",
		"cidp/v1/telemetry/douala/loco-7/" + long + "x":      "bad_name",
		"cidp/v1/context/dou:ala/loco-7":                     "bad_name",
		stream.TelemetryTopic("douala", "loco-7", "axle3"):   "telemetry",
		stream.ContextTopic("douala", "loco-7"):              "context",
		stream.TelemetryTopic("douala", "loco-7/x", "axle3"): "unknown_topic",
	} {
		context, reason := stream.ParseTopic(topic)
		got := string(reason)
		if got == "" {
			got = map[bool]string{true: "context", false: "telemetry"}[context]
		}
		if got != want {
			t.Errorf("%q is %s, want %s", topic, got, want)
		}
	}
}
