package model

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/camrail/cidp/stream"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// AppendRisk appends the payload of the risk topic (contract, section 2). Of the window it needs the sensor's names, Start, End, Revision,
// N, Expected, Completeness and the verdict, so that a window put together from stored rows serves as well as a live one.
func AppendRisk(dst []byte, w *stream.Window, p *Prediction) []byte {
	dst = append(dst, '{')
	dst = appendNames(dst, w.Sensor)
	dst = appendSpan(dst, w.Start, w.End)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, int64(w.Revision), 10)
	dst = append(dst, `,"p_failure":`...)
	dst = appendNumber(dst, p.PFailure)
	dst = appendField(dst, `,"level":`, p.Level.String())
	dst = appendField(dst, `,"source":`, p.Source)
	dst = appendField(dst, `,"model":`, p.ModelID)
	dst = appendQuality(dst, w)
	dst = append(dst, `,"explanation":`...)
	dst = AppendExplanation(dst, p.Explanation)
	method := MethodPath
	if p.ModelID == RulesID {
		method = MethodRule
	}
	dst = appendMethod(dst, method, p.Score)
	return append(dst, '}')
}

// RiskPhrases are what nearly all payloads of the risk topic have in common, in one piece each: two thirds of their bytes.
func RiskPhrases() []string {
	return []string{
		`{"site":"`, `","asset":"`, `","sensor":"`, `","window_start":"`, `","window_end":"`,
		`","revision":0,"p_failure":`, `","revision":`, `,"p_failure":`,
		`,"level":"normal","source":"forest","model":"`, `,"level":"`, `","source":"`, `","model":"`,
		`","quality":{"n":`, `,"expected":`, `,"completeness":1,"verdict":"valid"},"explanation":[{"feature":"`, `,"completeness":`, `,"verdict":"valid"},"explanation":[`,
		`},{"feature":"`, `{"feature":"`, `","value":`, `,"contribution":`, `,"usual":`,
		`}],"explanation_method":"path","raw_score":`, `}],"explanation_method":"path"}`, `],"explanation_method":"`, `","raw_score":`,
	}
}

// AppendAlert appends the payload of the alerts topic for an open alert. A cleared one is told by an empty retained message, and by its event.
func AppendAlert(dst []byte, s *stream.Sensor, a *Alert) []byte {
	dst = appendField(append(dst, '{'), `"alert_id":`, a.ID)
	dst = append(dst, ',')
	dst = appendNames(dst, s)
	dst = appendField(dst, `,"state":`, string(a.State))
	dst = appendField(dst, `,"severity":`, a.Severity.String())
	dst = appendTime(dst, `,"raised_at":`, a.RaisedAt)
	dst = appendTime(dst, `,"updated_at":`, a.UpdatedAt)
	dst = append(dst, `,"p_failure":`...)
	dst = appendNumber(dst, a.PFailure)
	dst = append(dst, `,"value":`...)
	dst = appendNumber(dst, a.Value)
	dst = appendField(dst, `,"rule":`, a.Rule)
	dst = appendField(dst, `,"reason":`, a.Reason)
	dst = append(dst, `,"explanation":`...)
	dst = AppendExplanation(dst, a.Explanation)
	dst = appendMethod(dst, a.Method, a.Score)
	dst = appendSpan(dst, a.Start, a.End)
	dst = appendField(dst, `,"model":`, a.ModelID)
	if a.Ack == nil {
		return append(dst, `,"ack":null}`...)
	}
	dst = appendField(dst, `,"ack":{"by":`, a.Ack.By)
	dst = appendTime(dst, `,"at":`, a.Ack.At)
	dst = appendField(dst, `,"note":`, a.Ack.Note)
	return append(dst, "}}"...)
}

