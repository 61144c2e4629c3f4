package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Trial is how a model did beside the rules of physics, on assets or times that it never saw. A model goes live only by a trial that it passed.
type Trial struct {
	ModelID  string `json:"model_id,omitempty"` // empty in the manifest of the model itself
	Source   string `json:"source"`             // where the data come from, for people
	Split    Split  `json:"split"`              // how what it was tested on was kept apart from what it learnt from
	Failures int    `json:"failures"`           // distinct failures among the data
	Passed   bool   `json:"passed"`
	Why      string `json:"why"` // one sentence, with figures

	Rows       int            `json:"rows"`
	Groups     int            `json:"groups"`     // assets or stretches of time, drawn again together
	Budget     float64        `json:"budget"`     // share of sound rows that may be false alarms
	Resamples  int            `json:"resamples"`  // draws of the groups
	Confidence float64        `json:"confidence"` // of the interval of the gain
	Forest     TrialFigures   `json:"forest"`
	Rules      []TrialFigures `json:"rules"` // best first, at most maxTrialRules
	Gain       float64        `json:"gain"`  // PR-AUC of the forest less that of the best rule
	GainLow    float64        `json:"gain_low"`
	GainHigh   float64        `json:"gain_high"`
}

// TrialFigures are one competitor's figures, rounded to 1e-6.
type TrialFigures struct {
	Name   string  `json:"name"`
	ROCAUC float64 `json:"roc_auc"`
	PRAUC  float64 `json:"pr_auc"`
	Missed int     `json:"missed"` // failures of which no row is over the threshold that the budget allows
}

const maxTrialRules = 8

// MayGoLive says whether the trial in a model's manifest lets it score for people, and why not when it does not: it runs in shadow then.
func (f *Forest) MayGoLive() (ok bool, why string) {
	t := f.manifest.Trial
	switch {
	case t == nil:
		return false, "it has had no trial against the rules of physics"
	case !t.Passed:
		return false, fmt.Sprintf("it did not pass its trial against the rules of physics: %s", t.Why)
	}
	return true, t.Why
}

// TrialConfig says how a trial is held.
type TrialConfig struct {
	Source      string
	Split       Split
	Resamples   int
	Seed        uint64
	Confidence  float64 // of the two-sided interval
	Budget      float64 // share of sound rows that may be false alarms when failures are counted
	MinFailures int     // distinct failures below which nothing is told from chance
}

// DefaultTrialConfig wants 30 failures, counts missed ones at one false alarm in a thousand sound rows, and takes a 95 % interval of 1,000 draws.
func DefaultTrialConfig() TrialConfig {
	return TrialConfig{Split: ByGroup, Resamples: 1000, Seed: 1, Confidence: 0.95, Budget: 0.001, MinFailures: 30}
}

// Candidate is a rule that stands for the trial: a score for each row, the higher the worse. Silent is the score of a rule without its inputs.
type Candidate struct {
	Name  string
	Score []float64
}

// Silent is below every score of a rule.
var Silent = math.Inf(-1)

// TrialRows are the rows of a trial, none of which the forest has learnt from.
type TrialRows struct {
	Y       []uint8
	P       []float64 // the forest's
	Group   []int32   // the asset of each row, or its stretch of time: what is drawn together
	Failure []int32   // which failure a positive row is of; nil: a group with a positive row is one failure
	Rules   []Candidate
}

// HoldTrial lets a forest and rules rank the same rows. The forest passes when there are enough distinct failures, the lower end of the interval of its gain in PR-AUC over the best
// rule is above 0, and at the same share of false alarms it misses no more failures than the rule that misses the fewest. The interval is a percentile bootstrap over groups (Efron 1979):
// rows of one asset are not independent, so whole assets are drawn. The same rows and configuration give the same trial.
func HoldTrial(d TrialRows, cfg TrialConfig) (Trial, error) {
	t := Trial{Source: cfg.Source, Split: cfg.Split, Rows: len(d.Y), Budget: cfg.Budget, Resamples: cfg.Resamples, Confidence: cfg.Confidence}
	if err := d.check(cfg); err != nil {
		return t, fmt.Errorf("hold trial: %w", err)
	}
	if d.Failure == nil {
		d.Failure = d.Group
	}
	t.Groups, t.Failures = distinct(d.Group, nil), distinct(d.Failure, d.Y)
	var err error
	if t.Forest, err = d.figures(SourceForest, d.P, cfg.Budget, t.Failures); err != nil {
		return t, fmt.Errorf("hold trial: %w", err)
	}
	best, bestScore, fewest := TrialFigures{PRAUC: -1}, []float64(nil), TrialFigures{Missed: math.MaxInt}
	for _, c := range d.Rules {
		f, err := d.figures(c.Name, c.Score, cfg.Budget, t.Failures)
		if err != nil {
			return t, fmt.Errorf("hold trial: rule %s: %w", c.Name, err)
		}
		t.Rules = append(t.Rules, f)
		if f.PRAUC > best.PRAUC {
			best, bestScore = f, c.Score
		}
		if f.Missed < fewest.Missed {
			fewest = f
		}
	}
	slices.SortStableFunc(t.Rules, func(a, b TrialFigures) int { return cmp.Compare(b.PRAUC, a.PRAUC) })
	t.Rules = t.Rules[:min(len(t.Rules), maxTrialRules)]
	t.Gain = round6(t.Forest.PRAUC - best.PRAUC)
	t.GainLow, t.GainHigh = d.interval(d.P, bestScore, cfg)
	t.judge(best, fewest, cfg)
	return t, nil
}

