package stream_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/camrail/cidp/stream"
)

const found = `{"ts":1700000000000,"finding":"failed"`

// findingCases are payloads with what they mean: the finding, or the reason why it is refused.
var findingCases = []struct {
	payload string
	want    stream.Finding
	reason  stream.Reason
}{
	{found + `}`, stream.Finding{FindingKey: stream.FindingKey{TS: 1_700_000_000_000}, Found: stream.Failed}, ""},
	{`{"ts":"2023-11-14T22:13:20Z","finding":"faulty","since":"2023-11-14T22:00:00+01:00","revision":3,"component":"axle 1 left","by":"A. Mbarga","note":"dry\ngrease","id":"WO-17","x":[1]}`,
		stream.Finding{FindingKey: stream.FindingKey{TS: 1_700_000_000_000, Revision: 3}, Found: stream.Faulty, Since: 1_699_995_600_000, Component: "axle 1 left", By: "A. Mbarga", Note: "dry\ngrease", ID: "WO-17"}, ""},
	{found + `,"since":null,"note":null,"revision":null}`, stream.Finding{FindingKey: stream.FindingKey{TS: 1_700_000_000_000}, Found: stream.Failed}, ""},
	{found + `,"note":"` + strings.Repeat("é", 2048) + `"}`, stream.Finding{FindingKey: stream.FindingKey{TS: 1_700_000_000_000}, Found: stream.Failed, Note: strings.Repeat("é", 2048)}, ""},
	{`{"ts":1700000000000}`, stream.Finding{}, stream.MissingField},
	{`{"finding":"failed"}`, stream.Finding{}, stream.MissingField},
	{`{"ts":1700000000000,"finding":null}`, stream.Finding{}, stream.MissingField},
	{`{"ts":1700000000000,"finding":"broken"}`, stream.Finding{}, stream.Malformed},
	{`{"ts":1700000000000,"finding":""}`, stream.Finding{}, stream.Malformed},
	{`{"ts":1700000000000,"finding":1}`, stream.Finding{}, stream.Malformed},
	{`{"ts":5,"finding":"broken"}`, stream.Finding{}, stream.Malformed}, // before bad_time
	{found + `,"finding":"failed"}`, stream.Finding{}, stream.Malformed},
	{found + `,"note":{}}`, stream.Finding{}, stream.Malformed},
	{found + `,"note":"` + strings.Repeat("é", 2049) + `"}`, stream.Finding{}, stream.Malformed},
	{found + `,"by":"` + strings.Repeat("x", 257) + `"}`, stream.Finding{}, stream.Malformed},
	{found + `,"by":"\u0000"}`, stream.Finding{}, stream.Malformed},
	{found + `,"revision":-1}`, stream.Finding{}, stream.Malformed},
	{found + `,"revision":1.0}`, stream.Finding{}, stream.Malformed},
	{found + `,"revision":2147483648}`, stream.Finding{}, stream.Malformed},
	{found + `,"revision":"1"}`, stream.Finding{}, stream.Malformed},
	{found + `,"revision":NaN}`, stream.Finding{}, stream.NotFinite},
	{found + `,"since":1700000000001}`, stream.Finding{}, stream.BadTime},
	{found + `,"since":0}`, stream.Finding{}, stream.BadTime},
	{found + `,"since":"yesterday"}`, stream.Finding{}, stream.BadTime},
	{`{"ts":9999999999999999,"finding":"failed"}`, stream.Finding{}, stream.BadTime},
	{found, stream.Finding{}, stream.Malformed},
	{`[]`, stream.Finding{}, stream.Malformed},
	{`"failed"`, stream.Finding{}, stream.Malformed},
}

func TestDecodeFindings(t *testing.T) {
	for _, c := range findingCases {
		e := stream.DecodeFindings(nil, []byte(c.payload))
		if len(e) != 1 || e[0].Reason != c.reason || (c.reason != "") != (e[0].Detail != "") {
			t.Errorf("%.80s: %+v, want reason %q", c.payload, e, c.reason)
			continue
		}
		if c.reason == "" && (*e[0].Finding != c.want || e[0].TS != c.want.TS) {
			t.Errorf("%.80s: %+v, want %+v", c.payload, e[0].Finding, c.want)
		}
	}
	all := stream.DecodeFindings(nil, []byte(`[`+found+`},{"ts":1},`+found+`,"revision":1}]`))
	if len(all) != 3 || all[0].Reason != "" || all[1].Reason != stream.MissingField || all[2].Finding.Revision != 1 || all[2].Index != 2 {
		t.Errorf("an array: %+v", all)
	}
}

