package stream_test

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/camrail/cidp/stream"
)

// windowWant is what a line expects of one window, or of several of a sensor.
type windowWant struct {
	name       string
	exact      bool // start and end are given
	start, end int64
	count      int
	revision   int64
	flags      []stream.Flagged
	flagged    bool // flags are spoken of: these and no others
	checks     []check
}

// check compares one attribute of a window and says how it differs; empty when it does not.
type check func(p *play, o *output) string

// expectWindows reads: window NAME [START, END) attributes, or several: 5 windows of NAME attributes.
func (c *words) expectWindows(count int) {
	w := &windowWant{count: count}
	c.take("of")
	w.name = c.name()
	if c.take("[") {
		w.exact = true
		w.start = c.time()
		c.must(",")
		w.end = c.time()
		c.must(")")
		if c.err == nil && w.end <= w.start {
			c.fail("a window ends after it begins")
		}
		if count != 1 {
			c.fail("a window comes once a revision: give the revision instead")
		}
	}
	c.attributes(w)
	c.s.want = w
	c.ask(w.ask)
}

// attributes reads what a window is expected to be, to the end of the line.
func (c *words) attributes(w *windowWant) {
	for c.err == nil && c.peek() != "" {
		c.attribute(w)
	}
}

func (c *words) attribute(w *windowWant) {
	switch word := c.next("an attribute"); word {
	case "n":
		w.number("n", c.integer(), func(x *stream.Window) int64 { return int64(x.N) })
		if c.take("of") {
			w.number("expected readings", c.integer(), func(x *stream.Window) int64 { return int64(x.Expected) })
		}
	case "valid":
		w.reasons(nil)
	case "quarantined":
		var reasons []string
		for windowReasons[stream.Reason(c.peek())] {
			reasons = append(reasons, c.next("a reason"))
		}
		if len(reasons) == 0 {
			c.fail("quarantined for what? %q is no reason of a window", c.peek())
		}
		w.reasons(reasons)
	case "by":
		by := c.next("what closed it")
		if c.err == nil && by != string(stream.ByWatermark) && by != string(stream.ByMedian) && by != string(stream.ByIdle) && by != string(stream.ByLate) {
			c.fail("a window is closed by watermark, median, idle or late, not by %q", by)
		}
		w.text("closed by", by, func(o *output) string { return string(o.window.ClosedBy) })
	case "revision":
		w.revision = c.integer()
	case "period":
		w.number("the period in ms", c.duration().Milliseconds(), func(x *stream.Window) int64 { return x.PeriodMs })
	case "flag":
		c.flags(w)
	case "live", "history":
		w.text("its news", word, func(o *output) string { return map[bool]string{true: "live", false: "history"}[o.window.Live] })
	case "detail":
		text, quoted := strings.CutPrefix(c.next("a text"), `"`)
		if !quoted {
			c.fail("the detail is a text in double quotes")
		}
		w.checks = append(w.checks, func(_ *play, o *output) string {
			if strings.Contains(o.window.Detail, text) {
				return ""
			}
			return fmt.Sprintf("the detail is %q, expected %q in it", o.window.Detail, text)
		})
	default:
		c.figure(w, word)
	}
}

// flags reads: flag none, or flag NUMBER at TIME, and more times.
func (c *words) flags(w *windowWant) {
	w.flagged = true
	if c.take("none") {
		return
	}
	n := c.integer()
	if c.err == nil && !slices.Contains([]int64{2, 3, 4, 9}, n) {
		c.fail("%d is not the flag of a reading that is not good: 2 not evaluated, 3 suspect, 4 fail, 9 missing", n)
	}
	c.must("at")
	for c.err == nil {
		w.flags = append(w.flags, stream.Flagged{TS: c.time(), Flag: stream.Flag(n)})
		if _, more := c.s.parseTime(c.peek()); !more || !strings.Contains(c.peek(), ":") && !strings.ContainsAny(c.peek()[:1], "+-") {
			return
		}
	}
}

var windowReasons = map[stream.Reason]bool{stream.Incomplete: true, stream.Gap: true, stream.OutOfRange: true, stream.Flatline: true, stream.Spikes: true,
	stream.RateOfChange: true, "peer_disagreement": true, "sensor_drift": true, "fouling": true, "swapped": true, "failsafe_open": true}