func (d TrialRows) check(cfg TrialConfig) error {
	n := len(d.Y)
	switch {
	case len(d.P) != n || len(d.Group) != n || d.Failure != nil && len(d.Failure) != n:
		return fmt.Errorf("%d labels, %d probabilities, %d groups, %d failures", n, len(d.P), len(d.Group), len(d.Failure))
	case len(d.Rules) == 0:
		return errors.New("there is no rule to beat")
	case cfg.Resamples < 100 || !(cfg.Confidence > 0 && cfg.Confidence < 1) || !(cfg.Budget >= 0 && cfg.Budget < 1):
		return fmt.Errorf("%d draws, confidence %v, budget %v", cfg.Resamples, cfg.Confidence, cfg.Budget)
	}
	return nil
}

// distinct counts the values of the positive rows, or of all where y is nil.
func distinct(values []int32, y []uint8) int {
	seen := map[int32]bool{}
	for i, v := range values {
		if y == nil || y[i] == 1 {
			seen[v] = true
		}
	}
	return len(seen)
}

func (d TrialRows) figures(name string, score []float64, budget float64, failures int) (TrialFigures, error) {
	e, err := Evaluate(score, d.Y)
	if err != nil {
		return TrialFigures{}, err
	}
	return TrialFigures{Name: name, ROCAUC: e.ROCAUC, PRAUC: e.PRAUC, Missed: failures - d.caught(score, budget)}, nil
}

// caught counts the failures with a row over the lowest threshold at which no more than the budgeted share of the negative rows is over it.
func (d TrialRows) caught(score []float64, budget float64) int {
	order := descending(score)
	negatives := 0
	for _, y := range d.Y {
		negatives += int(1 - y)
	}
	allowed := int(float64(budget * float64(negatives)))
	seen, found := 0, map[int32]bool{}
	for i := 0; i < len(order); {
		var positive []int32
		for at := score[order[i]]; i < len(order) && score[order[i]] == at; i++ {
			if d.Y[order[i]] == 1 {
				positive = append(positive, d.Failure[order[i]])
			} else {
				seen++
			}
		}
		if seen > allowed {
			break
		}
		for _, f := range positive {
			found[f] = true
		}
	}
	return len(found)
}

// descending orders rows from the highest score down, equal ones as they come.
func descending(score []float64) []int {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	return order
}

// ruleWord names a champion for people.
func ruleWord(name string) string {
	if name == RulesID {
		return "all rules together"
	}
	return name + " alone"
}

// judge says whether the trial is passed, and why, in one sentence.
func (t *Trial) judge(best, fewest TrialFigures, cfg TrialConfig) {
	t.Passed = t.Failures >= cfg.MinFailures && t.GainLow > 0 && t.Forest.Missed <= fewest.Missed
	if t.Failures < cfg.MinFailures {
		t.Why = fmt.Sprintf("%s too few to tell it from chance, %d are needed; ", plural(t.Failures, "distinct failure")+map[bool]string{true: " is", false: " are"}[t.Failures == 1], cfg.MinFailures)
	}
	t.Why += fmt.Sprintf("PR-AUC %.3f against %.3f of %s: gain %+.3f, %.0f %% interval %+.3f to %+.3f over %s; at %.2g %% false alarms it misses %d of %d failures, %s %d",
		t.Forest.PRAUC, best.PRAUC, ruleWord(best.Name), t.Gain, 100*cfg.Confidence, t.GainLow, t.GainHigh, plural(t.Groups, "group"), 100*cfg.Budget, t.Forest.Missed, t.Failures, ruleWord(fewest.Name), fewest.Missed)
}
