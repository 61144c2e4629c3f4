package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// Rule is what the sensor registry says of the sensors that Match names. What it leaves out is decided by the next rule that matches, then by the patterns, then by the
// sensor's name. Rules that name one sensor by site/asset/sensor come before those with wildcards; among either, the earlier comes first.
type Rule struct {
	Match       string               // site/asset/sensor; or a shell pattern on that, or on the sensor's name alone
	Kind        *Kind                // what it measures
	Position    *string              // what mates share; empty: none
	Axle        *int                 // axle or unit number, 0: none
	Side        *string              // left, right or empty
	Mate        *string              // the sensor of the same asset that it is compared with; empty: none; * stands for what the * of Match stands for
	Period      *time.Duration       // between readings; 0: learned
	Limits      map[string][]float64 // by the names of LimitFields: in place of those of the kind. Where Kind is given, for sensors of that kind only
	LimitsFrom  string               // who says so; empty: as for the kind
	Where       string               `json:"-"` // where the rule stands, for people: sensors.toml line 12
	LimitsWhere string               `json:"-"` // where its limits stand; empty: at Where
}

// LimitField is one entry of Limits: its name in configuration files, its unit, what it means, and how it is read and written.
type LimitField struct {
	Name, Unit, Meaning string
	Many                bool // a list, of any length; else one number
	Get                 func(*Limits) []float64
	Put                 func(*Limits, []float64)
}

// LimitFields are the entries of Limits, in order.
func LimitFields() []LimitField {
	return []LimitField{
		number("fail_low_c", "degC", "a reading below it has failed", func(l *Limits) *float64 { return &l.FailLow }),
		number("suspect_low_c", "degC", "a reading below it is suspect", func(l *Limits) *float64 { return &l.SuspectLow }),
		number("suspect_high_c", "degC", "a reading above it is suspect", func(l *Limits) *float64 { return &l.SuspectHigh }),
		number("fail_high_c", "degC", "a reading above it has failed", func(l *Limits) *float64 { return &l.FailHigh }),
		number("spike_k", "K", "the least distance from its neighbours that can be a spike", func(l *Limits) *float64 { return &l.SpikeK }),
		number("rate_k_per_min", "K/min", "faster for a sixth of a window is not physical", func(l *Limits) *float64 { return &l.RateKPerMin }),
		{Name: "sentinels_c", Unit: "degC", Meaning: "what the device says instead of a temperature; it fails where it stands out from its neighbours", Many: true,
			Get: func(l *Limits) []float64 { return l.Sentinels }, Put: func(l *Limits, v []float64) { l.Sentinels = v }},
		number("tau_min", "min", "thermal time constant of the component", func(l *Limits) *float64 { return &l.TauMin }),
		number("hop_s", "s", "the time between the starts of two windows; 0: as --hop says", func(l *Limits) *float64 { return &l.HopS }),
	}
}

func number(name, unit, meaning string, of func(*Limits) *float64) LimitField {
	return LimitField{Name: name, Unit: unit, Meaning: meaning,
		Get: func(l *Limits) []float64 { return []float64{*of(l)} },
		Put: func(l *Limits, v []float64) { *of(l) = v[0] },
	}
}

// Text writes the entry's value: 200, or [-127 85].
func (f *LimitField) Text(l *Limits) string { return f.text(f.Get(l)) }

func (f *LimitField) text(v []float64) string {
	if f.Many {
		return fmt.Sprint(v)
	}
	return fmt.Sprint(v[0])
}

// Set puts entries in place by their names, and source where it is not empty.
func (l *Limits) Set(entries map[string][]float64, source string) error {
	fields := LimitFields()
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		i := slices.IndexFunc(fields, func(f LimitField) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no limit %q; the limits are %s", name, limitNames())
		}
		v := entries[name]
		if len(v) != 1 && !fields[i].Many {
			return fmt.Errorf("the limit %s must be one number, not %d", name, len(v))
		}
		if x, bad := notFinite(v); bad {
			return fmt.Errorf("the limit %s must be a number, not %v", name, x)
		}
		fields[i].Put(l, slices.Clone(v))
	}
	if source != "" {
		l.Source = source
	}
	return nil
}

func notFinite(v []float64) (x float64, bad bool) {
	i := slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
	if i < 0 {
		return 0, false
	}
	return v[i], true
}

