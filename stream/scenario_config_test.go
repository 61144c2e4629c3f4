package stream_test

import (
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// settings are the configuration lines of a scenario by their first word.
var settings = map[string]func(c *words){
	"day": func(c *words) {
		at, err := time.Parse(time.DateOnly, c.next("a date"))
		if c.err == nil && err != nil {
			c.fail("%q is not a date such as 2024-03-04", c.list[1])
		}
		c.s.day = at.UnixMilli()
		c.s.origin = c.s.day
	},
	"origin":   func(c *words) { c.s.origin = c.time() },
	"site":     func(c *words) { c.s.site = c.level() },
	"asset":    func(c *words) { c.s.asset = c.level() },
	"window":   func(c *words) { c.s.cfg.Window = c.duration() },
	"disorder": func(c *words) { c.s.cfg.Disorder = c.duration() },
	"idle":     func(c *words) { c.s.cfg.Idle = c.duration() },
	"future":   func(c *words) { c.s.cfg.FutureAfter = c.duration() },
	"too_old":  func(c *words) { c.s.cfg.TooOld = c.duration() },
	"history":  func(c *words) { c.s.cfg.HistoryAfter = c.duration() },
	"lateness": func(c *words) { c.set("Lateness") },
	"silent":   func(c *words) { c.s.cfg.SilentAfter = c.duration() },
	"failsafe": func(c *words) { c.s.cfg.FailShare = c.number() },
	"clocks":   func(c *words) { c.s.clocks = true },
	"hop":      func(c *words) { c.set("Hop") },
	"kind":     func(c *words) { c.kind(&c.s.cfg) },
	"sensor":   func(c *words) { c.pattern(&c.s.cfg) },
	"watermarks": func(c *words) {
		c.must("explicit")
		c.s.explicit = true
	},
}

// level reads one level of a topic.
func (c *words) level() string {
	name := c.next("a name")
	if c.err == nil && !stream.ValidName(name) {
		c.fail("%q is not a name", name)
	}
	return name
}

// set sets a duration that not every engine has.
func (c *words) set(field string) {
	d := c.duration()
	f := reflect.ValueOf(&c.s.cfg).Elem().FieldByName(field)
	if !f.IsValid() || f.Type() != reflect.TypeFor[time.Duration]() {
		c.fail("this engine has no %s", strings.ToLower(field))
		return
	}
	f.SetInt(int64(d))
}

// kind reads the limits of a kind: fail LOW HIGH, suspect LOW HIGH, spike K, rate K/min, tau MINUTES.
func (c *words) kind(cfg *stream.Config) {
	k, err := stream.ParseKind(c.next("a kind"))
	if c.err == nil && err != nil {
		c.fail("%v", err)
	}
	l := cfg.Kinds[k]
	for c.err == nil && c.peek() != "" {
		switch {
		case c.take("fail"):
			l.FailLow, l.FailHigh = c.number(), c.number()
		case c.take("suspect"):
			l.SuspectLow, l.SuspectHigh = c.number(), c.number()
		case c.take("spike"):
			l.SpikeK = c.number()
		case c.take("rate"):
			l.RateKPerMin = c.number()
		case c.take("tau"):
			l.TauMin = c.number()
		case c.take("hop"):
			l.HopS = c.duration().Seconds()
		default:
			c.fail("%q is not a limit: fail, suspect, spike, rate, tau and hop are", c.peek())
		}
	}
	cfg.Kinds[k] = l
}

// pattern reads: sensor PATTERN kind KIND period 10s. The first line that matches a sensor counts; all stand before the usual names.
func (c *words) pattern(cfg *stream.Config) {
	p := stream.Pattern{Match: c.next("a pattern")}
	for c.err == nil && c.peek() != "" {
		switch {
		case c.take("kind"):
			k, err := stream.ParseKind(c.next("a kind"))
			if c.err == nil && err != nil {
				c.fail("%v", err)
			}
			p.Kind = k
		case c.take("period"):
			p.Period = c.duration()
		default:
			c.fail("%q is not understood here: kind and period are", c.peek())
		}
	}
	usual := len(cfg.Patterns) - len(stream.DefaultPatterns())
	all := append([]stream.Pattern{}, cfg.Patterns[:usual]...)
	cfg.Patterns = append(append(all, p), stream.DefaultPatterns()...)
}

// now reads what changes while the platform runs: a sensor line, which comes before those above it, or a kind line.
func (c *words) now() {
	word, from := c.next("sensor or kind"), c.at
	if c.err == nil && word != "sensor" && word != "kind" {
		c.fail("%q cannot change while the platform runs: sensor and kind can", word)
		return
	}
	scratch := stream.Config{Kinds: map[stream.Kind]stream.Limits{}} // read once for its mistakes; what it changes is known when its turn comes
	read := func(c *words, cfg *stream.Config) {
		if c.at = from; word == "kind" {
			c.kind(cfg)
			return
		}
		before := cfg.Patterns
		cfg.Patterns = stream.DefaultPatterns()
		c.pattern(cfg)
		cfg.Patterns = append(cfg.Patterns[:1:1], before...)
	}
	read(c, &scratch)
	again := *c
	c.do(reconfigure{func(cfg *stream.Config) { read(&again, cfg) }})
}

// reconfigure puts another registry in force without a restart.
type reconfigure struct{ change func(*stream.Config) }

func (s reconfigure) run(p *play) {
	cfg := p.d.cfg
	cfg.Kinds = maps.Clone(cfg.Kinds)
	s.change(&cfg)
	if err := p.w.Configure(cfg); err != nil {
		p.problem(p.line, "%v", err)
		return
	}
	p.d.cfg = cfg
}

// stepByStep makes the platform a plain window engine, for suites of other engines: watermarks move by steps alone, because the disorder spans all that is sent; windows keep
// their length, because every sensor has a period; no value is implausible.
func (s *scenario) stepByStep() {
	span := time.Duration(max(0, s.high-s.low)+1) * time.Millisecond
	s.cfg.Disorder = span + s.cfg.Window
	if f := reflect.ValueOf(&s.cfg).Elem().FieldByName("Lateness"); f.IsValid() {
		f.SetInt(f.Int() + int64(s.cfg.Disorder)) // it is counted from the newest reading, and that is the watermark and the disorder
	}
	s.cfg.Patterns = []stream.Pattern{{Match: "*", Period: time.Millisecond}}
	wide := stream.Limits{FailLow: -1e12, FailHigh: 1e12, SuspectLow: -1e12, SuspectHigh: 1e12, SpikeK: 1e12, RateKPerMin: 1e12, TauMin: 1, Source: "a suite's values mean nothing"}
	for k := range s.cfg.Kinds {
		s.cfg.Kinds[k] = wide
	}
}
