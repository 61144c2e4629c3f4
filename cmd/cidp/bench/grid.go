package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/camrail/cidp/cmd/cidp/floor"
)

// grid is a table for people: on a terminal, or in a document.
type grid struct {
	head []string
	rows [][]string
}

// text writes it in columns, the first to the left.
func (g *grid) text(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{g.head}, g.rows...) {
		fmt.Fprintf(t, "  %s\t\n", strings.Join(row, "\t"))
	}
	_ = t.Flush() // a strings.Builder takes everything
}

// markdown writes it for a document.
func (g *grid) markdown(out io.Writer) {
	fmt.Fprintf(out, "| %s |\n|%s\n", strings.Join(g.head, " | "), strings.Repeat("---|", len(g.head)))
	for _, row := range g.rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
}

// costs are the columns of what readings cost at a size: processor time and bytes written are of one, memory is resident, a start is until it accepts and commits, with what is resident then, others
// are other programs in per cent of a core.
var costs = []label{
	{cpuReading, "CPU us", 2},
	{readingsRate, "readings/s", 0},
	{ackMedian, "ack p50 ms", 1},
	{ack99, "ack p99 ms", 1},
	{windowRate, "windows/s", 0},
	{commitRate, "commits/s", 0},
	{resident, "MiB", 0},
	{bytesReading, "written B", 0},
	{databaseSize, "database MiB", 0},
	{startMillis, "start ms", 0},
	{startResident, "start MiB", 0},
	{others, "others %", 0},
}

// sized makes a table of what readings cost at all points. Columns that no point has are left out.
func (r *Result) sized() *grid {
	g := &grid{head: []string{r.Sizes}}
	columns := slices.DeleteFunc(slices.Clone(costs), func(l label) bool { return at(r.Points, l.name) == nil })
	for _, l := range columns {
		g.head = append(g.head, l.text)
	}
	for i := range r.Points {
		row := []string{thousands(r.Points[i].Size, -1)}
		for _, l := range columns {
			row = append(row, thousands(at(r.Points[i:i+1], l.name)[0], l.digits))
		}
		g.rows = append(g.rows, row)
	}
	return g
}

// waits makes a table of how long answers take at all points, while nothing is written: ms, and the rows of an answer.
func (r *Result) waits() *grid {
	g := &grid{head: []string{r.Sizes}}
	for i := range r.Points {
		g.rows = append(g.rows, []string{thousands(r.Points[i].Size, -1)})
	}
	for _, q := range floor.Questions {
		wait, rows := at(r.Points, askMedian(q.Name)), at(r.Points, askRows(q.Name))
		if wait == nil || rows == nil {
			continue
		}
		g.head = append(g.head, q.Short+" ms (rows)")
		for i := range wait {
			g.rows[i] = append(g.rows[i], fmt.Sprintf("%s (%s)", thousands(wait[i], 2), thousands(rows[i], 0)))
		}
	}
	return g
}

// asked makes a table of the questions that were asked beside a load, nil when none was.
func (r *Result) asked() *grid {
	g := &grid{head: []string{"question", "rows", "answers", "p50, ms", "p99, ms"}}
	for _, q := range floor.Questions {
		row := []string{q.About}
		for _, l := range []label{{name: askRows(q.Name)}, {name: askCount(q.Name)}, {name: askMedian(q.Name), digits: 2}, {name: ask99(q.Name), digits: 2}} {
			if f := r.figure(l.name); f != nil {
				row = append(row, thousands(f.Median, l.digits))
			}
		}
		if len(row) == len(g.head) {
			g.rows = append(g.rows, row)
		}
	}
	if len(g.rows) == 0 {
		return nil
	}
	return g
}

// figure finds one by its name, nil when it was not measured.
func (r *Result) figure(name string) *Figure {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			return &r.Figures[i]
		}
	}
	return nil
}

// tables gives those that a scenario has beside its figures.
func (r *Result) tables() (out []*grid) {
	if len(r.Points) > 0 {
		out = append(out, r.sized(), r.waits())
	}
	if g := r.asked(); g != nil {
		out = append(out, g)
	}
	return out
}
