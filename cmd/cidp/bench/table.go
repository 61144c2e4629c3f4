package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

type label struct {
	name, text string
	digits     int
}

// labels are what figures are called in the table, in its order, with the digits after the point.
var labels = []label{
	{readingsRate, "readings/s acknowledged = committed", 0},
	{committed, "readings/s committed", 0},
	{mochiRate, "floor: bare mochi, readings/s", 0},
	{timesMochi, "times bare mochi", 2},
	{insertRate, "floor: raw keyed insert, rows/s", 0},
	{insertSize, "floor: raw keyed insert, rows a commit", 0},
	{timesInsert, "times the raw insert", 2},
	{decodeRate, "floor: decoder alone, one core, readings/s", 0},
	{forestRate, "floor: forest alone, one core, rows/s", 0},
	{alerts, "alerts", 0},
	{alertMedian, "closing reading to alert, p50, ms", 2},
	{alert99, "closing reading to alert, p99, ms", 2},
	{alertMax, "closing reading to alert, max, ms", 2},
	{ackMedian, "acknowledged after, p50, ms", 2},
	{ack99, "acknowledged after, p99, ms", 2},
	{ackMax, "acknowledged after, max, ms", 2},
	{cpuReading, "CPU a reading, us", 2},
	{mochiCPU, "floor: bare mochi, CPU a reading, us", 2},
	{insertCPU, "floor: raw keyed insert, CPU a row, us", 2},
	{cores, "CPU, % of a core", 1},
	{resident, "resident, highest, MiB", 0},
	{highest, "resident since its start, highest, MiB", 0},
	{bytesReading, "bytes written a stored reading", 0},
	{commitRate, "commits/s", 0},
	{windowRate, "windows/s", 0},
	{quarantined, "windows quarantined, %", 1},
	{askedRate, "with readers: readings/s", 0},
	{askedMedian, "with readers: acknowledged after, p50, ms", 2},
	{asked99, "with readers: acknowledged after, p99, ms", 2},
	{askedMax, "with readers: acknowledged after, max, ms", 2},
	{askedCPU, "with readers: CPU a reading, us", 2},
	{questionRate, "questions/s", 1},
	{readersShare, "readers: CPU, % of a core", 0},
	{cpuSpread, "CPU a reading, greatest over least size, %", 1},
	{workReading, "fitted: CPU of a reading, us", 2},
	{workWindow, "fitted: CPU of a window, us", 1},
	{workOff, "CPU, furthest from the fit, %", 1},
	{memoryBase, "fitted: memory, MiB", 0},
	{memorySlope, "fitted: memory for each more, bytes", 0},
	{memoryOff, "memory, furthest from the fit, %", 1},
	{ownCPUShare, "generator: CPU a reading, us", 2},
	{ownLag, "generator: late at most, ms", 1},
	{ownBehind, "generator: messages due and not sent", 0},
	{others, "other programs, % of a core", 0},
	{besideFloors, "other programs beside floors, % of a core", 0},
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "cidp %s, %d cores shared by platform and generator, %s/%s, %s, %s\n", r.Version, r.Machine.CPUs, r.Machine.OS, r.Machine.Arch, r.Machine.Go,
		r.Started.Format("2006-01-02 15:04 MST"))
	if r.Data != "" {
		fmt.Fprintf(&out, "data in %s (%s)\n", r.Data, cmp.Or(r.Disk, "file system unknown"))
	}
	if len(r.With) > 0 {
		fmt.Fprintf(&out, "the platform has further arguments: %s\n", strings.Join(r.With, " "))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&out, n)
	}
	for i := range r.Scenarios {
		r.Scenarios[i].write(&out)
	}
	r.writeTargets(&out)
	_, err := io.WriteString(w, out.String())
	return err
}

// writeTargets prints every target once more, all in one place.
func (r *Report) writeTargets(out io.Writer) {
	if !slices.ContainsFunc(r.Scenarios, func(s Result) bool { return len(s.Targets) > 0 }) {
		return
	}
	fmt.Fprint(out, "\ntargets, by the medians; maxima and memory by the greatest of the runs\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		for _, goal := range s.Targets {
			l, value := labelOf(goal.Figure), "-"
			for j := range s.Figures {
				if f := &s.Figures[j]; f.Name == goal.Figure {
					value = thousands(goal.of(f), l.digits)
				}
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Name, l.text, value, s.target(goal.Figure))
		}
	}
	_ = t.Flush() // a strings.Builder takes everything
}