// FuzzDecodeFindings sets DecodeFindings against encoding/json, as FuzzDecode does Decode.
func FuzzDecodeFindings(f *testing.F) {
	for _, c := range findingCases {
		if len(c.payload) < 1000 {
			f.Add([]byte(c.payload))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		elements := stream.DecodeFindings(nil, payload)
		checkElements(t, elements, payload)
		if refusedUnread(t, elements, payload) || !utf8.Valid(payload) {
			return
		}
		clean := finite(elements, payload)
		raws := []json.RawMessage{clean}
		if bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("[")) {
			if err := json.Unmarshal(clean, &raws); err != nil {
				t.Fatalf("%q: %v", payload, err)
			}
		}
		if len(raws) != len(elements) {
			t.Fatalf("%q: %d elements, encoding/json sees %d", payload, len(elements), len(raws))
		}
		for i := range elements {
			e := &elements[i]
			if bytes.Contains(e.Raw, []byte("NaN")) || bytes.Contains(e.Raw, []byte("Infinity")) {
				continue // the literals may have been replaced
			}
			want, reason, err := findingByJSON(raws[i])
			if err != nil || e.Reason != reason || reason == "" && *e.Finding != want {
				t.Errorf("%q, element %d: %q %+v, by encoding/json %q %+v (%v)", payload, i, e.Reason, e.Finding, reason, want, err)
			}
		}
	})
}

// findingByJSON decodes one finding the slow and obvious way.
func findingByJSON(raw []byte) (f stream.Finding, _ stream.Reason, err error) {
	limits := map[string]int{"finding": 256, "component": 256, "by": 256, "note": 4096, "id": 256}
	fields, bad, err := fieldsByJSON(raw, map[string]bool{"ts": true, "finding": true, "since": true, "revision": true, "component": true, "by": true, "note": true, "id": true})
	if err != nil || bad != "" {
		return f, stream.Malformed, err
	}
	j := jsonJudge{worst: map[stream.Reason]string{}}
	for name, into := range map[string]*string{"finding": (*string)(&f.Found), "component": &f.Component, "by": &f.By, "note": &f.Note, "id": &f.ID} {
		text, is := fields[name].(string)
		if !is && fields[name] != nil || len(text) > limits[name] || strings.Contains(text, "\x00") {
			j.worst[stream.Malformed] = name
		}
		*into = text
	}
	if fields["finding"] != nil && !slices.Contains([]stream.Found{stream.Failed, stream.Faulty, stream.SensorFault, stream.Sound, stream.Withdrawn}, f.Found) {
		j.worst[stream.Malformed] = "finding"
	}
	if n, is := fields["revision"].(json.Number); is {
		v, whole := new(big.Int).SetString(string(n), 10)
		if !whole || v.Sign() < 0 || v.BitLen() > 31 {
			j.worst[stream.Malformed] = "revision"
		} else {
			f.Revision = v.Int64()
		}
	} else if fields["revision"] != nil {
		j.worst[stream.Malformed] = "revision"
	}
	j.time(fields["ts"], "ts", &f.TS)
	j.time(fields["since"], "since", &f.Since)
	if fields["ts"] == nil || fields["finding"] == nil {
		j.worst[stream.MissingField] = "ts or finding"
	}
	if f.Since > f.TS {
		j.worst[stream.BadTime] = "since"
	}
	for _, reason := range []stream.Reason{stream.Malformed, stream.MissingField, stream.BadTime} {
		if _, worst := j.worst[reason]; worst {
			return f, reason, nil
		}
	}
	return f, "", nil
}

