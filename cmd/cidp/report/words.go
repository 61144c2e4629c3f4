package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// verdict says in one sentence what was found.
func (r *Report) verdict() string {
	switch {
	case r.Line != nil && r.Line.All.Failures > 0:
		return r.lineVerdict()
	case r.Line != nil:
		return fmt.Sprintf("No failure lies within the time observed, so nothing can be said of warnings in time; %s.", r.falseWords())
	}
	return r.rowVerdict()
}

func (r *Report) lineVerdict() string {
	a := &r.Line.All
	s := fmt.Sprintf("Of %s, %s (%s) %s warned of at least %s ahead", plural(a.Failures, "failure"), number(a.Warned), percent(a.WarnedShare), wasWere(a.Warned), minutes(r.LeadMin))
	if len(a.Leads) > 0 {
		s += fmt.Sprintf(", with a median lead of %s", minutes(a.MedianLead))
	}
	s += fmt.Sprintf("; %s %s warned of too late and %s not at all; %s", number(a.Late), wasWere(a.Late), number(a.Missed), r.falseWords())
	if why := r.againstRules(); why != "" {
		s += "; " + why
	}
	return s + "."
}

func (r *Report) falseWords() string {
	a := &r.Line.All
	return fmt.Sprintf("%s in %.0f asset-hours, %s per 1,000", plural(a.FalseAlarms, "false alarm"), r.Data.AssetHours, short(a.FalseRate))
}

// againstRules holds the forest against the best rule, each at its best threshold within the budget.
func (r *Report) againstRules() string {
	forest, rule := r.forest(), r.bestRule()
	if forest == nil || rule == nil || forest.AtBudget == nil {
		return ""
	}
	got, best := forest.AtBudget.WarnedShare, rule.AtBudget.WarnedShare
	relation := "warns of as many as"
	switch {
	case got > best:
		relation = "warns of more than"
	case got < best:
		relation = "warns of fewer than"
	}
	return fmt.Sprintf("with at most %s per 1,000 asset-hours the forest alone %s the best of the rules (%s against %s by %s)",
		falseAlarms(r.Budget), relation, percent(got), percent(best), r.Label(rule.Name))
}

func (r *Report) rowVerdict() string {
	f := &r.Candidates[0]
	if f.Rows == nil {
		return fmt.Sprintf("All %s with a label have the same one, so nothing can be ranked.", plural(r.Data.Labelled, "row"))
	}
	s := fmt.Sprintf("On %s of %s, %s of them positive, the average precision is %.3f and the ROC area %.3f",
		plural(r.Data.Labelled, strings.TrimSuffix(r.Data.Unit, "s")), plural(f.Rows.Assets, "asset"), number(r.Data.Positives), f.Rows.PRAUC, f.Rows.ROCAUC)
	if f.Reliability != nil {
		s += fmt.Sprintf(", the calibration error %.3f", f.Reliability.ECE)
	}
	if f.AtBudget != nil {
		s += fmt.Sprintf("; with %s false positives in 1,000 negative rows it finds %s of the positive ones", short(r.Budget), percent(f.AtBudget.WarnedShare))
	}
	if other := r.bestOther(); other != nil {
		s += fmt.Sprintf("; the best of the others, %s, has %.3f", r.Label(other.Name), other.Rows.PRAUC)
	}
	return s + "."
}

// Names of candidates that are no rules.
const (
	Forest   = "forest"
	Both     = "both"
	AllRules = "rules" // the strongest of them
)

func (r *Report) forest() *Figures {
	if r.Candidates[0].Name == Forest {
		return &r.Candidates[0]
	}
	return nil
}

// bestRule is the rule that warns of most failures within the budget.
func (r *Report) bestRule() (best *Figures) {
	for i := range r.Candidates {
		f := &r.Candidates[i]
		if f.Name == Forest || f.Name == Both || f.AtBudget == nil {
			continue
		}
		if best == nil || f.AtBudget.WarnedShare > best.AtBudget.WarnedShare {
			best = f
		}
	}
	return best
}

