package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plots are drawn in colours that stand for names: once drawn, each is replaced by a variable of the page's style, so that one plot is readable in the light, in the dark and on paper.
var inks = []struct {
	name string
	ink  color.NRGBA
}{
	{"fg", color.NRGBA{1, 1, 1, 255}}, {"bg", color.NRGBA{9, 1, 1, 255}}, {"grid", color.NRGBA{2, 1, 1, 255}}, {"faint", color.NRGBA{3, 1, 1, 255}},
	{"s0", color.NRGBA{4, 1, 1, 255}}, {"s1", color.NRGBA{5, 1, 1, 255}}, {"s2", color.NRGBA{6, 1, 1, 255}}, {"s3", color.NRGBA{7, 1, 1, 255}}, {"s4", color.NRGBA{8, 1, 1, 255}},
}

func ink(name string) color.Color {
	for _, i := range inks {
		if i.name == name {
			return i.ink
		}
	}
	return color.Black
}

// dashes tell series apart without colour.
var dashes = [][]vg.Length{nil, {7, 3}, {2, 2}, {8, 2, 2, 2}, {3, 4}}

// maxSeries is how many candidates a plot shows.
const maxSeries = 5

// Text is laid out a little larger than it is shown, since the reader's typeface may be wider than the one that it is measured by.
const (
	labelSize, tickSize   = 12, 11.5
	labelShown, tickShown = "font-size:11px", "font-size:10px"
)

const (
	plotWidth  = 380 * vg.Length(1)
	plotHeight = 260 * vg.Length(1)
)

// figure is a plot with its words.
type figure struct {
	*plot.Plot
	title, alt string
	series     []string // names of the candidates in it, in order
}

func newFigure(title, x, y string) *figure {
	p := plot.New()
	p.BackgroundColor = nil // the page's
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.LineStyle.Color, a.Tick.LineStyle.Color = ink("fg"), ink("fg"), ink("fg")
		a.Label.TextStyle.Color, a.Tick.Label.Color = ink("fg"), ink("fg")
		a.Label.TextStyle.Font.Variant, a.Tick.Label.Font.Variant = "Sans", "Sans"
		a.Label.TextStyle.Font.Size, a.Tick.Label.Font.Size = labelSize, tickSize
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0.7, 0.7
		a.Padding = 3
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = ink("grid"), ink("grid")
	grid.Vertical.Width, grid.Horizontal.Width = 0.5, 0.5
	p.Add(grid)
	return &figure{Plot: p, title: title}
}

// line adds a series.
func (f *figure) line(points []Point, k int) error {
	xy := make(plotter.XYs, len(points))
	for i, p := range points {
		xy[i] = plotter.XY{X: p.X, Y: p.Y}
	}
	l, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	l.Color, l.Width, l.Dashes = ink(fmt.Sprintf("s%d", k)), 1.8, dashes[k]
	f.Add(l)
	return nil
}

// guide adds a thin line that means nothing but a place.
func (f *figure) guide(x0, y0, x1, y1 float64) error {
	l, err := plotter.NewLine(plotter.XYs{{X: x0, Y: y0}, {X: x1, Y: y1}})
	if err != nil {
		return err
	}
	l.Color, l.Width, l.Dashes = ink("faint"), 1, []vg.Length{3, 3}
	f.Add(l)
	return nil
}

// unit is a figure of two shares.
func (f *figure) unit() *figure {
	f.X.Min, f.X.Max, f.Y.Min, f.Y.Max = 0, 1, 0, 1
	f.X.Tick.Marker, f.Y.Tick.Marker = shares, shares
	return f
}

// wholes are ticks at whole numbers, not too many of them.
type wholes struct{}

func (wholes) Ticks(least, most float64) (out []plot.Tick) {
	step := 1.0
	for _, next := range []float64{2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000} {
		if (most-least)/step > 8 {
			step = next
		}
	}
	for v := math.Ceil(least/step) * step; v <= most; v += step {
		out = append(out, plot.Tick{Value: v, Label: fmt.Sprintf("%.0f", v)})
	}
	return out
}

// shares are the ticks of an axis from 0 to 1.
var shares = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 0.2, Label: "0.2"}, {Value: 0.4, Label: "0.4"}, {Value: 0.6, Label: "0.6"}, {Value: 0.8, Label: "0.8"}, {Value: 1, Label: "1"}}

var (
	svgHead = regexp.MustCompile(`(?s)^.*?<svg [^>]*viewBox="([^"]*)"[^>]*>`)
	svgText = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)
)

// svg draws the figure as an element of the page.
func (f *figure) svg(id string, width, height vg.Length) (template.HTML, error) {
	c := vgsvg.NewWith(vgsvg.UseWH(width, height))
	f.Draw(draw.New(c))
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return "", fmt.Errorf("draw %s: %w", f.title, err)
	}
	text := out.String()
	m := svgHead.FindStringSubmatchIndex(text)
	if m == nil {
		return "", fmt.Errorf("draw %s: the drawing has no head", f.title)
	}
	head := fmt.Sprintf(`<svg viewBox="%s" role="img" aria-labelledby="%s-t %[2]s-d"><title id="%[2]s-t">%s</title><desc id="%[2]s-d">%s</desc>`,
		text[m[2]:m[3]], id, html.EscapeString(f.title), html.EscapeString(f.alt))
	text = head + svgText.ReplaceAllString(text[m[1]:], "")
	text = strings.NewReplacer("font-size:12px", labelShown, "font-size:11.5px", tickShown).Replace(text)
	for _, i := range inks {
		text = strings.ReplaceAll(text, fmt.Sprintf("#%02X%02X%02X", i.ink.R, i.ink.G, i.ink.B), "var(--"+i.name+")")
	}
	return template.HTML(strings.TrimSpace(text)), nil // of our own figures, drawn by us; names are escaped
}