// figure reads a feature, or the first reading or the sum of all, with a tolerance: mean 40.3 +- 0.05. none: its input is missing.
func (c *words) figure(w *windowWant, name string) {
	position := -2
	switch name {
	case "first", "sum":
		position = -1
	default:
		for i, f := range stream.FeatureList {
			if f.Name == name || f.Name == name+"_c" {
				position = i
			}
		}
	}
	if position == -2 {
		c.fail("%q is not an attribute of a window", name)
		return
	}
	want, within := math.NaN(), 0.001
	if !c.take("none") {
		want = c.number()
	}
	if c.take("+-") || c.take("±") {
		within = c.number()
	}
	w.checks = append(w.checks, func(_ *play, o *output) string {
		var got float64
		switch {
		case position >= 0:
			got = o.window.Features[position]
		case name == "first":
			got = o.first.Float()
		default:
			got = o.sum.Float()
		}
		if agrees(got, want, within+1e-9) {
			return ""
		}
		return fmt.Sprintf("%s is %s, expected %s +- %g", name, figureText(got), figureText(want), within)
	})
}

func figureText(v float64) string {
	if math.IsNaN(v) {
		return "none"
	}
	return fmt.Sprintf("%.6g", v)
}

func (w *windowWant) number(what string, want int64, of func(*stream.Window) int64) {
	w.checks = append(w.checks, func(_ *play, o *output) string {
		if got := of(o.window); got != want {
			return fmt.Sprintf("%s is %d, expected %d", what, got, want)
		}
		return ""
	})
}

func (w *windowWant) text(what, want string, of func(*output) string) {
	w.checks = append(w.checks, func(_ *play, o *output) string {
		if got := of(o); got != want {
			return fmt.Sprintf("%s is %s, expected %s", what, got, want)
		}
		return ""
	})
}

func (w *windowWant) reasons(want []string) {
	w.text("the verdict", verdict(want), func(o *output) string {
		var got []string
		for _, r := range o.window.Reasons {
			got = append(got, string(r))
		}
		return verdict(got)
	})
}

func verdict(reasons []string) string {
	if len(reasons) == 0 {
		return "valid"
	}
	return "quarantined " + strings.Join(slices.Sorted(slices.Values(reasons)), " ")
}

// ask finds the windows among what came, and compares them.
func (w *windowWant) ask(p *play, line int) {
	for n := range w.count {
		i := slices.IndexFunc(p.out, w.is)
		if i < 0 {
			p.problem(line, "expected %s, it did not come%s; %s", w.told(p), map[bool]string{true: fmt.Sprintf(" (%d did)", n)}[n > 0], p.unmentioned())
			return
		}
		o := p.out[i]
		p.out = slices.Delete(p.out, i, i+1)
		for _, differs := range w.checks {
			if text := differs(p, &o); text != "" {
				p.problem(line, "window %s [%s, %s): %s\n\tcame: %s", p.short(o.name), p.clock(o.window.Start), p.clock(o.window.End), text, o.text)
			}
		}
		if w.flagged && !slices.Equal(o.window.Flagged, sorted(w.flags)) {
			p.problem(line, "window %s [%s, %s): flags are %s, expected %s", p.short(o.name), p.clock(o.window.Start), p.clock(o.window.End),
				p.tellFlags(o.window.Flagged), p.tellFlags(sorted(w.flags)))
		}
	}
}

func (w *windowWant) is(o output) bool {
	return o.what == "windows" && o.name == w.name && (!w.exact || o.window.Start == w.start && o.window.End == w.end) && int64(o.window.Revision) == w.revision
}

func (w *windowWant) told(p *play) string {
	out := fmt.Sprintf("%d windows of %s", w.count, p.short(w.name))
	if w.exact {
		out = fmt.Sprintf("window %s [%s, %s)", p.short(w.name), p.clock(w.start), p.clock(w.end))
	}
	if w.revision > 0 {
		out += fmt.Sprintf(" revision %d", w.revision)
	}
	return out
}

func sorted(flags []stream.Flagged) []stream.Flagged {
	out := slices.Clone(flags)
	slices.SortFunc(out, func(a, b stream.Flagged) int { return int(a.TS - b.TS) })
	return out
}

func (p *play) tellFlags(flags []stream.Flagged) string {
	if len(flags) == 0 {
		return "none"
	}
	var out []string
	for _, f := range flags {
		out = append(out, fmt.Sprintf("%d at %s", f.Flag, p.clock(f.TS)))
	}
	return strings.Join(out, ", ")
}

// tellWindow writes a window as a scenario would expect it.
func (p *play) tellWindow(w *stream.Window) string {
	reasons := make([]string, len(w.Reasons))
	for i, r := range w.Reasons {
		reasons[i] = string(r)
	}
	out := fmt.Sprintf("%s [%s, %s) n %d of %d %s by %s mean %s", p.short(fullName(w.Sensor)), p.clock(w.Start), p.clock(w.End), w.N, w.Expected, verdict(reasons),
		w.ClosedBy, figureText(w.Features[stream.FMean]))
	if w.Revision > 0 {
		out += fmt.Sprintf(" revision %d", w.Revision)
	}
	if w.Detail != "" {
		out += fmt.Sprintf(" (%s)", w.Detail)
	}
	return out
}
