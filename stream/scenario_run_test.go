package stream_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// play is a scenario while it runs: a windower with a disk behind it, and what came out of it that no line has spoken of yet.
type play struct {
	*scenario
	t        testing.TB
	d        *disk
	w        *stream.Windower
	mono     time.Duration
	wall     int64 // ms; when no clock was set, the event time of the newest reading
	clocked  bool
	alarms   map[string]bool // by sensor: its baseline stands still
	ignored  []ignored
	out      []output
	refused  map[stream.Reason]int64
	stands   bool // a reading of a closed window came into dispute, and the window counts it still
	line     int
	problems []string
}

// output is one thing that the windower gave.
type output struct {
	what       string // as in outputs
	name       string // full name of the sensor, or of the asset's context; empty when there is none
	ts         int64  // event time; 0 when there is none
	reason     stream.Reason
	line       int // of the step that brought it
	text       string
	window     *stream.Window
	first, sum stream.Milli // of the window's readings as stored
}

// outputs are the kinds of output.
var outputs = map[string]bool{"windows": true, "late": true, "refused": true, "duplicates": true, "events": true}

// playScenario runs a scenario and gives what went otherwise than it says, each with file and line.
func playScenario(t testing.TB, s *scenario) []string {
	p := &play{scenario: s, t: t, alarms: map[string]bool{}, refused: map[stream.Reason]int64{}, wall: s.origin}
	p.d = newDisk(t, s.cfg, func(w *stream.Window) bool { return p.alarms[fullName(w.Sensor)] })
	p.w = p.d.windower()
	if s.explicit {
		p.introduce()
	}
	for _, st := range s.steps {
		placed := st.(placed)
		if _, asks := placed.step.(expectation); !asks {
			p.mentioned()
			p.line = placed.line
		}
		placed.run(p)
		p.take()
	}
	p.mentioned()
	if p.d.covered(); !p.stands {
		p.d.settled()
	}
	return p.problems
}

func fullName(s *stream.Sensor) string { return s.Site + "/" + s.Asset + "/" + s.Name }

// problem notes that the line does not hold.
func (p *play) problem(line int, format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...)))
}

// introduce makes the sensors known that a suite with explicit watermarks names: a watermark holds for each from the first step on.
func (p *play) introduce() {
	for _, name := range p.sources {
		part := strings.Split(name, "/")
		p.w.Introduce(stream.TelemetryTopic(part[0], part[1], part[2]), p.low)
	}
}

func (p *play) tick() { p.w.Tick(p.mono, p.wall) }

// publish feeds one message and lets the wall clock follow it, when none was set.
func (p *play) publish(topic string, payload []byte, ts int64) {
	received := p.wall
	if !p.clocked && ts >= stream.MinTS && ts < stream.MaxTS {
		received = ts
		p.wall = max(p.wall, ts)
	}
	if _, err := p.w.Feed(stream.Message{Topic: topic, Payload: payload, Client: "scenario", Received: received}, p.mono); err != nil {
		p.t.Fatalf("%s:%d: %v", p.file, p.line, err)
	}
}

func (m message) run(p *play) { p.publish(m.topic, []byte(m.payload), math.MinInt64) }

// message is a payload as it comes.
type message struct{ topic, payload string }

func (s sending) run(p *play) {
	n := int((s.to-s.from)/s.every) + 1
	all := make([][]byte, len(s.sources))
	for i := range n {
		ts := s.from + int64(i)*s.every
		if s.live && i > 0 {
			p.pass(time.Duration(s.every) * time.Millisecond)
		}
		for k := range s.sources {
			from := &s.sources[k]
			if !s.batched {
				p.feed(from, ts, i, n)
				continue
			}
			all[k] = from.payload(append(all[k], ','), ts, i, n)
		}
	}
	for k := range all {
		if s.batched {
			all[k][0] = '['
			p.publish(s.sources[k].topic, append(all[k], ']'), s.to)
		}
	}
}

// feed gives one reading. Explicit watermarks need no plausible time, and so no JSON.
func (p *play) feed(from *sender, ts int64, i, n int) {
	if !p.explicit {
		p.publish(from.topic, from.payload(nil, ts, i, n), ts)
		return
	}
	if _, err := p.w.FeedReading(from.topic, from.reading(ts, i, n), max(ts, p.wall), p.mono); err != nil {
		p.t.Fatalf("%s:%d: %v", p.file, p.line, err)
	}
}

