package console_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
)

func TestValuesInJSON(t *testing.T) {
	for _, tc := range []struct {
		v    any
		want string
	}{
		{console.Time(0), "null"},
		{console.Time(1_700_000_000_007), `"2023-11-14T22:13:20.007Z"`},
		{console.Time(math.MaxInt64), "null"},
		{console.Time(math.MinInt64), "null"},
		{console.TimeOf(time.Time{}), "null"},
		{console.TimeOf(time.UnixMilli(1_700_000_000_007)), `"2023-11-14T22:13:20.007Z"`},
		{console.Missing(), "null"},
		{console.Figure(math.Inf(1)), "null"},
		{console.Figure(0), "0"},
		{console.Figure(0.25), "0.25"},
		{console.Figure(-1e-9), "-1e-09"},
		{console.Figure(1e22), "1e+22"},
		{console.Payload("é<"), `"é\u003c"`},
		{console.Payload{0xff}, `"0xff"`},
		{console.Payload(nil), `""`},
	} {
		b, err := json.Marshal(tc.v)
		if err != nil || string(b) != tc.want {
			t.Errorf("%T: got %s, %v; want %s", tc.v, b, err, tc.want)
		}
	}
}

func FuzzFigure(f *testing.F) {
	f.Add(uint64(0))
	f.Add(math.Float64bits(1e-300))
	f.Add(math.Float64bits(math.NaN()))
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := console.Figure(math.Float64frombits(bits))
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back console.Figure
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		missing := math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
		if missing != math.IsNaN(float64(back)) || !missing && back != v {
			t.Fatalf("%v became %s and %v", v, b, back)
		}
	})
}

func FuzzTime(f *testing.F) {
	f.Add([]byte(`"2023-11-14T22:13:20.007Z"`))
	f.Add([]byte(`null`))
	f.Add([]byte(`"0000-01-01T00:00:00Z"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, back console.Time
		if json.Unmarshal(b, &v) != nil {
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back != v && string(text) != "null" {
			t.Fatalf("%s: %d became %s and %d", b, v, text, back)
		}
	})
}

// What the source gives is not changed by encoding it, and an asset given twice is sent once.
func TestViewsLeaveTheSnapshotAlone(t *testing.T) {
	a := fleet(2, 1)
	a.Assets = append(a.Assets, a.Assets[0])
	whole, change, err := console.Views(a, a)
	if err != nil {
		t.Fatal(err)
	}
	if a.Assets[0].Sensors[0].Reasons != nil || a.Alerts != nil || a.Status.Version != "" {
		t.Error("the snapshot was changed")
	}
	if n := bytes.Count(whole, []byte(`"asset":"train0"`)); n != 1 {
		t.Errorf("train0 is sent %d times", n)
	}
	if bytes.Contains(whole, []byte("null")) {
		t.Errorf("a null in %s", whole)
	}
	if !bytes.Contains(change, []byte(`"assets":[],"removed":[]`)) {
		t.Errorf("a change without one: %s", change)
	}
	if bytes.Count(whole, []byte("\n")) != 3 || !bytes.HasSuffix(whole, []byte("\n\n")) {
		t.Error("the frame is not two lines and an empty one")
	}
}

// BenchmarkViews is what one period costs with 400 assets of 13 sensors of which one in ten changes, for any number of viewers.
func BenchmarkViews(b *testing.B) {
	one, two := fleet(400, 13), fleet(400, 13)
	for i := 0; i < len(two.Assets); i += 10 {
		two.Assets[i].Sensors[0].MeanC++
	}
	b.ReportAllocs()
	for b.Loop() {
		whole, change, err := console.Views(one, two)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(whole)), "B/whole")
		b.ReportMetric(float64(len(change)), "B/change")
	}
}
