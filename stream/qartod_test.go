package stream_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/camrail/cidp/stream"
)

// qartodVector is one vector of ../shared/vectors/qartod_vectors.json.
type qartodVector struct {
	Test   string `json:"test"`
	Params struct {
		FailSpan      []float64 `json:"fail_span"`
		SuspectSpan   []float64 `json:"suspect_span"`
		Suspect       *float64  `json:"suspect"`
		Fail          *float64  `json:"fail"`
		Method        string    `json:"method"`
		Threshold     *float64  `json:"threshold"`
		FailThreshold *float64  `json:"fail_threshold"`
		SuspectS      float64   `json:"suspect_s"`
		FailS         float64   `json:"fail_s"`
		Tolerance     float64   `json:"tolerance"`
		CheckType     string    `json:"check_type"`
		Period        float64   `json:"test_period_s"`
		MinObs        int       `json:"min_obs"`
	} `json:"params"`
	Input    json.RawMessage `json:"input"`
	Seconds  []float64       `json:"t_seconds"`
	Expected []int           `json:"expected"`
	Source   string          `json:"source"`
}

// TestQARTODVectors runs the public vectors.
func TestQARTODVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "vectors", "qartod_vectors.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("../shared/vectors/qartod_vectors.json is not here; TestQARTOD holds the same semantics")
	}
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []qartodVector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 40 {
		t.Fatalf("%d vectors, want all of them", len(file.Vectors))
	}
	for i, v := range file.Vectors {
		got := v.run(t)
		want := make([]stream.Flag, len(v.Expected))
		for k, f := range v.Expected {
			want[k] = stream.Flag(f)
		}
		if !slices.Equal(got, want) {
			t.Errorf("vector %d, %s %s: %v, want %v", i, v.Test, v.Source, got, want)
		}
	}
}

func (v *qartodVector) run(t *testing.T) []stream.Flag {
	t.Helper()
	p := &v.Params
	if v.Test == "aggregate" {
		var in [][]stream.Flag
		var numbers [][]int
		if err := json.Unmarshal(v.Input, &numbers); err != nil {
			t.Fatal(err)
		}
		for _, row := range numbers {
			var flags []stream.Flag
			for _, f := range row {
				flags = append(flags, stream.Flag(f))
			}
			in = append(in, flags)
		}
		return stream.Aggregate(nil, in...)
	}
	var input []*float64
	if err := json.Unmarshal(v.Input, &input); err != nil {
		t.Fatal(err)
	}
	values, ts := make([]stream.Milli, len(input)), make([]int64, len(v.Seconds))
	for i, x := range input {
		values[i] = milliOr(t, x, stream.Missing)
	}
	for i, s := range v.Seconds {
		ts[i] = int64(s * 1000)
	}
	switch v.Test {
	case "gross_range":
		return stream.GrossRange(nil, values, spanOf(t, p.FailSpan), spanOf(t, p.SuspectSpan))
	case "spike":
		method := stream.SpikeAverage
		if p.Method == "differential" {
			method = stream.SpikeDifferential
		}
		return stream.Spike(nil, values, milliOr(t, p.Suspect, stream.NoLimit), milliOr(t, p.Fail, stream.NoLimit), method)
	case "rate_of_change":
		fail := math.Inf(1)
		if p.FailThreshold != nil {
			fail = *p.FailThreshold
		}
		return stream.ChangeRate(nil, values, ts, *p.Threshold, fail)
	case "flat_line":
		return stream.FlatLine(nil, values, ts, int64(p.SuspectS*1000), int64(p.FailS*1000), milliOr(t, &p.Tolerance, 0))
	case "attenuated_signal":
		by := stream.SpreadStd
		if p.CheckType == "range" {
			by = stream.SpreadRange
		}
		return stream.AttenuatedSignal(nil, values, ts, *p.Suspect, *p.Fail, by, int64(p.Period*1000), p.MinObs)
	}
	t.Fatalf("the test %q is not known", v.Test)
	return nil
}

func spanOf(t *testing.T, v []float64) stream.Span {
	t.Helper()
	return stream.Span{Low: milliOr(t, &v[0], 0), High: milliOr(t, &v[1], 0)}
}

func milliOr(t *testing.T, v *float64, other stream.Milli) stream.Milli {
	t.Helper()
	if v == nil {
		return other
	}
	m, ok := stream.ToMilli(*v)
	if !ok {
		t.Fatalf("%v is too large", *v)
	}
	return m
}