func limitNames() string {
	var names []string
	for _, f := range LimitFields() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// Digest is the SHA-256, in 64 hex digits, of all that decides what becomes of readings: two databases fed the same readings under one digest hold the same. Where a rule
// stands is not part of it.
func (c *Config) Digest() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Exact says whether the rule names one sensor.
func (r *Rule) Exact() bool {
	return strings.Count(r.Match, "/") == 2 && !strings.ContainsAny(r.Match, wildcards)
}

const wildcards = `*?[]\`

// check gives one sentence for each thing that is wrong with the rule.
func (r *Rule) check(c *Config) (errs []error) {
	bad := func(format string, args ...any) {
		err := fmt.Errorf(format, args...)
		if r.Where != "" {
			err = fmt.Errorf("%s: %w", r.Where, err)
		}
		errs = append(errs, err)
	}
	if fault := matchFault(r.Match); fault != "" {
		bad("the match %q %s", r.Match, fault)
		return errs
	}
	if r.Kind != nil && *r.Kind > Transformer {
		bad("the kind %d is not known", *r.Kind)
		return errs
	}
	if r.Position != nil && *r.Position != "" && !ValidName(*r.Position) {
		bad("the position %q must be 1 to 64 characters of A-Z a-z 0-9 . _ -, or empty", *r.Position)
	}
	if r.Axle != nil && (*r.Axle < 0 || *r.Axle > 99_999) {
		bad("the axle must be between 0 and 99999, not %d", *r.Axle)
	}
	if r.Side != nil && *r.Side != "" && *r.Side != "left" && *r.Side != "right" {
		bad("the side must be left, right or empty, not %q", *r.Side)
	}
	if r.Period != nil && (*r.Period < 0 || *r.Period != 0 && *r.Period < time.Millisecond || r.Period.Milliseconds() > maxPeriod) {
		bad("the period must be between 1ms and 24h, or 0 to be learned, not %s", *r.Period)
	}
	if fault := r.mateFault(); fault != "" {
		bad("the mate %q %s", *r.Mate, fault)
	}
	if err := r.limitsFault(c); err != nil {
		if r.LimitsWhere != "" {
			r = &Rule{Where: r.LimitsWhere}
		}
		bad("%w", err)
	}
	return errs
}

// matchFault says what keeps a match from ever naming a sensor; empty when nothing does.
func matchFault(match string) string {
	if _, err := path.Match(match, "x"); err != nil {
		return "is not a shell pattern"
	}
	parts := strings.Split(match, "/")
	if len(parts) != 1 && len(parts) != 3 {
		return "must be a sensor's name or site/asset/sensor, each of which may have wildcards"
	}
	for _, p := range parts {
		if p == "" {
			return "has an empty name in it"
		}
		literal := strings.Map(func(r rune) rune {
			if strings.ContainsRune(wildcards+"^", r) {
				return 'x'
			}
			return r
		}, p)
		if len(p) <= 64 && !ValidName(literal) {
			return "can name no sensor: names are 1 to 64 characters of A-Z a-z 0-9 . _ -"
		}
		if !strings.ContainsAny(p, wildcards) && len(p) > 64 {
			return "can name no sensor: a name has at most 64 characters"
		}
	}
	return ""
}

func (r *Rule) mateFault() string {
	if r.Mate == nil || *r.Mate == "" {
		return ""
	}
	sensor := lastPart(r.Match)
	switch star := strings.Count(*r.Mate, "*"); {
	case !ValidName(strings.ReplaceAll(*r.Mate, "*", "x")):
		return "must be the name of a sensor of the same asset, without site and asset"
	case star > 1:
		return "may have one *"
	case star == 1 && (strings.Count(sensor, "*") != 1 || strings.ContainsAny(sensor, `?[]\`)):
		return "has a *, which stands for what the one * in the sensor's part of match stands for, and match must have that and no other wildcard there"
	case *r.Mate == sensor:
		return "is the sensor itself"
	}
	return ""
}

// limitsFault asks whether the rule's limits make sense in the place of those of every kind that they may meet.
func (r *Rule) limitsFault(c *Config) error {
	if len(r.Limits) == 0 {
		return nil
	}
	for k := Other; k <= Transformer; k++ {
		l, known := c.Kinds[k]
		if !known || r.Kind != nil && *r.Kind != k {
			continue
		}
		if err := l.Set(r.Limits, r.LimitsFrom); err != nil {
			return err
		}
		alone := *c
		alone.Rules, alone.Patterns, alone.Kinds = nil, nil, maps.Clone(c.Kinds)
		alone.Kinds[k] = l
		if err := alone.Validate(); err != nil && r.Kind == nil {
			return fmt.Errorf("its limits meet sensors of every kind, say which with kind: %w", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkRules gives one sentence for each thing that is wrong with the rules.
func (c *Config) checkRules() (errs []error) {
	seen := map[string]*Rule{}
	for i := range c.Rules {
		r := &c.Rules[i]
		errs = append(errs, r.check(c)...)
		if first := seen[r.Match]; first != nil {
			err := fmt.Errorf("the match %q is there twice", r.Match)
			if r.Where != "" {
				err = fmt.Errorf("%s: the match %q is there already: %s", r.Where, r.Match, first.Where)
			}
			errs = append(errs, err)
			continue
		}
		seen[r.Match] = r
	}
	return errs
}

// checkFinite says which limit of a kind is no number.
func (c *Config) checkFinite() error {
	var errs []error
	for k := Other; k <= Transformer; k++ {
		l := c.Kinds[k]
		for _, f := range LimitFields() {
			if v, bad := notFinite(f.Get(&l)); bad {
				errs = append(errs, fmt.Errorf("the limit %s of kind %s must be a number, not %v", f.Name, k, v))
			}
		}
	}
	return errors.Join(errs...)
}

// lastPart is the sensor's part of a match.
func lastPart(match string) string { return match[strings.LastIndexByte(match, '/')+1:] }

// Values gives the entries by their names: a float64 each, or a []float64 for a list.
func (l *Limits) Values() map[string]any {
	out := map[string]any{}
	for _, f := range LimitFields() {
		if v := f.Get(l); f.Many {
			out[f.Name] = v
		} else {
			out[f.Name] = v[0]
		}
	}
	return out
}
