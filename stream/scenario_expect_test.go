package stream_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
)

// expectation is a step that asks instead of doing something.
type expectation interface {
	step
	asks()
}

// question is an expectation with its line.
type question struct {
	line int
	ask  func(p *play, line int)
}

func (q question) run(p *play) { q.ask(p, q.line) }
func (question) asks()         {}

func (c *words) ask(f func(p *play, line int)) { c.do(question{c.line, f}) }

// expectation reads what stands after expect.
func (c *words) expectation() {
	count := 1
	if w := c.peek(); w != "" && strings.Trim(w, "0123456789") == "" {
		count = int(c.integer())
		if c.err == nil && (count < 1 || count > maxSent) {
			c.fail("%d of something cannot be expected", count)
		}
	}
	switch word := strings.TrimSuffix(c.next("what is expected"), "s"); {
	case word == "window":
		c.expectWindows(count)
	case word == "late" || word == "refused" || word == "conflict" || word == "duplicate":
		c.expectReading(word, count)
	case word == "event":
		c.expectEvent(count)
	case news[word]:
		c.at--
		c.expectEvent(count)
	case count != 1:
		c.fail("%q cannot be counted", word)
	case word == "nothing":
		c.take("more")
		c.ask(func(p *play, line int) {
			for _, o := range p.out {
				if !p.ignores(&o) {
					p.problem(line, "nothing is expected, and came: %s", o.text)
				}
			}
			p.out = nil
		})
	case word == "count":
		c.expectCount()
	case word == "sensor":
		c.expectSensor()
	case word == "watermark":
		c.expectWatermark()
	default:
		c.fail("%q is no word after expect", word)
	}
}

// expectReading reads: late NAME TIME, refused REASON NAME TIME, conflict NAME TIME, duplicate. Name and time may be left out, the time also for several.
func (c *words) expectReading(word string, count int) {
	like := output{what: word}
	switch word {
	case "refused":
		like.reason = stream.Reason(c.next("a reason"))
		if c.err == nil && !messageReasons[like.reason] {
			c.fail("%q is no reason for a reading", like.reason)
		}
	case "conflict":
		like.what, like.reason = "refused", stream.Conflict
	case "late":
		like.reason = stream.Late
	case "duplicate":
		like.what = "duplicates"
	}
	timed := false
	if w := c.peek(); w != "" && word != "duplicate" {
		c.take("of")
		like.name = c.name()
		if timed = c.peek() != ""; timed {
			like.ts = c.time()
		}
	}
	c.ask(func(p *play, line int) {
		found := 0
		p.out = slices.DeleteFunc(p.out, func(o output) bool {
			if found == count || o.what != like.what || o.reason != like.reason || like.name != "" && o.name != like.name || timed && o.ts != like.ts {
				return false
			}
			found++
			return true
		})
		if found < count {
			p.problem(line, "expected %d × %s, came %d; %s", count, p.describe(&like, timed), found, p.unmentioned())
		}
	})
}

var messageReasons = map[stream.Reason]bool{stream.TooLarge: true, stream.UnknownTopic: true, stream.BadName: true, stream.Malformed: true, stream.MissingField: true,
	stream.NotFinite: true, stream.BadTime: true, stream.Future: true, stream.TooOld: true, stream.Conflict: true}

func (p *play) describe(o *output, timed bool) string {
	out := strings.TrimSuffix(o.what, "s")
	if o.what == "refused" {
		out += " " + string(o.reason)
	}
	if o.name != "" {
		out += " " + p.short(o.name)
	}
	if timed {
		out += " " + p.clock(o.ts)
	}
	return out
}

// unmentioned says what came and was not spoken of so far.
func (p *play) unmentioned() string {
	if len(p.out) == 0 {
		return "nothing else came"
	}
	var out []string
	for _, o := range p.out[:min(len(p.out), maxNamed)] {
		out = append(out, o.text)
	}
	if more := len(p.out) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return "not mentioned so far:\n\t" + strings.Join(out, "\n\t")
}

