package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a drawn figure as the page shows it.
type chart struct {
	ID, Title, Caption string
	SVG                template.HTML
	Series             []swatch
}

// swatch names a series of a chart.
type swatch struct {
	Name string
	K    int
	Dash string
}

// shown picks the candidates that plots show: the forest, both together, the rules together, and of the others those that rank best.
func (r *Report) shown() []*Figures {
	var out, others []*Figures
	for i := range r.Candidates {
		f := &r.Candidates[i]
		switch {
		case i < 3:
			out = append(out, f)
		case f.Rows != nil:
			others = append(others, f)
		}
	}
	slices.SortStableFunc(others, func(a, b *Figures) int { return cmp.Compare(b.Rows.PRAUC, a.Rows.PRAUC) })
	return append(out, others[:min(len(others), maxSeries-len(out))]...)
}

// charts draws every figure that there is something for.
func (r *Report) charts() ([]chart, error) {
	var out []chart
	for _, next := range []func() (*figure, string, error){r.rocChart, r.prChart, r.reliabilityChart, r.leadChart, r.falseChart, r.tradeChart} {
		f, caption, err := next()
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		c, err := f.chart(fmt.Sprintf("plot%d", len(out)+1), caption, plotHeight, r.Label)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (f *figure) chart(id, caption string, height vg.Length, label func(name string) string) (chart, error) {
	svg, err := f.svg(id, plotWidth, height)
	if err != nil {
		return chart{}, err
	}
	c := chart{ID: id, Title: f.title, Caption: caption, SVG: svg}
	for k, name := range f.series {
		dash := ""
		for _, d := range dashes[k] {
			dash += fmt.Sprintf("%g ", float64(d))
		}
		c.Series = append(c.Series, swatch{label(name), k, dash})
	}
	return c, nil
}

// curvesOf draws a curve of each shown candidate.
func (r *Report) curvesOf(f *figure, points func(c *Figures) []Point) (*figure, error) {
	drawn := false
	for k, c := range r.shown() {
		p := points(c)
		f.series = append(f.series, c.Name)
		if len(p) == 0 {
			continue
		}
		drawn = true
		if err := f.line(p, k); err != nil {
			return nil, fmt.Errorf("draw %s: %w", f.title, err)
		}
	}
	if !drawn {
		return nil, nil
	}
	return f, nil
}

func (r *Report) rocChart() (*figure, string, error) {
	f := newFigure("ROC curve", "false positive share", "true positive share").unit()
	if err := f.guide(0, 0, 1, 1); err != nil {
		return nil, "", err
	}
	f.alt = "True positive share against false positive share of labelled " + r.Data.Unit + ". " + r.areas(func(f *RowFigures) float64 { return f.ROCAUC })
	f, err := r.curvesOf(f, func(c *Figures) []Point { return c.ROC })
	return f, "Of the " + r.Data.Unit + " that are positive and of those that are not, how many score from each threshold on. The dashed diagonal is chance.", err
}

func (r *Report) prChart() (*figure, string, error) {
	f := newFigure("Precision and recall", "recall", "precision").unit()
	f.alt = "Precision against recall of labelled " + r.Data.Unit + ". " + r.areas(func(f *RowFigures) float64 { return f.PRAUC })
	base := 0.0
	if r.Data.Labelled > 0 {
		base = float64(r.Data.Positives) / float64(r.Data.Labelled)
	}
	if err := f.guide(0, base, 1, base); err != nil {
		return nil, "", err
	}
	f, err := r.curvesOf(f, func(c *Figures) []Point { return c.PR })
	return f, fmt.Sprintf("How many of those told are right, as more are told. The dashed line is chance: %s of the labelled %s are positive.", percent(base), r.Data.Unit), err
}

// areas says the area of each shown candidate, for who cannot see the plot.
func (r *Report) areas(of func(f *RowFigures) float64) string {
	s := "Areas:"
	for i, c := range r.shown() {
		if c.Rows == nil {
			continue
		}
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf(" %s %.3f", r.Label(c.Name), of(c.Rows))
	}
	return s + "."
}

func (r *Report) reliabilityChart() (*figure, string, error) {
	c := &r.Candidates[0]
	if c.Reliability == nil || len(c.Reliability.Bins) == 0 {
		return nil, "", nil
	}
	f := newFigure("Reliability", "probability told", "share that was positive").unit()
	if err := f.guide(0, 0, 1, 1); err != nil {
		return nil, "", err
	}
	var points []Point
	var xy plotter.XYs
	f.alt = fmt.Sprintf("Calibration error %.4f.", c.Reliability.ECE)
	for _, b := range c.Reliability.Bins {
		points = append(points, Point{X: b.Mean, Y: b.Share})
		xy = append(xy, plotter.XY{X: b.Mean, Y: b.Share})
		f.alt += fmt.Sprintf(" Told %.2f on average in %s: %.2f were positive.", b.Mean, plural(b.Rows, "row"), b.Share)
	}
	if err := f.line(points, 0); err != nil {
		return nil, "", err
	}
	dots, err := plotter.NewScatter(xy)
	if err != nil {
		return nil, "", err
	}
	dots.Color, dots.Radius, dots.Shape = ink("s0"), 3, draw.CircleGlyph{}
	f.Add(dots)
	f.series = []string{c.Name}
	return f, fmt.Sprintf("Of rows told 0.3, three in ten should be positive: the dashed diagonal. Calibration error (ECE) %.4f, Brier score %.5f.", c.Reliability.ECE, *c.Rows.orBrier()), nil
}

// orBrier is the Brier score, 0 where there is none.
func (f *RowFigures) orBrier() *float64 {
	if f == nil || f.Brier == nil {
		return new(float64)
	}
	return f.Brier
}

// leadBin is how wide a bar of the lead-time distribution is, min.
const leadBin = 5.0

func (r *Report) leadChart() (*figure, string, error) {
	if r.Line == nil || len(r.Line.All.Leads) == 0 {
		return nil, "", nil
	}
	leads := r.Line.All.Leads
	f := newFigure("Lead time", "minutes from the first warning to the failure", "failures")
	counts := make([]float64, int(slices.Max(leads)/leadBin)+1)
	for _, v := range leads {
		counts[int(v/leadBin)]++
	}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		x := float64(i) * leadBin
		bar, err := plotter.NewPolygon(plotter.XYs{{X: x, Y: 0}, {X: x, Y: n}, {X: x + leadBin, Y: n}, {X: x + leadBin, Y: 0}})
		if err != nil {
			return nil, "", err
		}
		bar.Color, bar.LineStyle.Color, bar.LineStyle.Width = ink("s0"), ink("bg"), 1
		f.Add(bar)
	}
	f.X.Min, f.X.Max, f.Y.Min, f.Y.Max = 0, float64(len(counts))*leadBin, 0, slices.Max(counts)*1.08
	f.X.Tick.Marker, f.Y.Tick.Marker = wholes{}, wholes{}
	if err := f.guide(r.LeadMin, 0, r.LeadMin, f.Y.Max); err != nil {
		return nil, "", err
	}
	a := &r.Line.All
	f.alt = fmt.Sprintf("Lead times of %s: from %s to %s, median %s.", plural(len(leads), "failure"), minutes(leads[0]), minutes(leads[len(leads)-1]), minutes(a.MedianLead))
	return f, fmt.Sprintf("How long before the failure the first warning came. Half of them at least %s ahead, nine in ten at least %s. The dashed line is the lead that is wanted.",
		minutes(a.MedianLead), minutes(a.Lead(0.1))), nil
}

func (r *Report) falseChart() (*figure, string, error) {
	if r.Line == nil {
		return nil, "", nil
	}
	f := newFigure("False alarms by threshold", "threshold", "false alarms per 1,000 asset-hours")
	f.X.Min, f.X.Max, f.X.Tick.Marker = 0, 1, shares
	f.Y.Min, f.Y.Max, f.Y.Tick.Marker = 0, r.falseScale(), wholes{}
	f.alt = fmt.Sprintf("False alarms per 1,000 asset-hours against the threshold of an alert; the budget is %s.", short(r.Budget))
	if err := f.guide(0, r.Budget, 1, r.Budget); err != nil {
		return nil, "", err
	}
	f, err := r.curvesOf(f, func(c *Figures) []Point {
		var out []Point
		for _, s := range c.Sweep {
			out = append(out, Point{X: s.Threshold, Y: math.Min(s.FalseRate, f.Y.Max)})
		}
		return out
	})
	return f, fmt.Sprintf("What an alert from each threshold on would cost; rates above the scale lie on its edge. The dashed line is the budget of %s.", short(r.Budget)), err
}

// falseScale is the end of the axis of false alarms: some times the budget, or all there is.
func (r *Report) falseScale() float64 {
	most := 0.0
	for _, c := range r.shown() {
		for _, s := range c.Sweep {
			most = max(most, s.FalseRate)
		}
	}
	return max(min(most, 20*r.Budget), 1.5*r.Budget)
}

func (r *Report) tradeChart() (*figure, string, error) {
	if r.Line == nil || r.Line.All.Failures == 0 {
		return nil, "", nil
	}
	f := newFigure("Warned in time against false alarms", "false alarms per 1,000 asset-hours", "share of failures warned in time")
	f.X.Min, f.X.Max, f.X.Tick.Marker, f.Y.Min, f.Y.Max, f.Y.Tick.Marker = 0, r.falseScale(), wholes{}, 0, 1, shares
	f.alt = "Share of failures warned of in time against false alarms, by candidate."
	if err := f.guide(r.Budget, 0, r.Budget, 1); err != nil {
		return nil, "", err
	}
	f, err := r.curvesOf(f, func(c *Figures) []Point { return frontier(c.Sweep, f.X.Max) })
	return f, "What can be had for what: the best share at or below each rate of false alarms. The dashed line is the budget.", err
}

// frontier gives, by rising rate of false alarms, the greatest share that is warned of with no more of them.
func frontier(sweep []Step, most float64) []Point {
	steps := slices.Clone(sweep)
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.FalseRate, b.FalseRate), cmp.Compare(b.WarnedShare, a.WarnedShare))
	})
	var out []Point
	best := 0.0
	for _, s := range steps {
		if s.FalseRate > most {
			break
		}
		if s.WarnedShare > best || len(out) == 0 {
			out = append(out, Point{X: s.FalseRate, Y: best}, Point{X: s.FalseRate, Y: s.WarnedShare})
			best = s.WarnedShare
		}
	}
	if len(out) > 0 {
		out = append(out, Point{X: most, Y: best})
	}
	return out
}

