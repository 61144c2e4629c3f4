package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/camrail/cidp/model"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"human": human, "alarms": falseAlarms, "percent": percent, "minutes": minutes, "short": short, "number": number, "time": utc, "span": span, "deref": func(v *float64) float64 { return *v },
	"group": groupName, "place": Place.String, "list": func(s []string) string { return strings.Join(s, ", ") },
}).Parse(pageText))

// mostRows is how many misses and false alarms the page lists; the JSON has all.
const mostRows = 200

// pageView is what the page's text is filled from.
type pageView struct {
	*Report
	Style      template.CSS
	Charts     []chart
	Importance []chart
	Drops      *Importance
	Tiles      []tile
	Confused   []*Figures
	Missed     []Failed
	False      []FalseAlarm
}

// tile is a figure at a glance.
type tile struct{ Value, Label string }

// WriteHTML writes the report as one page that needs nothing from outside itself. The same report gives the same bytes.
func WriteHTML(w io.Writer, r *Report) error {
	v := pageView{Report: r, Style: template.CSS(pageStyle), Drops: r.Importance, Tiles: r.tiles()}
	var err error
	if v.Charts, err = r.charts(); err != nil {
		return err
	}
	if i := r.Importance; i != nil {
		for k, part := range []struct {
			title string
			drops []ColumnDrop
		}{{"Families of columns", i.Families}, {"Single columns", i.Columns}} {
			if len(part.drops) == 0 {
				continue
			}
			c, err := importanceChart(fmt.Sprintf("importance%d", k+1), part.title, part.drops, i.Metric)
			if err != nil {
				return err
			}
			v.Importance = append(v.Importance, c)
		}
	}
	for _, f := range r.shown() {
		if f.AtBudget != nil && f.Rows != nil {
			v.Confused = append(v.Confused, f)
		}
	}
	if r.Line != nil {
		v.Missed, v.False = r.Line.Missed[:min(len(r.Line.Missed), mostRows)], r.Line.False[:min(len(r.Line.False), mostRows)]
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// tiles are the figures that people ask for first.
func (r *Report) tiles() []tile {
	if r.Line != nil {
		a := &r.Line.All
		out := []tile{{percent(a.WarnedShare), fmt.Sprintf("of %s warned at least %s ahead", plural(a.Failures, "failure"), minutes(r.LeadMin))}}
		if len(a.Leads) > 0 {
			out = append(out, tile{minutes(a.MedianLead), "median lead time"})
		}
		return append(out, tile{short(a.FalseRate), "false alarms per 1,000 asset-hours"}, tile{fmt.Sprintf("%d + %d", a.Missed, a.Late), "failures missed, warned too late"})
	}
	f := &r.Candidates[0]
	if f.Rows == nil {
		return nil
	}
	out := []tile{{fmt.Sprintf("%.3f", f.Rows.PRAUC), "average precision"}, {fmt.Sprintf("%.3f", f.Rows.ROCAUC), "ROC area"}}
	if f.Reliability != nil {
		out = append(out, tile{fmt.Sprintf("%.4f", f.Reliability.ECE), "calibration error"})
	}
	if f.AtBudget != nil {
		out = append(out, tile{percent(f.AtBudget.WarnedShare), "of the positive rows found within the budget"})
	}
	return out
}

// String is a sensor's name for people.
func (p Place) String() string {
	if p.Sensor == "" {
		return p.Asset
	}
	return p.Site + "/" + p.Asset + "/" + p.Sensor
}

func utc(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05")
}

func span(from, to int64) string {
	return fmt.Sprintf("%s to %s UTC", time.UnixMilli(from).UTC().Format("2006-01-02 15:04"), time.UnixMilli(to).UTC().Format("2006-01-02 15:04"))
}

// groupName is what a row of figures is about; false alarms where nothing was wrong have no fault.
func groupName(g model.MatchFigures) string {
	if g.Name == "" {
		return "nothing was wrong"
	}
	return human(g.Name)
}