// TestQARTOD holds what implementers get wrong, on values of our own.
func TestQARTOD(t *testing.T) {
	const x = stream.Missing
	inf := math.Inf(1)
	span := func(low, high stream.Milli) stream.Span { return stream.Span{Low: low, High: high} }
	minutes := func(n int) (ts []int64) {
		for i := range n {
			ts = append(ts, int64(i)*60_000)
		}
		return ts
	}
	for _, c := range []struct {
		about     string
		got, want []stream.Flag
	}{
		{"ends of a span are inside", stream.GrossRange(nil, []stream.Milli{-1, 0, 1, 2, 8, 9, 10, 11, x}, span(0, 10), span(2, 8)), []stream.Flag{4, 3, 3, 1, 1, 3, 3, 4, 9}},
		{"a spike's neighbours by the average", stream.Spike(nil, []stream.Milli{0, 0, 100, 0, 0}, 20, 40, stream.SpikeAverage), []stream.Flag{2, 4, 4, 4, 2}},
		{"and not by the difference", stream.Spike(nil, []stream.Milli{0, 0, 100, 0, 0}, 20, 40, stream.SpikeDifferential), []stream.Flag{2, 1, 4, 1, 2}},
		{"a limit reached is not passed", stream.Spike(nil, []stream.Milli{0, 20, 0, 40, 0}, 20, 40, stream.SpikeDifferential), []stream.Flag{2, 1, 1, 3, 2}},
		{"halves count", stream.Spike(nil, []stream.Milli{0, 21, 1, 0, 0}, 20, 40, stream.SpikeAverage), []stream.Flag{2, 3, 1, 1, 2}},
		{"a step is no spike by the difference", stream.Spike(nil, []stream.Milli{0, 0, 90, 90, 90}, 20, 40, stream.SpikeDifferential), []stream.Flag{2, 1, 1, 1, 2}},
		{"beside a missing value nothing is known", stream.Spike(nil, []stream.Milli{0, 0, x, 90, 0}, 20, 40, stream.SpikeDifferential), []stream.Flag{2, 2, 9, 2, 2}},
		{"no limit", stream.Spike(nil, []stream.Milli{0, 9e9, 0}, stream.NoLimit, stream.NoLimit, stream.SpikeAverage), []stream.Flag{2, 1, 2}},
		{"a rate is per second, and strict", stream.ChangeRate(nil, []stream.Milli{0, 60_000, 180_000, x, 0}, minutes(5), 1, inf), []stream.Flag{1, 1, 3, 9, 1}},
		{"a rate that fails", stream.ChangeRate(nil, []stream.Milli{0, -180_000}, minutes(2), 1, 2), []stream.Flag{1, 4}},
		{"a flat line needs one value more than its time holds", stream.FlatLine(nil, []stream.Milli{5, 5, 5, 5, 5}, minutes(5), 120_000, 180_000, 1), []stream.Flag{1, 1, 3, 4, 4}},
		{"a tolerance of 0 never flags", stream.FlatLine(nil, []stream.Milli{5, 5, 5, 5, 5}, minutes(5), 120_000, 180_000, 0), []stream.Flag{1, 1, 1, 1, 1}},
		{"two values are never flat", stream.FlatLine(nil, []stream.Milli{5, 5}, minutes(2), 1, 1, 1), []stream.Flag{1, 1}},
		{"values at one time", stream.FlatLine(nil, []stream.Milli{5, 5, 5}, []int64{7, 7, 7}, 1, 1, 1), []stream.Flag{1, 1, 1}},
		{"too little to tell", stream.AttenuatedSignal(nil, []stream.Milli{0, 1000, 3000}, minutes(3), 1.5, 1, stream.SpreadRange, 120_000, 2), []stream.Flag{2, 3, 1}},
		{"one value has no sample deviation", stream.AttenuatedSignal(nil, []stream.Milli{1, x}, minutes(2), 1, 1, stream.SpreadStd, 60_000, 0), []stream.Flag{2, 9}},
		{"nothing there", stream.AttenuatedSignal(nil, []stream.Milli{x, x}, minutes(2), 1, 1, stream.SpreadStd, 0, 0), []stream.Flag{9, 9}},
		{"precedence", stream.Aggregate(nil, []stream.Flag{9, 2, 2, 3, 1, 9}, []stream.Flag{2, 1, 1, 1, 1, 9}, []stream.Flag{9, 9, 3, 4, 9, 9}), []stream.Flag{2, 1, 3, 4, 1, 9}},
		{"nothing to aggregate", stream.Aggregate(nil), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.about, c.got, c.want)
		}
	}
}
