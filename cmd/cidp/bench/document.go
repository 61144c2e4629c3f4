package bench

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Join puts reports together that were measured one after the other. Of a scenario that is in several the last one counts.
func Join(reports []*Report) *Report {
	out := *reports[len(reports)-1]
	out.Scenarios = nil
	for _, r := range reports {
		for i := range r.Scenarios {
			s := r.Scenarios[i]
			if s.Started.IsZero() {
				s.Started = r.Started
			}
			out.Scenarios = slices.DeleteFunc(out.Scenarios, func(o Result) bool { return o.Name == s.Name })
			out.Scenarios = append(out.Scenarios, s)
		}
	}
	slices.SortStableFunc(out.Scenarios, func(a, b Result) int { return slices.Index(Names(), a.Name) - slices.Index(Names(), b.Name) })
	return &out
}

// placed are the places of a document that are filled from a report, each from its own line to the next end.
var (
	placed = regexp.MustCompile(`(?s)(<!-- cidp bench: ([a-z0-9-]+) -->\n)(.*?)(<!-- end -->\n)`)
	opened = regexp.MustCompile(`<!-- cidp bench: `)
)

// Fill writes what was measured into a document, between lines <!-- cidp bench: NAME --> and <!-- end -->: the names of scenarios, targets, stages. What the report knows
// nothing of stays, and is told.
func (r *Report) Fill(document []byte) (filled []byte, kept []string, err error) {
	if n, m := len(opened.FindAll(document, -1)), len(placed.FindAll(document, -1)); n == 0 || n != m {
		return nil, nil, fmt.Errorf("fill document: %d places begin with <!-- cidp bench: NAME --> and %d end with <!-- end -->", n, m)
	}
	filled = placed.ReplaceAllFunc(document, func(place []byte) []byte {
		m := placed.FindSubmatch(place)
		var out bytes.Buffer
		r.place(&out, string(m[2]))
		if out.Len() == 0 {
			kept = append(kept, string(m[2]))
			return place
		}
		return slices.Concat(m[1], []byte("\n"), out.Bytes(), []byte("\n"), m[4])
	})
	return filled, kept, nil
}

// place writes one of them, and nothing when nothing is known of it.
func (r *Report) place(out io.Writer, name string) {
	switch name {
	case "targets":
		if g := r.goals(); len(g.rows) > 0 {
			g.markdown(out)
		}
		return
	case "stages":
		if g := r.stages(); len(g.rows) > 0 {
			g.markdown(out)
		}
		return
	}
	for i := range r.Scenarios {
		if s := &r.Scenarios[i]; s.Name == name {
			r.conditions(out, s)
			s.markdown(out)
		}
	}
}

// conditions says under which a scenario was measured.
func (r *Report) conditions(out io.Writer, s *Result) {
	others := "what other programs took of them is not known"
	if n := s.others(); n >= 0 {
		others = fmt.Sprintf("other programs took up to %.0f %% of a core meanwhile", n)
	}
	fmt.Fprintf(out, "**%s**: %s.\n\nMeasured %s with cidp %s, %s/%s, %s, on %d cores that platform and generator share; %s. ", s.Name, s.About, s.Started.Format("2006-01-02 15:04 MST"), r.Version, r.Machine.OS, r.Machine.Arch,
		r.Machine.Go, r.Machine.CPUs, others)
	if len(s.Points) == 0 {
		fmt.Fprintf(out, "Load: %s, %d connections, %d sensors, %d a message, QoS %d; ", s.offered(), s.Load.Connections, s.Load.Sensors, s.Load.Batch, s.Load.QoS)
	}
	fmt.Fprintf(out, "medians of %d.\n\n", s.Runs)
	if s.Failure != "" {
		fmt.Fprintf(out, "**It failed**: %s\n\n", s.Failure)
	}
}

// markdown writes a scenario's tables.
func (r *Result) markdown(out io.Writer) {
	for _, g := range r.tables() {
		g.markdown(out)
		fmt.Fprintln(out)
	}
	g := grid{head: []string{"figure", "median", "least", "greatest", "target", ""}}
	for _, l := range labels {
		if f := r.figure(l.name); f != nil {
			goal, is, _ := strings.Cut(r.target(f.Name), "\t")
			g.rows = append(g.rows, []string{l.text, thousands(f.Median, l.digits), thousands(f.Least, l.digits), thousands(f.Greatest, l.digits), goal, is})
		}
	}
	if l := &r.Ledger; l.Received > 0 {
		g.rows = append(g.rows, []string{"lost, of " + thousands(float64(l.Received), 0), thousands(float64(l.Lost), 0), "", "", "0", met(l.Lost == 0)})
	}
	g.markdown(out)
}

// goals are all targets, with what was reached.
func (r *Report) goals() *grid {
	g := &grid{head: []string{"scenario", "figure", "reached", "target", "", "others, % of a core"}}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		for _, t := range s.Targets {
			if f := s.figure(t.Figure); f != nil {
				l, others := labelOf(f.Name), ""
				if n := s.others(); n >= 0 {
					others = thousands(n, 0)
				}
				goal, is, _ := strings.Cut(s.target(f.Name), "\t")
				g.rows = append(g.rows, []string{s.Name, l.text, thousands(t.of(f), l.digits), goal, is, others})
			}
		}
	}
	return g
}

// stages puts the processor time of all scenarios that were profiled side by side, microseconds a reading.
func (r *Report) stages() *grid {
	g := &grid{head: []string{"us a reading"}}
	var names []string
	for i := range r.Scenarios {
		if len(r.Scenarios[i].Stages) > 0 {
			g.head = append(g.head, r.Scenarios[i].Name)
		}
		for _, s := range r.Scenarios[i].Stages {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	for _, name := range names {
		row := []string{name}
		for i := range r.Scenarios {
			if stages := r.Scenarios[i].Stages; len(stages) > 0 {
				cell := ""
				for _, s := range stages {
					if s.Name == name {
						cell = fmt.Sprintf("%.2f (%.0f %%)", s.Micros, 100*s.Share)
					}
				}
				row = append(row, cell)
			}
		}
		g.rows = append(g.rows, row)
	}
	return g
}