// bestOther is the candidate that ranks best but for the first.
func (r *Report) bestOther() (best *Figures) {
	for i := range r.Candidates[1:] {
		if f := &r.Candidates[1+i]; f.Rows != nil && (best == nil || f.Rows.PRAUC > best.Rows.PRAUC) {
			best = f
		}
	}
	return best
}

// fewFailures is below how many distinct failures a forest is not to be trusted over a rule.
const fewFailures = 30

// caveats say what the figures do not say.
func (r *Report) caveats() []string {
	out := []string{"CIDP is decision support, not a certified safety function: it replaces neither trackside detectors nor the rules of operation."}
	switch {
	case r.Data.Simulated == nil && r.Line != nil:
		out = append(out, "Nothing says whether these machines are simulated or real; whoever made the labels knows.")
	case r.Data.Simulated != nil && *r.Data.Simulated:
		out = append(out, "The faults carry the simulator's names: these are simulated machines. How real ones fail, and how well that is foreseen, only a workshop's findings can say.")
	}
	if r.Line != nil {
		if n := r.Line.All.Failures; n < fewFailures {
			out = append(out, fmt.Sprintf("%s: below %d the figures swing with each one, and a rule is to be trusted over a forest.", plural(n, "failure"), fewFailures))
		}
		out = append(out, fmt.Sprintf("Figures of rows and figures of warnings differ on purpose. A window is positive when its component fails within %s of running after it, so a warning that comes earlier counts against the "+
			"curves and for the table of warnings. Windows after a failure, of a fault that is no failure, and of which less than that is known, rank nothing.", minutes(r.Data.HorizonMin)))
		out = append(out, "Thresholds within the budget are chosen on the very data they are shown for: they compare candidates, and flatter each of them a little.")
		if n := r.Data.Elsewhere; n > 0 {
			out = append(out, fmt.Sprintf("%s %s on assets of which there is no reading here: they count nowhere.", plural(n, "failure"), isAre(n)))
		}
		if q := r.Data.Quarantined; q > 0 {
			out = append(out, fmt.Sprintf("%s of %s were quarantined and never scored: what failed meanwhile could not be foreseen from them.", number(q), plural(r.Data.Windows, "window")))
		}
		return out
	}
	out = append(out, "Rows have no event time here: nothing is said of alerts, of lead times or of false alarms in asset-hours.",
		"Thresholds are chosen on the very rows they are shown for.")
	if len(r.Candidates) > 1 {
		out = append(out, "The columns beside the forest are the best of all, picked on these rows: that flatters them.")
	}
	return out
}

// Label is what a candidate is called on the page. Columns of a table keep their names.
func (r *Report) Label(name string) string {
	switch {
	case r.Data.Unit == Rows:
		return name
	case name == AllRules:
		return "all rules"
	}
	return human(name)
}

func human(name string) string { return strings.ReplaceAll(name, "_", " ") }

func percent(share float64) string { return short(100*share) + " %" }

func minutes(v float64) string { return short(v) + " min" }

// short writes a figure with at most two decimals.
func short(v float64) string {
	s := fmt.Sprintf("%.2f", v)
	if v >= 100 || v <= -100 {
		s = fmt.Sprintf("%.0f", v)
	} else if v >= 10 || v <= -10 {
		s = fmt.Sprintf("%.1f", v)
	}
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return cmp.Or(s, "0")
}

// number writes a count with commas between thousands.
func number(n int) string {
	digits := fmt.Sprint(n)
	var parts []string
	for len(digits) > 3 {
		parts, digits = append(parts, digits[len(digits)-3:]), digits[:len(digits)-3]
	}
	parts = append(parts, digits)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

func falseAlarms(rate float64) string {
	if rate == 1 {
		return "1 false alarm"
	}
	return short(rate) + " false alarms"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