// news are the events that have a word of their own.
var news = map[string]bool{"silent": true, "heard": true, "taken": true, "failsafe": true, "changed": true, "clock": true}

// expectEvent reads words that an event's text must have, in any order.
func (c *words) expectEvent(count int) {
	var want []string
	for c.err == nil && c.peek() != "" {
		want = append(want, strings.TrimPrefix(c.next("a word"), `"`))
	}
	if len(want) == 0 {
		c.fail("an event is expected by some words of it")
	}
	c.ask(func(p *play, line int) {
		found := 0
		p.out = slices.DeleteFunc(p.out, func(o output) bool {
			has := strings.Fields(o.text)
			if found == count || o.what != "events" || slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(has, w) }) {
				return false
			}
			found++
			return true
		})
		if found < count {
			p.problem(line, "expected %d × event %s, came %d; %s", count, strings.Join(want, " "), found, p.unmentioned())
		}
	})
}

// expectCount reads counters of the whole run so far: stored 60 duplicate 1 future 2 …
func (c *words) expectCount() {
	type line struct {
		name string
		want int64
	}
	var all []line
	for c.err == nil && c.peek() != "" {
		l := line{name: c.next("a counter")}
		switch l.name {
		case "received", "stored", "context", "duplicate", "late", "refused", "windows":
		default:
			if !messageReasons[stream.Reason(l.name)] {
				c.fail("%q is not a counter", l.name)
			}
		}
		l.want = c.integer()
		all = append(all, l)
	}
	if len(all) == 0 {
		c.fail("a counter is missing")
	}
	c.ask(func(p *play, line int) {
		for _, l := range all {
			if got := p.counter(l.name); got != l.want {
				p.problem(line, "%s is %d, expected %d", l.name, got, l.want)
			}
		}
	})
}

func (p *play) counter(name string) int64 {
	switch n := &p.d.count; name {
	case "received":
		return n.Received
	case "stored":
		return n.Stored
	case "context":
		return n.StoredContext
	case "duplicate":
		return n.Duplicate
	case "late":
		return n.Late
	case "refused":
		return n.Refused
	case "windows":
		return int64(len(p.d.windows))
	}
	return p.refused[stream.Reason(name)]
}

// expectSensor reads: sensor NAME kind bearing position axle3 axle 3 side left.
func (c *words) expectSensor() {
	name := c.name()
	want := map[string]string{}
	for c.err == nil && c.peek() != "" {
		key := c.next("a property")
		if !slices.Contains([]string{"kind", "position", "axle", "side"}, key) {
			c.fail("%q is not a property of a sensor: kind, position, axle and side are", key)
		}
		want[key] = c.next("a value")
	}
	c.ask(func(p *play, line int) {
		for _, s := range p.d.sensors {
			if fullName(s) != name {
				continue
			}
			got := map[string]string{"kind": s.Kind.String(), "position": s.Position, "axle": strconv.Itoa(s.Axle), "side": s.Side}
			for _, key := range []string{"kind", "position", "axle", "side"} {
				if w, asked := want[key]; asked && got[key] != w {
					p.problem(line, "the %s of %s is %q, expected %q", key, p.short(name), got[key], w)
				}
			}
			return
		}
		p.problem(line, "sensor %s is not known", p.short(name))
	})
}

// expectWatermark reads: watermark NAME TIME.
func (c *words) expectWatermark() {
	name, ts := c.name(), c.time()
	c.ask(func(p *play, line int) {
		part := strings.Split(name, "/")
		got, known := p.w.WatermarkOf(stream.TelemetryTopic(part[0], part[1], part[2]))
		if !known {
			p.problem(line, "%s has sent nothing and has no watermark", p.short(name))
		} else if got != ts {
			p.problem(line, "the watermark of %s is %s, expected %s", p.short(name), p.clock(got), p.clock(ts))
		}
	})
}

// agrees says whether a figure is what is expected; NaN is expected as none.
func agrees(got, want, within float64) bool {
	return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= within
}