// TestFindingsRepeat: the same finding again is a duplicate and another one of the same revision a conflict, wherever the first one is by now; a higher revision is kept beside it.
func TestFindingsRepeat(t *testing.T) {
	topic := stream.VerdictTopic("douala", "loco7", "axle1-left")
	for _, where := range []string{"in this batch", "taken", "on disk", "after a restart"} {
		t.Run(where, func(t *testing.T) {
			p := newPlant(t, func(c *stream.Config) { c.TooOld = 1 })
			if r := p.publish(topic, found+`,"by":"A"}`); r != "" {
				t.Fatalf("refused: %s", r)
			}
			switch where {
			case "taken":
				defer p.commit(p.w.Take()) // the repeats come while the batch is on its way
			case "on disk", "after a restart":
				p.commit(p.w.Take())
				if where == "after a restart" {
					p.w = p.restart()
				}
			}
			reasons := []stream.Reason{p.publish(topic, found+`,"by":"A"}`), p.publish(topic, found+`,"by":"B"}`), p.publish(topic, found+`,"by":"B","revision":1}`),
				p.publish(stream.VerdictTopic("douala", "loco7", "axle1-right"), found+`}`), p.publish(topic, `{"ts":4102444800000,"finding":"sound"}`)}
			if want := []stream.Reason{"", stream.Conflict, "", "", stream.Future}; !slices.Equal(reasons, want) {
				t.Errorf("reasons %q, want %q", reasons, want)
			}
			b := p.w.Take()
			stored := int64(2)
			if where == "in this batch" {
				stored++
			}
			if c := b.Count; c.StoredFinding != stored || c.Duplicate != 1 || c.Refused != 2 || len(b.Assets)+len(b.Sensors)+len(b.Silences) != 0 {
				t.Errorf("count %+v, %d assets, %d sensors", c, len(b.Assets), len(b.Sensors))
			}
			if where != "taken" {
				p.commit(b)
			}
		})
	}
}

// TestFindingsChangeNothingElse: the same readings with findings of all times between them make the same windows, in the same batches.
func TestFindingsChangeNothingElse(t *testing.T) {
	var told [2][]string
	for with := range told {
		p := newPlant(t, nil)
		for s := 0.0; s < 400; s += 2 {
			p.temps("axle1-left", s, s, 1, healthy)
			p.temps("axle1-right", s, s, 1, healthy)
			if with == 1 {
				for i, f := range []stream.Found{stream.Failed, stream.Sound, stream.SensorFault} {
					p.publish(stream.VerdictTopic("douala", []string{"loco7", "loco8"}[i%2], "axle1-left"), fmt.Sprintf(`{"ts":%d,"finding":%q}`, at(s)+int64(i-1)*3_600_000, f))
				}
			}
			if int(s)%50 == 0 {
				b := p.w.Take()
				p.commit(b)
				for _, w := range b.Windows {
					told[with] = append(told[with], tell(w))
				}
				told[with] = append(told[with], fmt.Sprint(b.Readings, b.Opened, b.Late, b.Refusals, b.Silences, b.Clocks, len(b.Assets), len(b.Sensors)))
			}
		}
		p.commit(p.w.Take())
		if with == 1 && len(p.findings) != 600 {
			t.Fatalf("%d findings are kept", len(p.findings))
		}
	}
	if !slices.Equal(told[0], told[1]) {
		t.Error("findings have changed what else the batches hold")
	}
}

// TestStanding: the newest revision holds whatever the order of arrival, and one that withdraws leaves nothing.
func TestStanding(t *testing.T) {
	of := func(sensor string, ts, revision int64, f stream.Found) stream.Finding {
		return stream.Finding{FindingKey: stream.FindingKey{Site: "douala", Asset: "loco7", Sensor: sensor, TS: ts, Revision: revision}, Found: f}
	}
	all := []stream.Finding{of("b", 1, 0, stream.Failed), of("a", 5, 2, stream.Sound), of("a", 5, 0, stream.Failed), of("a", 5, 1, stream.Withdrawn), of("a", 7, 0, stream.Faulty),
		of("b", 1, 4, stream.Withdrawn), of("a", 3, 0, stream.Failed), of("a", 3, 1, stream.Failed)}
	want := []stream.Finding{of("a", 3, 1, stream.Failed), of("a", 5, 2, stream.Sound), of("a", 7, 0, stream.Faulty)}
	for range len(all) {
		all = append(all[1:], all[0])
		if got := stream.Standing(all); !slices.Equal(got, want) {
			t.Fatalf("standing %+v", got)
		}
	}
}
