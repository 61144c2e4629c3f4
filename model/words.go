package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
)

// reason says in one sentence why the window has its level. It is empty when nothing is to be said: no level and no alert.
func (c AlertConfig) reason(h Hold, w *stream.Window, p float64, forest Level, rule RuleResult, why Explanation) string {
	switch {
	case forest == Normal && rule.Level == Normal && h.AlertID == "":
		return ""
	case forest == Normal && rule.Level == Normal:
		return fmt.Sprintf("level normal for %d of the %s that clear the alert; failure probability %s, mean temperature %s °C",
			h.Below+1, plural(c.ClearAfter, "window"), prob(p), number(w.Features[stream.FMean]))
	case rule.Level > forest:
		return rule.Why + "; failure probability " + prob(p)
	}
	s := "failure probability " + prob(p) + c.limitText(p, forest)
	if len(why.Top) > 0 {
		s += "; " + why.words()
	}
	if rule.Level > Normal {
		s += "; " + rule.Why
	}
	return s
}

// limitText says which limit of the forest a probability reaches, or is held at.
func (c AlertConfig) limitText(p float64, level Level) string {
	limit := [...]float64{0, c.Watch, c.Alarm, c.Critical}[level]
	if p >= limit {
		return fmt.Sprintf(" reaches the %s limit of %s", level, prob(limit))
	}
	return fmt.Sprintf(" holds %s down to %s", level, prob(limit-c.Hysteresis))
}

// words lists the contributions, and says what they add up to where that is not the probability.
func (e Explanation) words() string {
	parts := make([]string, len(e.Top))
	for i, c := range e.Top {
		parts[i] = fmt.Sprintf("%s (%+.2f)", c.Text(), c.Contribution)
	}
	of := ""
	if e.Score != nil {
		of = " to the score of " + prob(*e.Score) + " before calibration"
	}
	what := "path contributions"
	if e.Method == MethodTreeSHAP {
		what = "Shapley values"
	}
	return "largest " + what + of + ": " + strings.Join(parts, "; ")
}

// number writes a figure for people: at most one decimal.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10+0, 'f', -1, 64)
}

// figure writes a figure of a feature of which nothing is known: three significant digits, or all before the point.
func figure(v float64) string {
	if a := math.Abs(v); a >= 100 && a < 1e15 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func prob(p float64) string { return strconv.FormatFloat(p, 'f', 2, 64) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// unitText writes a unit of the feature list as people do.
func unitText(unit string) string {
	if unit == "degC" {
		return "°C"
	}
	return unit
}