// labelOf gives a figure's label; one without is called by its name.
func labelOf(name string) label {
	for _, l := range labels {
		if l.name == name {
			return l
		}
	}
	return label{name, name, 2}
}

func (r *Result) write(out io.Writer) {
	fmt.Fprintf(out, "\n%s: %s\n", r.Name, r.About)
	fmt.Fprintf(out, "  %d connections, %d sensors, %d a message, QoS %d, %s; %s of %gs after %.3gs\n", r.Load.Connections, r.Load.Sensors, r.Load.Batch, r.Load.QoS, r.offered(), r.runs(), r.Seconds, r.Warm)
	for _, g := range r.tables() {
		g.text(out)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tmedian\tleast\tgreatest\ttarget\t\t\n")
	for _, l := range labels {
		if f := r.figure(l.name); f != nil {
			fmt.Fprintf(t, "  %-42s\t%s\t%s\t%s\t%s\t\n", l.text, thousands(f.Median, l.digits), thousands(f.Least, l.digits), thousands(f.Greatest, l.digits), r.target(f.Name))
		}
	}
	if l := &r.Ledger; l.Received > 0 {
		fmt.Fprintf(t, "  %-42s\t%d\t\t\t0\t%s\t\n", "lost", l.Lost, met(l.Lost == 0))
	}
	_ = t.Flush() // a strings.Builder takes everything
	if l := &r.Ledger; l.Received > 0 {
		fmt.Fprintf(out, "  ledger: acknowledged %d, received %d = stored %d + duplicate %d + late %d + refused %d; ", l.Acked, l.Received, l.Stored, l.Duplicate, l.Late, l.Refused)
		if len(r.Points) > 0 {
			fmt.Fprintf(out, "%d databases verified\n", l.Verified)
		} else {
			fmt.Fprintf(out, "%d of %d databases verified\n", l.Verified, r.Runs)
		}
	}
	if n := r.disturbed(); n > 0 {
		fmt.Fprintf(out, "  DISTURBED: other programs took up to %.0f %% of a core. Rates, latencies and their ratios mean little and are not judged; processor time a reading, memory and bytes do.\n", n)
	}
	if len(r.Stages) > 0 {
		fmt.Fprintf(out, "  %-42s%10s%10s\n", "CPU by stage, last run", "us", "%")
		for _, s := range r.Stages {
			fmt.Fprintf(out, "    %-40s%10.2f%10.1f\n", s.Name, s.Micros, 100*s.Share)
		}
	}
	if r.Failure != "" {
		fmt.Fprintf(out, "  FAILED: %s\n", r.Failure)
	}
}

// offered says how fast readings come.
func (r *Result) offered() string {
	if r.Load.Rate > 0 {
		return thousands(r.Load.Rate, 0) + " readings/s"
	}
	return "flat out"
}

// disturbed is how much of a core other programs took at most, 0 where it does not matter.
func (r *Result) disturbed() float64 {
	if n := r.others(); n > undisturbed {
		return n
	}
	return 0
}

// target says what a figure had to be and whether it is, in two cells.
func (r *Result) target(figure string) string {
	for _, t := range r.Targets {
		if t.Figure != figure {
			continue
		}
		sign := ">="
		if t.AtMost {
			sign = "<="
		}
		return sign + " " + thousands(t.Value, -1) + "\t" + t.verdict()
	}
	return "\t"
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "not met"
}

// runs says how many there were, and where they are too few for a median.
func (r *Result) runs() string {
	switch {
	case r.Runs == 1:
		return "one run, which is no median,"
	case r.Runs < fewestRuns:
		return fmt.Sprintf("%d runs, few for a median,", r.Runs)
	}
	return fmt.Sprintf("%d runs", r.Runs)
}

// fewestRuns is how many a median needs that is to be relied on.
const fewestRuns = 5

// thousands writes a number with its thousands apart; -1 digits: as many as it has.
func thousands(v float64, digits int) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	whole, rest, point := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if v < 0 {
		whole = "-" + whole
	}
	if point {
		whole += "." + rest
	}
	return whole
}

// others is the disturbance of all that was measured, at whatever size; negative where that is not known.
func (r *Result) others() float64 {
	most := disturbance(r.Figures)
	for i := range r.Points {
		most = max(most, disturbance(r.Points[i].Figures))
	}
	return most
}