func (f *sender) reading(ts int64, i, n int) stream.Reading {
	r := stream.Reading{TS: ts, Conditions: stream.Conditions{Has: f.has}}
	if !f.context {
		r.Temp = f.temp.at(i, n)
	}
	for _, field := range []struct {
		has  stream.Fields
		from series
		into *stream.Milli
	}{{stream.HasAmbient, f.ambient, &r.Ambient}, {stream.HasSpeed, f.speed, &r.Speed}, {stream.HasLoad, f.load, &r.Load}} {
		if f.has&field.has != 0 {
			*field.into = field.from.at(i, n)
		}
	}
	if f.has&stream.HasBrake != 0 {
		r.Brake = uint8(f.brake.at(i, n) / 1000)
	}
	if f.has&stream.HasSeq != 0 {
		r.Seq = f.seq + int64(i)
	}
	return r
}

func (f *sender) payload(to []byte, ts int64, i, n int) []byte {
	r := f.reading(ts, i, n)
	if f.context {
		return stream.AppendContext(to, stream.Context{TS: ts, Conditions: r.Conditions})
	}
	return stream.AppendReading(to, r)
}

// pass lets monotonic time pass, and the wall clock with it when one was set.
func (p *play) pass(d time.Duration) {
	p.mono += d
	if p.clocked {
		p.wall += d.Milliseconds()
	}
	p.tick()
}

// wait is monotonic time with nothing sent: looked at every second, as the platform does, and at most an hour's worth of times.
type wait struct{ time.Duration }

func (s wait) run(p *play) {
	step := max(time.Second, s.Duration/3600)
	for left := s.Duration; left > 0; left -= step {
		p.pass(min(step, left))
	}
}

// wall sets the wall clock: what is received from now on is received at this time, whatever it says itself.
type wall struct{ ts int64 }

func (s wall) run(p *play) { p.wall, p.clocked = s.ts, true }

// restart stops and starts anew from what is stored.
type restart struct{}

func (restart) run(p *play) {
	p.w, p.mono = p.d.restart(), 0
}

// watermark says that nothing before ts comes any more.
type watermark struct{ ts int64 }

func (s watermark) run(p *play) { p.w.StepWatermarks(s.ts) }

// alarm is what the scoring says of a sensor: while an alarm stands its baseline stands still.
type alarm struct {
	name string
	on   bool
}

func (s alarm) run(p *play) { p.alarms[s.name] = s.on }

type ignored struct{ what, name string }

func (s ignored) run(p *play) { p.ignored = append(p.ignored, s) }
func (ignored) asks()         {}

func (p *play) ignores(o *output) bool {
	for _, i := range p.ignored {
		if i.what == o.what && (i.name == "" || i.name == o.name) {
			return true
		}
	}
	return false
}

// maxNamed is how many forgotten outputs are named at once.
const maxNamed = 8

// mentioned holds that everything that came so far is spoken of or ignored.
func (p *play) mentioned() {
	named, more := 0, 0
	for i := range p.out {
		if o := &p.out[i]; p.ignores(o) {
			continue
		} else if named++; named > maxNamed {
			more++
		} else {
			p.problem(o.line, "came and is not mentioned: %s", o.text)
		}
	}
	if more > 0 {
		p.problem(p.line, "and %d more are not mentioned", more)
	}
	p.out = nil
}

// take commits what gathered and notes what came out.
func (p *play) take() {
	if !p.w.Pending() {
		return
	}
	b := p.w.Take()
	p.d.commit(b)
	for _, w := range b.Windows {
		o := output{what: "windows", name: fullName(w.Sensor), ts: w.Start, window: w}
		p.stored(&o)
		p.add(o, "window %s", p.tellWindow(w))
	}
	for _, l := range b.Late {
		a := p.d.assets[l.AssetID-1]
		o := output{what: "late", name: a.Site + "/" + a.Name + "/context", ts: l.TS, reason: l.Reason}
		if l.SensorID != 0 {
			o.name = fullName(p.d.sensors[l.SensorID-1])
		}
		p.add(o, "late %s %s", p.short(o.name), p.clock(l.TS))
	}
	for _, r := range b.Refusals {
		p.refused[r.Reason]++
		o := output{what: "refused", name: topicName(r.Topic), reason: r.Reason}
		if o.name != "" {
			o.ts = stream.Decode(nil, r.Payload, strings.HasSuffix(o.name, "/context"))[0].TS
		}
		p.add(o, "refused %s on %s at %s (%s)", r.Reason, r.Topic, p.clock(o.ts), r.Detail)
	}
	for _, c := range b.Conflicted {
		last := p.d.last[c.SensorID]
		p.stands = p.stands || last != nil && c.TS < last.End
	}
	for range b.Count.Duplicate {
		p.add(output{what: "duplicates"}, "a duplicate")
	}
	p.news(b)
	for _, e := range events(b) {
		p.add(output{what: "events"}, "%s", e)
	}
}

