package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/camrail/cidp/cmd/cidp/floor"
)

// series is a line of a plot.
type series struct {
	name   string
	x, y   []float64
	dashed bool
}

// Plots draws what has sizes into a folder, as SVG files named after the scenario and what they show, and gives their names.
func (r *Report) Plots(dir string) (files []string, err error) {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if len(s.Points) < 2 {
			continue
		}
		for _, d := range []struct {
			what, unit string
			log        bool
			lines      []series
		}{
			{"cpu", "CPU a reading, us", false, s.lines([]label{{cpuReading, "measured", 0}}, s.modelled())},
			{"memory", "resident, MiB", false, s.lines([]label{{resident, "measured", 0}}, s.straight())},
			{"questions", "answered after, p50, ms", true, s.lines(asks(), nil)},
		} {
			if len(d.lines) == 0 || d.what == "questions" && s.Sizes != grownReadings {
				continue
			}
			name := s.Name + "-" + d.what + ".svg"
			text, err := drawn(s.Sizes, d.unit, d.log, d.lines)
			if err != nil {
				return files, fmt.Errorf("draw %s: %w", name, err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				return files, fmt.Errorf("draw %s: %w", name, err)
			}
			files = append(files, name)
		}
	}
	return files, nil
}

func asks() (out []label) {
	for _, q := range floor.Questions {
		out = append(out, label{askMedian(q.Name), q.Short, 0})
	}
	return out
}

// lines are figures over the sizes, as far as all points have them, and what was fitted to them.
func (r *Result) lines(of []label, fit *series) (out []series) {
	var x []float64
	for i := range r.Points {
		x = append(x, r.Points[i].Size)
	}
	for _, l := range of {
		if y := at(r.Points, l.name); y != nil {
			out = append(out, series{name: l.text, x: x, y: y})
		}
	}
	if fit != nil && len(out) > 0 {
		fit.x, fit.dashed = x, true
		out = append(out, *fit)
	}
	return out
}

// straight is the line that memory was fitted to.
func (r *Result) straight() *series {
	base, slope := r.figure(memoryBase), r.figure(memorySlope)
	if base == nil || slope == nil {
		return nil
	}
	s := &series{name: fmt.Sprintf("%.0f MiB + %s B each", base.Median, thousands(slope.Median, 0))}
	for i := range r.Points {
		s.y = append(s.y, base.Median+slope.Median*r.Points[i].Size/mib)
	}
	return s
}

// modelled is what readings and windows were fitted to.
func (r *Result) modelled() *series {
	reading, window := r.figure(workReading), r.figure(workWindow)
	if reading == nil || window == nil {
		return nil
	}
	s := &series{name: fmt.Sprintf("%.1f us a reading + %.0f us a window", reading.Median, window.Median)}
	rate, windows := at(r.Points, readingsRate), at(r.Points, windowRate)
	for i := range rate {
		s.y = append(s.y, reading.Median+window.Median*windows[i]/rate[i])
	}
	return s
}

// inks tell series apart, in daylight and for who sees no red or green.
var inks = []color.NRGBA{{0, 90, 181, 255}, {220, 50, 32, 255}, {0, 140, 110, 255}, {150, 80, 170, 255}, {200, 130, 0, 255}, {70, 70, 70, 255}}

// ticks are at the sizes themselves. Neighbours closer than a tenth of the axis have no room for two labels.
func ticks(sizes []float64) (out plot.ConstantTicks) {
	span, last := math.Log(sizes[len(sizes)-1]/sizes[0]), math.Inf(-1)
	for _, v := range sizes {
		t := plot.Tick{Value: v}
		if at := math.Log(v) / span; at-last > 0.1 {
			t.Label, last = thousands(v, -1), at
		}
		out = append(out, t)
	}
	return out
}

// drawn draws lines over sizes, which are spread by their logarithm.
func drawn(x, y string, log bool, lines []series) ([]byte, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticks(lines[0].x)
	p.X.Min, p.X.Max = lines[0].x[0]/1.3, lines[0].x[len(lines[0].x)-1]*1.3
	if log {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, 2
	p.Add(plotter.NewGrid())
	least, most := lines[0].y[0], lines[0].y[0]
	for i, s := range lines {
		xy := make(plotter.XYs, len(s.x))
		for k := range s.x {
			xy[k] = plotter.XY{X: s.x[k], Y: s.y[k]}
			least, most = min(least, s.y[k]), max(most, s.y[k])
		}
		l, dots, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width, dots.Color, dots.Shape = inks[i%len(inks)], 1.5, inks[i%len(inks)], draw.CircleGlyph{}
		p.Add(l)
		if s.dashed {
			l.Dashes = []vg.Length{4, 3}
		} else {
			p.Add(dots)
		}
		p.Legend.Add(s.name, l)
	}
	if p.Y.Min, p.Y.Max = 0, most*1.6; log { // the legend has room above
		p.Y.Min, p.Y.Max = least/2, most*100
	}
	c := vgsvg.New(440, 270)
	p.Draw(draw.New(c))
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
