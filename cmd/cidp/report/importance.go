package report

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/camrail/cidp/model"
)

// Importance is how much worse the forest ranks when columns are torn from their rows (permutation importance: Breiman 2001; Fisher, Rudin and Dominici 2019). Columns that tell the same
// are hidden by each other when one goes alone, so families of them go together as well. A value always comes from a row of another asset, where there is one: neighbours in time are too alike.
type Importance struct {
	Metric   string       `json:"metric"` // what falls: pr_auc
	Base     float64      `json:"base"`   // with all columns in place
	Rows     int          `json:"rows"`   // measured on: all positive ones, and negative ones drawn up to a bound
	Repeats  int          `json:"repeats"`
	Seed     uint64       `json:"seed"`
	Families []ColumnDrop `json:"families"`
	Columns  []ColumnDrop `json:"columns"`
}

// ColumnDrop is what the loss of columns costs.
type ColumnDrop struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns,omitempty"` // of a family
	Drop    float64  `json:"drop"`              // of the metric: mean over the repeats; below 0: by chance
	Least   float64  `json:"least"`
	Most    float64  `json:"most"`
}

const (
	importanceRows    = 20_000
	importanceRepeats = 3
)

// families are columns that tell of one thing, by their names.
var families = []struct {
	name  string
	names []string
}{
	{"its temperature", []string{"mean_c", "max_c", "min_c", "last_c", "over_ambient_c", "heading_over_ambient_c"}},
	{"how it moves", []string{"std_c", "slope_c_per_min", "short_long_c"}},
	{"against its own past", []string{"rise_baseline_c"}},
	{"against peers and mate", []string{"peer_diff_c", "peer_z", "mate_diff_c"}},
	{"what the vehicle does", []string{"ambient_mean_c", "speed_mean_kmh", "load_mean_t", "brake_share"}},
	{"what it is", []string{"kind_code"}},
	{"quality of the data", []string{"completeness", "suspect_share"}},
}

// importance measures the first candidate's model.
func importance(in *Input, rows []int) (*Importance, error) {
	rng := rand.New(rand.NewPCG(in.Seed, 0x1d872b41))
	rows = drawn(in, rows, rng)
	x, y := make([][]float64, len(rows)), make([]uint8, len(rows))
	positives := 0
	for k, i := range rows {
		x[k], y[k] = slices.Clone(in.Rows[i].X), in.Rows[i].Y
		positives += int(y[k])
	}
	if positives == 0 || positives == len(rows) {
		return nil, nil // nothing can be ranked
	}
	m := &shuffler{in: in, rows: rows, x: x, y: y, p: make([]float64, len(rows))}
	base, err := m.measure(nil, nil)
	if err != nil {
		return nil, err
	}
	out := &Importance{Metric: "pr_auc", Base: base, Rows: len(rows), Repeats: importanceRepeats, Seed: in.Seed}
	for range importanceRepeats {
		m.from = append(m.from, m.strangers(rng))
	}
	for j, f := range in.Schema {
		d, err := m.drop(base, []int{j})
		if err != nil {
			return nil, err
		}
		d.Name = f.Name
		out.Columns = append(out.Columns, d)
	}
	for _, fam := range families {
		var columns []int
		d := ColumnDrop{}
		for j, f := range in.Schema {
			if slices.Contains(fam.names, f.Name) {
				columns, d.Columns = append(columns, j), append(d.Columns, f.Name)
			}
		}
		if len(columns) == 0 {
			continue
		}
		names := d.Columns
		if d, err = m.drop(base, columns); err != nil {
			return nil, err
		}
		d.Name, d.Columns = fam.name, names
		out.Families = append(out.Families, d)
	}
	for _, list := range [][]ColumnDrop{out.Families, out.Columns} {
		slices.SortStableFunc(list, func(a, b ColumnDrop) int { return cmp.Or(cmp.Compare(b.Drop, a.Drop), strings.Compare(a.Name, b.Name)) })
	}
	return out, nil
}

// drawn bounds the rows: every positive one stays, negative ones are drawn.
func drawn(in *Input, rows []int, rng *rand.Rand) []int {
	if len(rows) <= importanceRows {
		return rows
	}
	var positive, negative []int
	for _, i := range rows {
		if in.Rows[i].Y == 1 {
			positive = append(positive, i)
		} else {
			negative = append(negative, i)
		}
	}
	rng.Shuffle(len(negative), func(a, b int) { negative[a], negative[b] = negative[b], negative[a] })
	out := append(positive, negative[:min(len(negative), max(importanceRows-len(positive), importanceRows/2))]...)
	slices.Sort(out)
	return out
}

// shuffler measures the model with columns torn from their rows.
type shuffler struct {
	in   *Input
	rows []int
	x    [][]float64 // the rows' values; columns are replaced and put back
	y    []uint8
	p    []float64
	from [][]int // by repeat: which row each row takes a value from
}

// strangers gives each row another one, of another asset where there is one: rows are shuffled, sorted by asset, and each takes its value half the way round.
func (m *shuffler) strangers(rng *rand.Rand) []int {
	order := rng.Perm(len(m.rows))
	group := func(k int) int32 { return m.in.Rows[m.rows[k]].Group }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(group(a), group(b)) })
	from := make([]int, len(order))
	for k, at := range order {
		from[at] = order[(k+len(order)/2)%len(order)]
	}
	return from
}

// measure gives the average precision with some columns taken from other rows.
func (m *shuffler) measure(columns []int, from []int) (float64, error) {
	for k, row := range m.x {
		for _, j := range columns {
			row[j] = m.in.Rows[m.rows[from[k]]].X[j]
		}
		m.p[k] = m.in.Predict(row)
		for _, j := range columns {
			row[j] = m.in.Rows[m.rows[k]].X[j]
		}
	}
	e, err := model.Evaluate(m.p, m.y)
	if err != nil {
		return 0, fmt.Errorf("measure importance: %w", err)
	}
	return e.PRAUC, nil
}

// drop measures what the loss of columns costs.
func (m *shuffler) drop(base float64, columns []int) (d ColumnDrop, err error) {
	sum := 0.0
	for r, from := range m.from {
		v, err := m.measure(columns, from)
		if err != nil {
			return d, err
		}
		v = round(base-v, 6)
		if r == 0 {
			d.Least, d.Most = v, v
		}
		d.Least, d.Most = min(d.Least, v), max(d.Most, v)
		sum += v
	}
	d.Drop = round(sum/float64(len(m.from)), 6)
	return d, nil
}
