package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// ruleSettings replaces limits of one rule of a kind, or makes a rule that the kind has not by default; what is left out keeps its default.
type ruleSettings struct {
	Watch    *float64       `toml:"watch"` // 0: the rule never says watch; the same of the others
	Alarm    *float64       `toml:"alarm"`
	Critical *float64       `toml:"critical"`
	Deadband *float64       `toml:"deadband"`
	Unbraked *time.Duration `toml:"unbraked"`
	Steady   *time.Duration `toml:"steady"`
	Source   string         `toml:"source"` // who says so: a limit without one is refused
	Off      bool           `toml:"off"`
}

// applyRules moves the tables [rules.<kind>.<rule>] into the default profile.
func (s *settings) applyRules() (model.Rules, error) {
	rules := model.DefaultRules()
	for _, name := range slices.Sorted(maps.Keys(s.Rules)) {
		kind, err := stream.ParseKind(name)
		if err == nil && kind == stream.Other {
			err = fmt.Errorf("kind %s has no rules: nothing is known of it", name)
		}
		if err != nil {
			return rules, fmt.Errorf("config file %s: table rules: %w", s.path, err)
		}
		for _, rule := range slices.Sorted(maps.Keys(s.Rules[name])) {
			if err := s.Rules[name][rule].apply(&rules, kind, rule); err != nil {
				return rules, fmt.Errorf("config file %s: table rules.%s.%s: %w", s.path, name, rule, err)
			}
		}
	}
	if err := rules.Validate(); err != nil {
		return rules, fmt.Errorf("config file %s: %w", s.path, err)
	}
	return rules, nil
}

func (r *ruleSettings) apply(rules *model.Rules, kind stream.Kind, rule string) error {
	if !slices.Contains(model.RuleNames(), rule) {
		return fmt.Errorf("there is no such rule; the rules are %s", strings.Join(model.RuleNames(), ", "))
	}
	l, _ := rules.Limit(kind, rule)
	l.Rule = rule
	given := r.Source != ""
	for _, f := range []struct{ from, to *float64 }{{r.Watch, &l.Watch}, {r.Alarm, &l.Alarm}, {r.Critical, &l.Critical}, {r.Deadband, &l.Deadband}} {
		if f.from != nil {
			*f.to, given = *f.from, true
		}
	}
	for _, f := range []struct{ from, to *time.Duration }{{r.Unbraked, &l.Unbraked}, {r.Steady, &l.Steady}} {
		if f.from != nil {
			*f.to, given = *f.from, true
		}
	}
	switch {
	case r.Off && given:
		return errors.New("it is switched off and given limits: one of them is a mistake")
	case r.Off:
		rules.Drop(kind, rule)
		return nil
	case r.Source == "":
		return errors.New("a limit needs its source: who says so")
	}
	l.Source = r.Source
	rules.Set(kind, l)
	return nil
}
