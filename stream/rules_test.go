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

func ptr[T any](v T) *T { return &v }

// withRules is the default configuration with rules, which must be valid.
func withRules(t testing.TB, rules ...stream.Rule) *stream.Config {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Rules = rules
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return &cfg
}

func TestResolve(t *testing.T) {
	bearing := ptr(stream.Bearing)
	for _, test := range []struct {
		what, sensor string // of loco-7 in douala
		rules        []stream.Rule
		want         string // kind position/axle/side mate period fail_high_c
		from         stream.Origins
	}{
		{what: "a usual name", sensor: "axle3-left", want: "bearing axle3/3/left auto 0s 250",
			from: stream.Origins{Kind: "pattern axle*", Position: "name", Mate: "position", Period: "learned", Limits: "kind bearing"}},
		{what: "an unknown name", sensor: "oil", want: "other /0/ auto 0s 1000",
			from: stream.Origins{Kind: "default", Period: "learned", Limits: "kind other"}},
		{what: "what a rule leaves out is decided by the next", sensor: "axle3-left", want: "bearing axle3/3/left auto 10s 250",
			rules: []stream.Rule{{Match: "axle*", Period: ptr(10 * time.Second), Where: "f line 1"}},
			from:  stream.Origins{Kind: "pattern axle*", Position: "name", Mate: "position", Period: "f line 1", Limits: "kind bearing"}},
		{what: "exact before pattern, though later", sensor: "oil", want: "motor /0/ auto 0s 350",
			rules: []stream.Rule{{Match: "douala/*/oil", Kind: bearing}, {Match: "douala/loco-7/oil", Kind: ptr(stream.Motor), Where: "f line 2"}},
			from:  stream.Origins{Kind: "f line 2", Period: "learned", Limits: "kind motor"}},
		{what: "earlier before later", sensor: "oil", want: "bearing /0/ auto 5s 250",
			rules: []stream.Rule{{Match: "o*", Kind: bearing}, {Match: "*", Kind: ptr(stream.Brake), Period: ptr(5 * time.Second)}},
			from:  stream.Origins{Kind: "rule o*", Period: "rule *", Limits: "kind bearing"}},
		{what: "a rule before the patterns says to learn", sensor: "axle3-left", want: "bearing axle3/3/left auto 0s 250",
			rules: []stream.Rule{{Match: "axle3-*", Period: ptr(time.Duration(0))}, {Match: "axle*", Period: ptr(time.Second)}},
			from:  stream.Origins{Kind: "pattern axle*", Position: "name", Mate: "position", Period: "learned", Limits: "kind bearing"}},
		{what: "place and mate", sensor: "oil", want: "other box/4/right water 0s 1000",
			rules: []stream.Rule{{Match: "douala/loco-7/oil", Position: ptr("box"), Axle: ptr(4), Side: ptr("right"), Mate: ptr("water")}},
			from:  stream.Origins{Kind: "default", Position: "rule douala/loco-7/oil", Mate: "rule douala/loco-7/oil", Period: "learned", Limits: "kind other"}},
		{what: "a mate is one from both ends", sensor: "water", want: "other /0/ oil 0s 1000",
			rules: []stream.Rule{{Match: "douala/loco-7/oil", Mate: ptr("water")}},
			from:  stream.Origins{Kind: "default", Mate: "rule douala/loco-7/oil", Period: "learned", Limits: "kind other"}},
		{what: "by pattern from both ends", sensor: "hub3-nde", want: "other /3/ hub3-de 0s 1000",
			rules: []stream.Rule{{Match: "hub*-de", Mate: ptr("hub*-nde")}},
			from:  stream.Origins{Kind: "default", Position: "name", Mate: "rule hub*-de", Period: "learned", Limits: "kind other"}},
		{what: "the mate of one's own rule wins", sensor: "water", want: "other /0/ none 0s 1000",
			rules: []stream.Rule{{Match: "douala/loco-7/oil", Mate: ptr("water")}, {Match: "douala/loco-7/water", Mate: ptr("")}},
			from:  stream.Origins{Kind: "default", Mate: "rule douala/loco-7/water", Period: "learned", Limits: "kind other"}},
		{what: "limits over those of the kind", sensor: "axle3-left", want: "bearing axle3/3/left auto 0s 200",
			rules: []stream.Rule{{Match: "*/loco-7/*", Limits: map[string][]float64{"fail_high_c": {200}, "suspect_high_c": {150}}}},
			from:  stream.Origins{Kind: "pattern axle*", Position: "name", Mate: "position", Period: "learned", Limits: "rule */loco-7/*"}},
		{what: "limits of a kind are for that kind", sensor: "axle3-left", want: "bearing axle3/3/left auto 0s 250",
			rules: []stream.Rule{{Match: "*/loco-7/axle3-left", Kind: bearing}, {Match: "*/loco-7/*", Kind: ptr(stream.Brake), Limits: map[string][]float64{"fail_high_c": {900}}}},
			from:  stream.Origins{Kind: "rule */loco-7/axle3-left", Position: "name", Mate: "position", Period: "learned", Limits: "kind bearing"}},
		{what: "of another asset", sensor: "oil", want: "other /0/ auto 0s 1000",
			rules: []stream.Rule{{Match: "douala/loco-8/oil", Kind: bearing}, {Match: "douala/loco-8/*", Kind: bearing}},
			from:  stream.Origins{Kind: "default", Period: "learned", Limits: "kind other"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := stream.NewRegistry(withRules(t, test.rules...)).Resolve("douala", "loco-7", test.sensor)
			mate := "auto"
			if s.Mate != nil {
				if mate = *s.Mate; mate == "" {
					mate = "none"
				}
			}
			if got := fmt.Sprintf("%s %s/%d/%s %s %s %g", s.Kind, s.Position, s.Axle, s.Side, mate, s.Period, s.Limits.FailHigh); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
			if s.From != test.from {
				t.Errorf("from %+v\nwant %+v", s.From, test.from)
			}
		})
	}
}