// AppendEvent appends the payload of the events topic for a transition. Its event_id is the same each time the transition is published.
func AppendEvent(dst []byte, s *stream.Sensor, t *Transition) []byte {
	id := nameHash("event", t.AlertID, t.Kind, strconv.FormatInt(t.At, 10))
	dst = appendField(append(dst, '{'), `"event":"alert","event_id":`, id)
	dst = append(dst, ',')
	dst = appendNames(dst, s)
	dst = appendField(dst, `,"alert_id":`, t.AlertID)
	dst = appendTime(dst, `,"at":`, t.At)
	dst = appendField(dst, `,"kind":`, t.Kind)
	dst = appendField(dst, `,"from":`, t.From.String())
	dst = appendField(dst, `,"to":`, t.To.String())
	dst = appendField(dst, `,"state":`, string(t.State))
	dst = appendField(dst, `,"cause":`, t.Cause)
	dst = appendField(dst, `,"actor":`, t.Actor)
	return append(dst, '}')
}

// AppendQuarantine appends the payload of the events topic for a quarantined window. Its event_id is the same each time it is published.
func AppendQuarantine(dst []byte, w *stream.Window) []byte {
	s := w.Sensor
	id := nameHash("quarantine", s.Site, s.Asset, s.Name, strconv.FormatInt(w.Start, 10), strconv.Itoa(w.Revision))
	dst = appendField(append(dst, '{'), `"event":"quarantine","event_id":`, id)
	dst = append(dst, ',')
	dst = appendNames(dst, s)
	dst = appendTime(dst, `,"at":`, w.End)
	dst = appendSpan(dst, w.Start, w.End)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, int64(w.Revision), 10)
	dst = append(dst, `,"reasons":[`...)
	for i, r := range w.Reasons {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(r))
	}
	dst = appendField(dst, `],"detail":`, w.Detail)
	dst = appendQuality(dst, w)
	return append(dst, '}')
}

// AppendExplanation appends contributions as the JSON array of payloads and of the explanation column; a missing value is null.
func AppendExplanation(dst []byte, explanation []Contribution) []byte {
	dst = append(dst, '[')
	for i, c := range explanation {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendContribution(dst, c)
	}
	return append(dst, ']')
}

// appendMethod says how an explanation was made, and the score it adds up to where that is not the probability.
func appendMethod(dst []byte, method string, score *float64) []byte {
	if method == "" {
		return append(dst, `,"explanation_method":null`...)
	}
	dst = appendField(dst, `,"explanation_method":`, method)
	if score != nil {
		dst = appendNumber(append(dst, `,"raw_score":`...), *score)
	}
	return dst
}

func appendContribution(dst []byte, c Contribution) []byte {
	dst = appendField(dst, `{"feature":`, c.Feature)
	dst = append(dst, `,"value":`...)
	dst = appendNumber(dst, c.Value)
	dst = append(dst, `,"contribution":`...)
	dst = appendNumber(dst, c.Contribution)
	if c.Usual != nil {
		dst = appendNumber(append(dst, `,"usual":`...), *c.Usual)
	}
	return append(dst, '}')
}

func appendNames(dst []byte, s *stream.Sensor) []byte {
	dst = appendField(dst, `"site":`, s.Site)
	dst = appendField(dst, `,"asset":`, s.Asset)
	return appendField(dst, `,"sensor":`, s.Name)
}

func appendSpan(dst []byte, start, end int64) []byte {
	return appendTime(appendTime(dst, `,"window_start":`, start), `,"window_end":`, end)
}

func appendQuality(dst []byte, w *stream.Window) []byte {
	verdict := "quarantined"
	if w.Valid() {
		verdict = "valid"
	}
	dst = append(dst, `,"quality":{"n":`...)
	dst = strconv.AppendInt(dst, int64(w.N), 10)
	dst = append(dst, `,"expected":`...)
	dst = strconv.AppendInt(dst, int64(w.Expected), 10)
	dst = append(dst, `,"completeness":`...)
	dst = appendNumber(dst, w.Completeness)
	dst = appendField(dst, `,"verdict":`, verdict)
	return append(dst, '}')
}

func appendTime(dst []byte, name string, ms int64) []byte {
	dst = append(append(dst, name...), '"')
	dst = time.UnixMilli(ms).UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

func appendField(dst []byte, name, value string) []byte {
	return appendString(append(dst, name...), value)
}

// appendNumber appends the shortest decimal that reads back as v; null for what JSON has no number for.
func appendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// appendString appends a JSON string (RFC 8259). Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
