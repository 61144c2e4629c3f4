package report

import (
	"cmp"
	"math"
	"slices"

	"github.com/camrail/cidp/model"
)

// figuresOf measures one candidate.
func figuresOf(in *Input, c *Candidate, rows []int, lines [][]int) (*Figures, error) {
	f := &Figures{Name: c.Name, What: c.What}
	scores, labels := scored(in, c, rows)
	positives := 0
	for _, y := range labels {
		positives += int(y)
	}
	if positives > 0 && positives < len(labels) {
		e, err := model.Evaluate(scores, labels)
		if err != nil {
			return nil, err
		}
		f.Rows = &RowFigures{Rows: e.Rows, Positives: e.Positives, Assets: in.groups(rows), ROCAUC: e.ROCAUC, PRAUC: e.PRAUC}
		if c.Probability {
			f.Rows.Brier = &e.Brier
		}
		f.ROC, f.PR = curves(scores, labels, positives)
	}
	if c.Probability && len(labels) > 0 {
		rel, err := model.Reliable(scores, labels)
		if err != nil {
			return nil, err
		}
		f.Reliability = &rel
	}
	if !in.timed() {
		f.AtBudget = rowsAtBudget(scores, labels, in.Budget)
		return f, nil
	}
	if err := f.sweep(in, c, lines); err != nil {
		return nil, err
	}
	if f.AtBudget != nil {
		f.AtBudget.Confusion = confuse(scores, labels, f.AtBudget.Threshold)
	}
	if c.Warned != nil {
		m, err := model.Match(in.Failures, c.Warned.Warnings, in.Match)
		if err != nil {
			return nil, err
		}
		f.Configured = &m.All
	}
	return f, nil
}

// scored gives the scores and labels of rows. Who has nothing to say ranks lowest.
func scored(in *Input, c *Candidate, rows []int) ([]float64, []uint8) {
	lowest := 0.0
	if !in.timed() && !c.Probability {
		lowest = math.Inf(-1)
	}
	scores, labels := make([]float64, len(rows)), make([]uint8, len(rows))
	for k, i := range rows {
		scores[k], labels[k] = c.Scores[i], in.Rows[i].Y
		if math.IsNaN(scores[k]) {
			scores[k] = lowest
		}
	}
	return scores, labels
}

func (in *Input) groups(rows []int) int {
	seen := map[int32]bool{}
	for _, i := range rows {
		seen[in.Rows[i].Group] = true
	}
	return len(seen)
}

// mostPoints bounds the points of a curve.
const mostPoints = 250

// curves gives the ROC and the precision-recall curve, a point for each distinct score from the highest down. Of many points those are kept that lie farthest along the curve.
func curves(p []float64, y []uint8, positives int) (roc, pr []Point) {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	negatives := len(p) - positives
	tp, fp := 0, 0
	roc = append(roc, Point{0, 0, p[order[0]]})
	for i := 0; i < len(order); {
		t := p[order[i]]
		for ; i < len(order) && p[order[i]] == t; i++ {
			if y[order[i]] == 1 {
				tp++
			} else {
				fp++
			}
		}
		if math.IsInf(t, 0) {
			t = 0
		}
		recall := float64(tp) / float64(positives)
		roc = append(roc, Point{round(float64(fp)/float64(negatives), 6), round(recall, 6), round(t, 6)})
		pr = append(pr, Point{round(recall, 6), round(float64(tp)/float64(tp+fp), 6), round(t, 6)})
	}
	return thin(roc), thin(pr)
}

// thin keeps the ends and points that lie at least one part in mostPoints of the way apart.
func thin(points []Point) []Point {
	if len(points) <= mostPoints {
		return points
	}
	way := 0.0
	step := func(a, b Point) float64 { return math.Abs(a.X-b.X) + math.Abs(a.Y-b.Y) }
	for i := 1; i < len(points); i++ {
		way += step(points[i-1], points[i])
	}
	out := points[:1:1]
	for i := 1; i < len(points)-1; i++ {
		if step(out[len(out)-1], points[i]) >= way/mostPoints {
			out = append(out, points[i])
		}
	}
	return append(out, points[len(points)-1])
}

// Confusion counts labelled rows by what was said and what was.
type Confusion struct {
	TruePositive  int `json:"true_positive"`
	FalsePositive int `json:"false_positive"`
	FalseNegative int `json:"false_negative"`
	TrueNegative  int `json:"true_negative"`
}

// confuse counts what a threshold says.
func confuse(p []float64, y []uint8, threshold float64) Confusion {
	var c Confusion
	for i := range p {
		switch said := p[i] >= threshold; {
		case said && y[i] == 1:
			c.TruePositive++
		case said:
			c.FalsePositive++
		case y[i] == 1:
			c.FalseNegative++
		default:
			c.TrueNegative++
		}
	}
	return c
}

// rowsAtBudget takes the lowest threshold whose false positives are within the budget of 1,000 negative rows.
func rowsAtBudget(p []float64, y []uint8, budget float64) *AtBudget {
	var negative []float64
	for i, v := range p {
		if y[i] == 0 {
			negative = append(negative, v)
		}
	}
	slices.SortFunc(negative, func(a, b float64) int { return cmp.Compare(b, a) })
	allowed := int(budget * float64(len(negative)) / 1000)
	if len(p) == 0 {
		return nil
	}
	threshold := slices.Min(p)
	if allowed < len(negative) {
		above := math.Inf(1) // the lowest score above the first negative that is too many
		for _, v := range p {
			if v > negative[allowed] {
				above = min(above, v)
			}
		}
		if math.IsInf(above, 1) {
			return nil
		}
		threshold = above
	}
	c := confuse(p, y, threshold)
	a := &AtBudget{Threshold: round(threshold, 9), Confusion: c}
	if n := c.FalsePositive + c.TrueNegative; n > 0 {
		a.FalseRate = round(1000*float64(c.FalsePositive)/float64(n), 6)
	}
	if n := c.TruePositive + c.FalseNegative; n > 0 {
		a.WarnedShare = round(float64(c.TruePositive)/float64(n), 6)
	}
	return a
}