func TestRuleMistakesGetASentence(t *testing.T) {
	limits := func(name string, v ...float64) map[string][]float64 { return map[string][]float64{name: v} }
	for want, rule := range map[string]stream.Rule{
		`line 7: the match "" has an empty name in it`:                                   {},
		`the match "a/b" must be a sensor's name or site/asset/sensor`:                   {Match: "a/b"},
		`the match "[" is not a shell pattern`:                                           {Match: "["},
		`the match "douala/loco 7/x" can name no sensor`:                                 {Match: "douala/loco 7/x"},
		`a name has at most 64 characters`:                                               {Match: strings.Repeat("x", 65)},
		"the kind 9 is not known":                                                        {Match: "x", Kind: ptr(stream.Kind(9))},
		`the position "a b" must be`:                                                     {Match: "x", Position: ptr("a b")},
		"the axle must be between 0 and 99999, not -1":                                   {Match: "x", Axle: ptr(-1)},
		`the side must be left, right or empty, not "up"`:                                {Match: "x", Side: ptr("up")},
		"the period must be between 1ms and 24h, or 0 to be learned, not 25h0m0s":        {Match: "x", Period: ptr(25 * time.Hour)},
		"or 0 to be learned, not 10ns":                                                   {Match: "x", Period: ptr(10 * time.Nanosecond)},
		`the mate "d/l/y" must be the name of a sensor of the same asset`:                {Match: "x", Mate: ptr("d/l/y")},
		`the mate "x" is the sensor itself`:                                              {Match: "d/l/x", Mate: ptr("x")},
		`the mate "*-*" may have one *`:                                                  {Match: "*", Mate: ptr("*-*")},
		`the mate "y*" has a *, which stands for what the one * in the sensor's part`:    {Match: "x?", Mate: ptr("y*")},
		`there is no limit "fail_c"; the limits are fail_low_c, suspect_low_c`:           {Match: "x", Limits: limits("fail_c", 1)},
		"the limit spike_k must be one number, not 2":                                    {Match: "x", Limits: limits("spike_k", 1, 2)},
		"the limit spike_k must be a number, not +Inf":                                   {Match: "x", Limits: limits("spike_k", math.Inf(1))},
		"the limits of kind bearing must be in order":                                    {Match: "x", Kind: ptr(stream.Bearing), Limits: limits("fail_high_c", 100)},
		"its limits meet sensors of every kind, say which with kind: the limits of kind": {Match: "x", Limits: limits("fail_high_c", 300)},
		"the spike, rate and time constant of kind motor must be above 0":                {Match: "x", Kind: ptr(stream.Motor), Limits: limits("tau_min", 0)},
	} {
		cfg := stream.DefaultConfig()
		rule.Where = "line 7"
		cfg.Rules = []stream.Rule{rule}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line 7: ") {
			t.Errorf("%+v: %v\nwant %s", rule, err, want)
		}
	}
	cfg := stream.DefaultConfig()
	cfg.Rules = []stream.Rule{{Match: "x", Where: "line 1"}, {Match: "y"}, {Match: "x", Where: "line 9"}}
	if err := cfg.Validate(); err == nil || err.Error() != `line 9: the match "x" is there already: line 1` {
		t.Errorf("twice: %v", err)
	}
	l := cfg.Kinds[stream.Brake]
	l.FailHigh = math.Inf(1)
	cfg.Rules, cfg.Kinds[stream.Brake] = nil, l
	if err := cfg.Validate(); err == nil || err.Error() != "the limit fail_high_c of kind brake must be a number, not +Inf" {
		t.Errorf("infinite: %v", err)
	}
}

