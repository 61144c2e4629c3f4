package stream_test

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// scenario is a parsed scenario file: the configuration, then steps and what they are expected to bring.
type scenario struct {
	file        string
	site, asset string
	day, origin int64
	explicit    bool // watermarks move by steps alone
	cfg         stream.Config
	steps       []step
	readings    int      // how many readings all steps send
	low, high   int64    // their event times
	sources     []string // full names of the sensors that send, in order of first mention
	want        *windowWant
	clocks      bool // the advisory on clocks is told
}

// step is one line that does something.
type step interface{ run(p *play) }

// placed is a step with the line it stands on.
type placed struct {
	line int
	step
}

// maxSent bounds how many readings one scenario sends.
const maxSent = 500_000

// parseScenario reads a scenario. An error names the file and the line.
func parseScenario(file, text string) (*scenario, error) {
	s := &scenario{file: file, site: "douala", asset: "loco7", cfg: stream.DefaultConfig(), low: math.MaxInt64, high: math.MinInt64}
	s.cfg.HistoryAfter, s.cfg.Lateness, s.cfg.SilentAfter, s.cfg.FailShare = 0, 0, 0, 0
	s.day = time.Date(2024, 3, 4, 0, 0, 0, 0, time.UTC).UnixMilli()
	s.origin = s.day
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		c := &words{s: s, line: i + 1}
		if rest, raw := strings.CutPrefix(strings.TrimLeft(line, " \t"), "raw "); raw {
			c.raw(rest)
		} else if list, err := split(line); err != nil {
			c.fail("%v", err)
		} else if c.list = list; len(list) > 0 {
			c.statement()
			c.end()
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	if len(s.steps) == 0 {
		return nil, fmt.Errorf("%s:1: nothing happens in this scenario", file)
	}
	if err := s.finish(); err != nil {
		return nil, fmt.Errorf("%s:1: %w", file, err)
	}
	return s, nil
}

// finish sets what depends on the whole file, and checks the configuration.
func (s *scenario) finish() error {
	if s.explicit {
		s.stepByStep()
	}
	return s.cfg.Validate()
}

func (c *words) do(st step) { c.s.steps = append(c.s.steps, placed{c.line, st}) }

// statement reads one line.
func (c *words) statement() {
	word := c.peek()
	if set, known := settings[word]; known {
		if c.at++; len(c.s.steps) > 0 {
			c.fail("%s is configuration: it stands before the first step", word)
		}
		set(c)
		return
	}
	if word != "and" {
		c.s.want = nil
	}
	switch {
	case c.take("expect"):
		c.expectation()
	case c.take("and"):
		if c.s.want == nil {
			c.fail("and goes on with the expect window above, and there is none")
			return
		}
		c.attributes(c.s.want)
	case c.take("wait"):
		c.do(wait{c.duration()})
	case c.take("clock"):
		c.do(wall{c.time()})
	case c.take("restart"):
		if c.s.explicit {
			c.fail("a restart knows no explicit watermark")
		}
		c.do(restart{})
	case c.take("watermark"):
		if !c.s.explicit {
			c.fail("a watermark step needs the line: watermarks explicit")
		}
		w := watermark{ts: c.time()}
		if c.take("inclusive") {
			w.ts++
		}
		c.reach(w.ts)
		c.do(w)
	case c.take("alarm"):
		name := c.name()
		on := c.take("on")
		if !on {
			c.must("off")
		}
		c.do(alarm{name, on})
	case c.take("ignore"):
		c.ignore()
	case c.take("now"):
		c.now()
	case c.take("element"): // the order of other suites: key, time, value
		name := c.name()
		ts := c.time()
		c.send(sending{from: ts, to: ts, every: 1}, name)
	default:
		c.sending()
	}
}

// raw reads a message as it comes: a topic, then the payload to the end of the line.
func (c *words) raw(rest string) {
	topic, payload, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if topic == "" {
		c.fail("a topic is missing after raw")
	}
	if c.s.readings++; c.s.explicit {
		c.fail("raw does not go with explicit watermarks")
	}
	c.s.want = nil
	c.do(message{topic, payload})
}

func (c *words) ignore() {
	what := c.next("what to ignore")
	if !outputs[what] {
		c.fail("%q cannot be ignored: windows, late, refused, duplicates or events can", what)
	}
	i := ignored{what: what}
	if c.take("of") {
		if what == "duplicates" || what == "events" {
			c.fail("%s are not told apart by sensor", what)
		}
		i.name = c.name()
	}
	c.do(i)
}

// sending is readings of one or more sources, at one time or in even steps.
type sending struct {
	from, to, every int64 // both inclusive, ms
	live            bool  // monotonic time passes with each step
	batched         bool  // one message a source
	sources         []sender
}

type sender struct {
	name, topic string
	context     bool
	temp        series
	has         stream.Fields
	ambient     series
	speed       series
	load        series
	brake       series
	seq         int64
}

func (c *words) sending() {
	s := sending{every: 1}
	for {
		if c.take("live") {
			s.live = true
		} else if c.take("batched") {
			s.batched = true
		} else {
			break
		}
	}
	if c.take("every") {
		if s.every = c.duration().Milliseconds(); s.every <= 0 {
			c.fail("a step must be at least 1ms")
		}
		c.must("from")
		s.from = c.time()
		c.must("to")
		if s.to = c.time(); s.to < s.from {
			c.fail("the end comes before the beginning")
		}
	} else {
		if w := c.peek(); w == "" || strings.IndexByte("+-0123456789", w[0]) < 0 {
			c.fail("%q is no word of a scenario", w)
		}
		s.from = c.time()
		s.to = s.from
	}
	c.send(s, "")
}

// send reads the sources of a sending; name is the first one's, when it is read already.
func (c *words) send(s sending, name string) {
	for c.err == nil {
		if name == "" {
			name = c.name()
		}
		s.sources = append(s.sources, c.sender(name))
		if name = ""; !c.take(",") {
			break
		}
	}
	if c.err != nil {
		return
	}
	n := ((s.to-s.from)/s.every + 1) * int64(len(s.sources))
	if c.s.readings += int(min(n, maxSent+1)); c.s.readings > maxSent {
		c.fail("a scenario sends at most %d readings", maxSent)
		return
	}
	c.reach(s.from)
	c.reach(s.to)
	c.do(s)
}

// reach notes how far the times of the scenario go.
func (c *words) reach(ts int64) { c.s.low, c.s.high = min(c.s.low, ts), max(c.s.high, ts) }

// sender reads one source: its name is known, its values and conditions follow. A source called context is the asset's context.
func (c *words) sender(name string) sender {
	part := strings.Split(name, "/")
	s := sender{name: name, context: part[2] == "context"}
	if s.context {
		s.topic = stream.ContextTopic(part[0], part[1])
	} else {
		s.topic = stream.TelemetryTopic(part[0], part[1], part[2])
		s.temp = c.series()
		c.s.mention(name)
	}
	if s.context && c.s.explicit {
		c.fail("a context does not go with explicit watermarks")
	}
	for c.condition(&s) {
	}
	if s.context && s.has&^stream.HasSeq == 0 {
		c.fail("a context needs one of ambient, speed, load, brake")
	}
	return s
}

func (s *scenario) mention(name string) {
	for _, n := range s.sources {
		if n == name {
			return
		}
	}
	s.sources = append(s.sources, name)
}

func (c *words) condition(s *sender) bool {
	var field stream.Fields
	into := &s.ambient
	switch word := c.peek(); word {
	case "ambient":
		field = stream.HasAmbient
	case "speed":
		field, into = stream.HasSpeed, &s.speed
	case "load":
		field, into = stream.HasLoad, &s.load
	case "brake":
		field, into = stream.HasBrake, &s.brake
	case "seq":
		field = stream.HasSeq
	default:
		return false
	}
	if s.has&field != 0 {
		c.fail("%q comes twice", c.peek())
	}
	s.has |= field
	c.at++
	if field == stream.HasSeq {
		s.seq = c.integer()
		return c.err == nil
	}
	*into = c.series()
	if field == stream.HasBrake {
		for _, v := range into.values {
			if v != 0 && v != 1000 || into.ramp {
				c.fail("brake is 0 or 1, or these in turn")
			}
		}
	}
	return c.err == nil
}
