package bench

import (
	"slices"
	"strings"
)

// Names of figures. They are in the JSON: added to, never changed.
const (
	readingsRate = "readings_per_s"
	committed    = "committed_per_s" // at QoS 0, where nobody is told
	cpuReading   = "cpu_us_per_reading"
	cores        = "cores_percent" // 100: one core
	ackMedian    = "ack_p50_ms"
	ack99        = "ack_p99_ms"
	ackMax       = "ack_max_ms"
	resident     = "resident_mib"
	highest      = "resident_highest_mib"
	alerts       = "alerts"
	alertMedian  = "alert_p50_ms"
	alert99      = "alert_p99_ms"
	alertMax     = "alert_max_ms"
	bytesReading = "written_bytes_per_reading"
	commitRate   = "commits_per_s"
	windowRate   = "windows_per_s"
	quarantined  = "windows_quarantined_percent"
	others       = "others_percent"
	besideFloors = "others_beside_floors_percent"
	ownCPUShare  = "generator_us_per_reading"
	ownLag       = "generator_late_ms"
	ownBehind    = "generator_behind"

	databaseSize  = "database_mib"
	startMillis   = "start_ms"
	startResident = "start_resident_mib"
	cpuSpread     = "cpu_spread_percent" // greatest over least, of all sizes
	memoryBase    = "memory_base_mib"
	memorySlope   = "memory_slope_bytes" // for one more of what grows
	memoryOff     = "memory_off_percent" // from that line, at most
	workReading   = "work_us_per_reading"
	workWindow    = "work_us_per_window"
	workOff       = "work_off_percent"
	questionRate  = "questions_per_s"
	readersShare  = "readers_cores_percent"
	askedRate     = withReaders + readingsRate
	askedMedian   = withReaders + ackMedian
	asked99       = withReaders + ack99
	askedMax      = withReaders + ackMax
	askedCPU      = withReaders + cpuReading
	withReaders   = "asked_"

	mochiRate   = "mochi_readings_per_s"
	timesMochi  = "times_mochi"
	mochiCPU    = "mochi_us_per_reading"
	insertRate  = "insert_rows_per_s"
	insertCPU   = "insert_us_per_row"
	insertSize  = "insert_rows_per_commit" // of the fastest
	timesInsert = "times_insert"
	decodeRate  = "decode_readings_per_s"
	forestRate  = "forest_rows_per_s"
)

// figures are what one run measured, in order.
type figures []measured

type measured struct {
	name  string
	value float64
}

func (f *figures) set(name string, v float64) { *f = append(*f, measured{name, v}) }

// Figure is one thing measured in several runs.
type Figure struct {
	Name     string    `json:"name"`
	Median   float64   `json:"median"`
	Least    float64   `json:"least"`
	Greatest float64   `json:"greatest"`
	Values   []float64 `json:"values"` // by run
}

// collected are the figures of several runs.
type collected struct{ all []Figure }

func (c *collected) add(f figures) {
	for _, m := range f {
		i := slices.IndexFunc(c.all, func(f Figure) bool { return f.Name == m.name })
		if i < 0 {
			i = len(c.all)
			c.all = append(c.all, Figure{Name: m.name})
		}
		c.all[i].Values = append(c.all[i].Values, m.value)
	}
}

// ratio adds a ratio of two figures: of their medians, and the least and greatest of the runs' own.
func (c *collected) ratio(name, of, to string) {
	a, b := c.find(of), c.find(to)
	if a == nil || b == nil {
		return
	}
	f := Figure{Name: name}
	for i := range min(len(a.Values), len(b.Values)) {
		if b.Values[i] > 0 {
			f.Values = append(f.Values, a.Values[i]/b.Values[i])
		}
	}
	if to := median(b.Values); to > 0 {
		f.Median = median(a.Values) / to
		c.all = append(c.all, f)
	}
}

func (c *collected) find(name string) *Figure {
	for i := range c.all {
		if c.all[i].Name == name {
			return &c.all[i]
		}
	}
	return nil
}

// figures gives them with their medians.
func (c *collected) figures() []Figure {
	for i := range c.all {
		f := &c.all[i]
		if f.Median == 0 {
			f.Median = median(f.Values)
		}
		f.Least, f.Greatest = slices.Min(f.Values), slices.Max(f.Values)
	}
	return c.all
}

// median of values; of an even number of them the mean of the two in the middle.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// bounds are figures of which no run may have more: their medians would hide the one that did.
var bounds = []string{ackMax, alertMax, resident, highest}

// judged says which targets are met: by the median of the runs, a maximum by the greatest.
func judged(targets []Target, figures []Figure) (out []Target) {
	for _, t := range targets {
		t.Greatest, t.Unjudged = t.AtMost && slices.Contains(bounds, t.Figure), unmeasured
		for i := range figures {
			if f := &figures[i]; f.Name == t.Figure {
				v := t.of(f)
				t.Met, t.Unjudged = t.AtMost && v <= t.Value || !t.AtMost && v >= t.Value, ""
				if t.byClock() && disturbance(figures) > undisturbed {
					t.Met, t.Unjudged = false, "disturbed"
				}
			}
		}
		out = append(out, t)
	}
	return out
}

// byClock says whether a figure depends on what else the machine does: rates, latencies and ratios of them do; processor time, memory and bytes hardly.
func (t *Target) byClock() bool {
	return strings.HasSuffix(t.Figure, "_per_s") || strings.HasSuffix(t.Figure, "_ms") || strings.HasPrefix(t.Figure, "times_")
}

// undisturbed is how much of a core other programs may take, in per cent.
const undisturbed = 20

// disturbance is how much of a core other programs took at most, beside the platform or beside floors, in per cent; negative where that is not known.
func disturbance(figures []Figure) float64 {
	most := -1.0
	for _, f := range figures {
		if f.Name == others || f.Name == besideFloors {
			most = max(most, f.Greatest)
		}
	}
	return most
}

// unmeasured is why a target of which there is no figure is not judged.
const unmeasured = "not measured"

// of gives what of a figure is judged.
func (t *Target) of(f *Figure) float64 {
	if t.Greatest {
		return f.Greatest
	}
	return f.Median
}

// verdict says in a word or two whether the target is met.
func (t *Target) verdict() string {
	switch {
	case t.Unjudged == unmeasured:
		return unmeasured
	case t.Unjudged != "":
		return "not judged: " + t.Unjudged
	case t.Greatest:
		return met(t.Met) + ", by the greatest"
	}
	return met(t.Met)
}