// TestLimitFieldsAreAll: whoever adds a number to Limits must give it a name in the file.
func TestLimitFieldsAreAll(t *testing.T) {
	var l stream.Limits
	seen := map[string]bool{}
	for i, f := range stream.LimitFields() {
		f.Put(&l, []float64{float64(i + 1)})
		if got := f.Get(&l); len(got) != 1 || got[0] != float64(i+1) || seen[f.Name] {
			t.Errorf("%s: %v", f.Name, got)
		}
		seen[f.Name] = true
	}
	for v, i := reflect.ValueOf(l), 0; i < v.NumField(); i++ {
		if f := v.Type().Field(i); f.Type.Kind() != reflect.String && v.Field(i).IsZero() {
			t.Errorf("%s has no name in the file", f.Name)
		}
	}
}

func TestConfigDigestIsOfWhatDecides(t *testing.T) {
	digest := func(c *stream.Config) string {
		d, err := c.Digest()
		if err != nil || len(d) != 64 {
			t.Fatal(d, err)
		}
		return d
	}
	rule := stream.Rule{Match: "x", Period: ptr(time.Second), Where: "line 1"}
	plain, one := withRules(t), withRules(t, rule)
	rule.Where = "line 2"
	if moved := withRules(t, rule); digest(one) != digest(moved) {
		t.Error("moving a rule to another line changes the digest")
	}
	rule.Period = ptr(2 * time.Second)
	if other := withRules(t, rule); digest(one) == digest(other) || digest(one) == digest(plain) {
		t.Error("another period has the same digest")
	}
	wider := withRules(t)
	wider.Window = 2 * time.Minute
	if digest(wider) == digest(plain) {
		t.Error("another window has the same digest")
	}
	if digest(plain) != digest(withRules(t)) {
		t.Error("one configuration has two digests")
	}
}

// TestNamesTellThePlace of a sensor, where no rule does.
func TestNamesTellThePlace(t *testing.T) {
	r := stream.NewRegistry(withRules(t))
	for name, want := range map[string]string{
		"axle3-left": "axle3 3 left", "axle12_r": "axle12 12 right", "a.b.l": "a.b 0 left", "-left": " 0 ", "left": " 0 ", "axle3-lefty": " 3 ", "motor1-drive": " 1 ",
		"x-": " 0 ", "t99999": " 99999 ", "t100000": " 0 ", "box04.right": "box04 4 right", "axle3-left-left": "axle3-left 3 left",
	} {
		if s := r.Resolve("d", "l", name); fmt.Sprintf("%s %d %s", s.Position, s.Axle, s.Side) != want {
			t.Errorf("%s: %q %d %q, want %s", name, s.Position, s.Axle, s.Side, want)
		}
	}
}
