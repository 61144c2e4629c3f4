package bench

import (
	"math"
	"slices"
)

// at gives a figure's medians at all points, nil when one of them lacks it.
func at(points []Point, figure string) (out []float64) {
	for i := range points {
		k := slices.IndexFunc(points[i].Figures, func(f Figure) bool { return f.Name == figure })
		if k < 0 {
			return nil
		}
		out = append(out, points[i].Figures[k].Median)
	}
	return out
}

func fitted(name string, v float64) Figure { return Figure{name, v, v, v, []float64{v}} }

// spread says by how much the greatest of the points is above the least, in percent: what flat means here.
func spread(points []Point, figure, name string) (out []Figure) {
	if v := at(points, figure); len(v) > 1 && slices.Min(v) > 0 {
		out = append(out, fitted(name, 100*(slices.Max(v)/slices.Min(v)-1)))
	}
	return out
}

// memory fits resident memory to a line over the sizes, and says how far off it the points are at most.
func memory(points []Point) (out []Figure) {
	v := at(points, resident)
	if len(v) < 3 {
		return nil
	}
	var x []float64
	for i := range points {
		x = append(x, points[i].Size)
	}
	base, slope := line(x, v)
	off := 0.0
	for i := range x {
		off = max(off, math.Abs(v[i]/(base+slope*x[i])-1))
	}
	return []Figure{fitted(memoryBase, base), fitted(memorySlope, slope*mib), fitted(memoryOff, 100*off)}
}

// work fits the cost of a reading to that of a reading and that of the windows that it brings, and says how far off that the points are at most.
func work(points []Point) (out []Figure) {
	cost, rate, windows := at(points, cpuReading), at(points, readingsRate), at(points, windowRate)
	if len(cost) < 3 || len(rate) != len(cost) || len(windows) != len(cost) {
		return nil
	}
	var x []float64
	for i := range cost {
		x = append(x, windows[i]/rate[i])
	}
	base, slope := line(x, cost)
	off := 0.0
	for i := range x {
		off = max(off, math.Abs(cost[i]/(base+slope*x[i])-1))
	}
	return []Figure{fitted(workReading, base), fitted(workWindow, slope), fitted(workOff, 100*off)}
}

// line fits y = base + slope x by least squares of relative residuals: what is small counts as much as what is large.
func line(x, y []float64) (base, slope float64) {
	var w, wx, wy, wxx, wxy float64
	for i := range x {
		k := 1 / (y[i] * y[i])
		w, wx, wy, wxx, wxy = w+k, wx+k*x[i], wy+k*y[i], wxx+k*x[i]*x[i], wxy+k*x[i]*y[i]
	}
	slope = (w*wxy - wx*wy) / (w*wxx - wx*wx)
	return (wy - slope*wx) / w, slope
}