// importanceChart draws what the loss of columns costs.
func importanceChart(id, title string, all []ColumnDrop, metric string) (chart, error) {
	const most = 12
	all = all[:min(len(all), most)]
	f := newFigure(title, "loss of average precision", "")
	values, names := make(plotter.Values, len(all)), make([]string, len(all))
	f.alt = "Loss of " + human(metric) + ":"
	for i, d := range all {
		k := len(all) - 1 - i // the first on top
		values[k], names[k] = d.Drop, d.Name
		f.alt += fmt.Sprintf(" %s %.3f;", human(d.Name), d.Drop)
	}
	bars, err := plotter.NewBarChart(values, 11)
	if err != nil {
		return chart{}, fmt.Errorf("draw %s: %w", title, err)
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, ink("s0"), 0
	f.Add(bars)
	for i, d := range all {
		y := float64(len(all) - 1 - i)
		l, err := plotter.NewLine(plotter.XYs{{X: d.Least, Y: y}, {X: d.Most, Y: y}})
		if err != nil {
			return chart{}, fmt.Errorf("draw %s: %w", title, err)
		}
		l.Color, l.Width = ink("fg"), 1.2
		f.Add(l)
	}
	f.NominalY(names...)
	f.X.Min = min(0, f.X.Min)
	return f.chart(id, "", 60+17*vg.Length(len(all)), human)
}
