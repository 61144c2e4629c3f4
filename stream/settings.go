package stream

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// Registry is a configuration's rules, made ready to be asked: what is in force for a sensor, and which rule says so. It never changes, and may be asked by several
// goroutines at once.
type Registry struct {
	kinds  [Transformer + 1]*Limits
	exact  map[string]*Rule   // by site/asset/sensor
	mates  map[string]*Rule   // of rules that name one sensor as a mate: the mate, by site/asset/sensor
	rules  []matcher          // with wildcards, then patterns, in order
	limits map[ofKind]*Limits // of rules that have limits of their own
	named  []matcher          // of rules with wildcards that name a mate: the mates
}

type ofKind struct {
	rule *Rule
	kind Kind
}

// Settings are what is in force for a sensor.
type Settings struct {
	Kind     Kind
	Position string
	Axle     int
	Side     string
	Mate     *string       // the one that the rules name, empty for none; nil: the sensor at the same position on the other side
	Period   time.Duration // 0: learned
	Limits   *Limits       // not to be changed
	From     Origins
}

// Origins say which rule gave a setting: where it stands, "pattern axle*", "kind bearing", "name", "learned", "position" or "default".
type Origins struct {
	Kind     string `json:"kind"`
	Position string `json:"position"` // with axle and side
	Mate     string `json:"mate"`
	Period   string `json:"period"`
	Limits   string `json:"limits"`
}

// matcher is a rule with what decides whether it matches. Most do not, and their beginning tells that at once.
type matcher struct {
	*Rule
	pattern, begins string
	full            bool // it matches site/asset/sensor
}

func newMatcher(r *Rule, pattern string) matcher {
	begins := pattern
	if i := strings.IndexAny(pattern, wildcards); i >= 0 {
		begins = pattern[:i]
	}
	return matcher{r, pattern, begins, strings.Count(pattern, "/") == 2}
}

func (m *matcher) matches(full, sensor string) bool {
	if m.full {
		sensor = full
	}
	if !strings.HasPrefix(sensor, m.begins) {
		return false
	}
	ok, _ := path.Match(m.pattern, sensor)
	return ok
}

// NewRegistry makes a valid configuration's rules ready.
func NewRegistry(c *Config) *Registry {
	r := &Registry{exact: map[string]*Rule{}, mates: map[string]*Rule{}, limits: map[ofKind]*Limits{}}
	for k := range r.kinds {
		l := c.Kinds[Kind(k)]
		r.kinds[k] = &l
	}
	for i := range c.Rules {
		rule := c.Rules[i]
		r.add(&rule)
	}
	for i := range c.Patterns {
		p := c.Patterns[i]
		r.rules = append(r.rules, newMatcher(&Rule{Match: p.Match, Kind: &p.Kind, Period: &p.Period, Where: "pattern " + p.Match}, p.Match))
	}
	return r
}

func (r *Registry) add(rule *Rule) {
	rule.Where = cmp.Or(rule.Where, "rule "+rule.Match)
	for k := Other; k <= Transformer && len(rule.Limits) > 0; k++ {
		if rule.Kind == nil || *rule.Kind == k {
			l := *r.kinds[k]
			_ = l.Set(rule.Limits, rule.LimitsFrom) // Validate has set them before
			l.Where = cmp.Or(rule.LimitsWhere, rule.Where)
			r.limits[ofKind{rule, k}] = &l
		}
	}
	exact := rule.Exact()
	if exact {
		r.exact[rule.Match] = rule
	} else {
		r.rules = append(r.rules, newMatcher(rule, rule.Match))
	}
	if rule.Mate == nil || *rule.Mate == "" {
		return
	}
	before, sensor := rule.Match[:len(rule.Match)-len(lastPart(rule.Match))], lastPart(rule.Match)
	back := &Rule{Match: before + *rule.Mate, Mate: &sensor, Where: rule.Where}
	switch {
	case exact && r.mates[back.Match] == nil:
		r.mates[back.Match] = back
	case !exact && strings.Contains(sensor, "*") == strings.Contains(*rule.Mate, "*") && !strings.ContainsAny(sensor, `?[]\`):
		r.named = append(r.named, newMatcher(back, back.Match))
	}
}

// Resolve gives what is in force for a sensor.
func (r *Registry) Resolve(site, asset, sensor string) Settings {
	full := site + "/" + asset + "/" + sensor
	named := Sensor{Name: sensor}
	describe(&named)
	s := Settings{Kind: Other, Position: named.Position, Axle: named.Axle, Side: named.Side}
	var place, axle, side, limits bool
	var withLimits [8]*Rule
	own := withLimits[:0]
	take := func(rule *Rule) {
		if rule.Kind != nil && s.From.Kind == "" {
			s.Kind, s.From.Kind = *rule.Kind, rule.Where
		}
		if rule.Period != nil && s.From.Period == "" {
			s.Period, s.From.Period = *rule.Period, rule.Where
		}
		if rule.Mate != nil && s.From.Mate == "" {
			mate := mateOf(rule, sensor)
			s.Mate, s.From.Mate = &mate, rule.Where
		}
		if rule.Position != nil && !place {
			s.Position, place = *rule.Position, true
		}
		if rule.Axle != nil && !axle {
			s.Axle, axle = *rule.Axle, true
		}
		if rule.Side != nil && !side {
			s.Side, side = *rule.Side, true
		}
		if (rule.Position != nil || rule.Axle != nil || rule.Side != nil) && s.From.Position == "" {
			s.From.Position = rule.Where
		}
		if limits = limits || len(rule.Limits) > 0; len(rule.Limits) > 0 {
			own = append(own, rule)
		}
	}
	if rule := r.exact[full]; rule != nil {
		take(rule)
	}
	if rule := r.mates[full]; rule != nil {
		take(rule)
	}
	for _, rules := range [...][]matcher{r.rules, r.named} {
		for i := range rules {
			if m := &rules[i]; m.matches(full, sensor) {
				take(m.Rule)
			}
		}
	}
	s.Limits = r.kinds[s.Kind]
	if i := slices.IndexFunc(own, func(rule *Rule) bool { return r.limits[ofKind{rule, s.Kind}] != nil }); i >= 0 {
		s.Limits = r.limits[ofKind{own[i], s.Kind}]
	}
	s.origins()
	return s
}

// origins says where from what no rule gave comes.
func (s *Settings) origins() {
	f := &s.From
	if s.Period == 0 {
		f.Period = "learned"
	}
	f.Kind, f.Limits = cmp.Or(f.Kind, "default"), cmp.Or(s.Limits.Where, "kind "+s.Kind.String())
	if f.Position == "" && (s.Position != "" || s.Axle != 0) {
		f.Position = "name"
	}
	if f.Mate == "" && s.Position != "" {
		f.Mate = "position"
	}
}

// mateOf writes the mate that a rule names for a sensor that it matches: the * is what the * of the match stands for.
func mateOf(rule *Rule, sensor string) string {
	before, after, star := strings.Cut(*rule.Mate, "*")
	if !star {
		return *rule.Mate
	}
	begin, end, _ := strings.Cut(lastPart(rule.Match), "*")
	return before + sensor[len(begin):len(sensor)-len(end)] + after
}

// MateOf says whether another sensor of the asset is at the same position on the other side: its mate, where no rule names one.
func (s *Settings) MateOf(o *Settings) bool {
	return s.Position != "" && o.Position == s.Position && o.Side != s.Side
}