func (p *play) add(o output, format string, args ...any) {
	o.line, o.text = p.line, fmt.Sprintf(format, args...)
	p.out = append(p.out, o)
}

func topicName(topic string) string {
	if rest, ok := strings.CutPrefix(topic, stream.TelemetryPrefix); ok && strings.Count(rest, "/") == 2 {
		return rest
	}
	if rest, ok := strings.CutPrefix(topic, stream.ContextPrefix); ok && strings.Count(rest, "/") == 1 {
		return rest + "/context"
	}
	return ""
}

// stored finds the first reading of a window and the sum of all, as they are stored.
func (p *play) stored(o *output) {
	first := int64(math.MaxInt64)
	for key, r := range p.d.readings {
		if ts, id := stream.SplitKey(key); id == o.window.Sensor.ID && ts >= o.window.Start && ts < o.window.End && !p.d.disputed[key] {
			if o.sum += r.Temp; ts < first {
				first, o.first = ts, r.Temp
			}
		}
	}
}

// news tells of silence, fail-safe, changed sensors and, where the scenario asks for it, of clocks.
func (p *play) news(b *stream.Batch) {
	event := func(format string, args ...any) { p.add(output{what: "events"}, format, args...) }
	for _, s := range b.Silences {
		word := "heard"
		if s.Silent {
			word = "silent"
		} else if s.Taken {
			word = "taken"
		}
		event("%s %s %s", word, [...]string{"sensor", "asset", "site"}[s.Scope], p.short(strings.TrimRight(s.Site+"/"+s.Asset+"/"+s.Sensor, "/")))
	}
	for _, f := range b.Failsafes {
		if f.Moved {
			event("failsafe %s %s %d of %d", map[bool]string{true: "opens", false: "closes"}[f.Open], p.short(f.Site+"/"+f.Asset), f.Quarantined, f.Windows)
		}
	}
	for _, c := range b.Changed {
		if c.What != "" {
			event("changed %s %s", p.short(fullName(c.Sensor)), c.What)
		}
	}
	for _, c := range b.Clocks {
		if p.clocks {
			event("clock %s behind %s jumps %d", p.short(fullName(p.d.sensors[c.SensorID-1])), c.Behind, c.Jumps)
		}
	}
}

// knownBatch are the fields of a batch that the runner speaks of by their own names.
var knownBatch = map[string]bool{"Assets": true, "Sensors": true, "Readings": true, "Contexts": true, "Conflicted": true, "ConflictedContexts": true,
	"Late": true, "Refusals": true, "Windows": true, "Opened": true, "Count": true, "Messages": true,
	"Silences": true, "Failsafes": true, "Changed": true, "Clocks": true}

// events gives everything else that a batch carries, one text each: the field's name, then Name=value of every field that is set. What the platform learns to emit
// must be spoken of in scenarios from that day on.
func events(batch any) []string {
	var out []string
	v := reflect.Indirect(reflect.ValueOf(batch))
	for i := range v.NumField() {
		f := v.Field(i)
		if knownBatch[v.Type().Field(i).Name] || !v.Type().Field(i).IsExported() || f.Kind() != reflect.Slice {
			continue
		}
		for k := range f.Len() {
			out = append(out, strings.TrimSpace("event "+strings.ToLower(v.Type().Field(i).Name)+" "+fields(f.Index(k))))
		}
	}
	return out
}

// fields writes the exported fields of a struct that are not zero; of a pointer, what it points to.
func fields(v reflect.Value) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return fmt.Sprint(v)
	}
	var out []string
	for i := range v.NumField() {
		f, t := v.Field(i), v.Type().Field(i)
		switch {
		case !t.IsExported() || f.IsZero():
		case reflect.Indirect(f).Kind() == reflect.Struct:
			out = append(out, fields(f))
		default:
			out = append(out, fmt.Sprintf("%s=%v", t.Name, f))
		}
	}
	return strings.Join(out, " ")
}
