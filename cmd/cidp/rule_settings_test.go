package main

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// rulesOf reads the rules that a config file puts in force.
func rulesOf(t *testing.T, text string) (model.Rules, error) {
	t.Helper()
	app, err := kong.New(&commands{}, kong.Vars{"version": version})
	if err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(writeFile(t, t.TempDir(), "cidp.toml", text), app.Model)
	if err != nil {
		return model.Rules{}, err
	}
	return s.applyRules()
}

func TestRulesFromConfiguration(t *testing.T) {
	rules, err := rulesOf(t, `
[rules.bearing.over_ambient]
alarm = 60.0
source = "workshop manual, 2026"

[rules.bearing.mate_difference]
off = true

[rules.motor.rate]
watch = 3.0
steady = "25m"
source = "trial runs, 2026"
`)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := rules.Limit(stream.Bearing, model.RuleOverAmbient)
	if want := (model.Limit{Rule: model.RuleOverAmbient, Watch: 45, Alarm: 60, Critical: 90, Deadband: 5, Source: "workshop manual, 2026"}); !ok || l != want {
		t.Errorf("over ambient is %+v, want %+v", l, want)
	}
	if _, ok := rules.Limit(stream.Bearing, model.RuleMateDifference); ok {
		t.Error("a rule that is switched off is still there")
	}
	l, ok = rules.Limit(stream.Motor, model.RuleRate)
	if want := (model.Limit{Rule: model.RuleRate, Watch: 3, Steady: 25 * time.Minute, Source: "trial runs, 2026"}); !ok || l != want {
		t.Errorf("a motor's rate is %+v, want %+v", l, want)
	}
	if l, _ := rules.Limit(stream.Transformer, model.RuleAbsolute); l.Alarm != 105 {
		t.Errorf("what the file does not name is %+v", l)
	}
	if l, _ := model.DefaultRules().Limit(stream.Bearing, model.RuleOverAmbient); l.Alarm != 65 {
		t.Errorf("the default profile has changed: %+v", l)
	}
}

func TestRulesFromConfigurationAreStrict(t *testing.T) {
	for text, want := range map[string]string{
		"[rules.bearing.over_ambient]\nalram = 60.0\nsource = \"x\"\n": "rules.bearing.over_ambient.alram",
		"[rules.bearing.hunch]\nalarm = 60.0\nsource = \"x\"\n":        "there is no such rule; the rules are absolute, over_ambient",
		"[rules.wheel.absolute]\nalarm = 60.0\nsource = \"x\"\n":       "wheel",
		"[rules.other.absolute]\nalarm = 60.0\nsource = \"x\"\n":       "kind other has no rules",
		"[rules.bearing.absolute]\nalarm = 60.0\n":                     "a limit needs its source",
		"[rules.bearing.absolute]\nalarm = 60.0\nsource = \"x\"\n":     "the limit 60 for alarm does not rise",
		"[rules.bearing.absolute]\noff = true\nwatch = 60.0\n":         "one of them is a mistake",
		"[rules.motor.peer_z]\nsource = \"x\"\n":                       "there is no limit in it",
		"[rules.bearing.rate]\nsteady = \"-1m\"\nsource = \"x\"\n":     "at a steady speed",
		"[rules.bearing.absolute]\nalarm = \"hot\"\nsource = \"x\"\n":  "rules.bearing.absolute.alarm",
		"[rules.bearing]\nabsolute = 3\n":                              "rules.bearing.absolute",
	} {
		if _, err := rulesOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestRulesReachThePlatform: the line is started with the rules of the file.
func TestRulesReachThePlatform(t *testing.T) {
	f := lineFlags{streamFlags: streamFlags{Window: time.Minute, Disorder: 10 * time.Second, FutureAfter: 2 * time.Minute}, Idle: 30 * time.Second, MaxPayload: 1000, keepFlags: keepFlags{KeepRawMin: longTime(time.Minute), DiskLow: 7, DiskStop: 6}}
	alarm := 61.5
	s := &settings{Rules: map[string]map[string]*ruleSettings{"bearing": {model.RuleOverAmbient: {Alarm: &alarm, Source: "a test"}}}}
	cfg, err := f.config(&terminal{settings: s}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := cfg.Rules.Limit(stream.Bearing, model.RuleOverAmbient); l.Alarm != alarm {
		t.Errorf("the platform's rule is %+v", l)
	}
}
