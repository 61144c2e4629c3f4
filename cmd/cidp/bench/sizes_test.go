package bench_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/bench"
)

// value finds a fitted figure.
func value(t *testing.T, figures []bench.Figure, name string) float64 {
	t.Helper()
	for _, f := range figures {
		if f.Name == name {
			return f.Median
		}
	}
	t.Fatalf("no %s in %+v", name, figures)
	return 0
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-6*max(1, math.Abs(want)) }

func TestCostsAreFittedToLines(t *testing.T) {
	var points []bench.Point
	for _, c := range []struct{ size, windows float64 }{{10, 20_000}, {1000, 10_000}, {100_000, 1000}} {
		points = append(points, bench.PointOf(c.size, map[string]float64{
			"cpu_us_per_reading": 4 + 60*c.windows/100_000, "readings_per_s": 100_000, "windows_per_s": c.windows, "resident_mib": 50 + c.size*1024/(1<<20)}))
	}
	if got := value(t, bench.Spread(points, "cpu_us_per_reading", "spread"), "spread"); !near(got, 100*(16/4.6-1)) {
		t.Errorf("spread %g", got)
	}
	m := bench.Memory(points)
	if base, slope, off := value(t, m, "memory_base_mib"), value(t, m, "memory_slope_bytes"), value(t, m, "memory_off_percent"); !near(base, 50) || !near(slope, 1024) || !near(off, 0) {
		t.Errorf("memory %g MiB + %g B, off %g %%", base, slope, off)
	}
	w := bench.Work(points)
	if reading, window, off := value(t, w, "work_us_per_reading"), value(t, w, "work_us_per_window"), value(t, w, "work_off_percent"); !near(reading, 4) || !near(window, 60) || !near(off, 0) {
		t.Errorf("work %g us a reading, %g a window, off %g %%", reading, window, off)
	}
	// What bends is not called a line.
	points = append(points, bench.PointOf(1_000_000, map[string]float64{"cpu_us_per_reading": 40, "readings_per_s": 100_000, "windows_per_s": 1000, "resident_mib": 100}))
	if off := value(t, bench.Memory(points), "memory_off_percent"); off < 25 {
		t.Errorf("memory that does not grow any more is %g %% off the line", off)
	}
	if off := value(t, bench.Work(points), "work_off_percent"); off < 25 {
		t.Errorf("a reading that costs ten times as much is %g %% off the line", off)
	}
	if bench.Memory(points[:2]) != nil || bench.Spread(points[:1], "cpu_us_per_reading", "spread") != nil || bench.Spread(points, "absent", "spread") != nil {
		t.Error("a fit to too little")
	}
}

func sized(name string) bench.Result {
	r := bench.Result{Name: name, About: "about it", Runs: 5, Sizes: "sensors", Ledger: bench.Ledger{Received: 1234},
		Figures: []bench.Figure{{Name: "cpu_spread_percent", Median: 12.3}, {Name: "memory_base_mib", Median: 50}, {Name: "memory_slope_bytes", Median: 1234}},
		Targets: []bench.Target{{Figure: "cpu_spread_percent", AtMost: true, Value: 25, Met: true}}}
	for _, size := range []float64{10, 100_000} {
		r.Points = append(r.Points, bench.PointOf(size, map[string]float64{"cpu_us_per_reading": 4.25, "resident_mib": 51, "others_percent": 160,
			"ask_risk_now_p50_ms": size / 100, "ask_risk_now_rows": size}))
	}
	return r
}

func TestDocumentIsFilled(t *testing.T) {
	r := bench.Report{Version: "1", Machine: bench.Machine{CPUs: 2}, Scenarios: []bench.Result{sized("scale-sensors"),
		{Name: "single", Stages: []bench.Stage{{Name: "SQLite", Share: 0.5, Micros: 1.25}}}}}
	before := "# Title\n\n<!-- cidp bench: scale-sensors -->\nold\n<!-- end -->\n\ntext\n<!-- cidp bench: paced -->\nkept\n<!-- end -->\n" +
		"<!-- cidp bench: targets -->\n<!-- end -->\n<!-- cidp bench: stages -->\n<!-- end -->\n"
	filled, kept, err := r.Fill([]byte(before))
	if err != nil || !slices.Equal(kept, []string{"paced"}) {
		t.Fatalf("kept %q, %v", kept, err)
	}
	for _, want := range []string{"# Title\n", "**scale-sensors**: about it.\n", "text\n", "kept\n", "| 100,000 | 4.25 |", "1,000.00 (100,000)", "| <= 25 | met |", "up to 160 % of a core", "lost, of 1,234", "| SQLite | 1.25 (50 %) |",
		"| scale-sensors | CPU a reading"} {
		if !strings.Contains(string(filled), want) {
			t.Errorf("the document lacks %q\n%s", want, filled)
		}
	}
	if strings.Contains(string(filled), "old") {
		t.Error("the old table is still there")
	}
	if again, _, err := r.Fill(filled); err != nil || string(again) != string(filled) {
		t.Errorf("filled again it is another (%v)\n%s", err, again)
	}
	for _, text := range []string{"no place at all", "<!-- cidp bench: single -->\nno end\n"} {
		if _, _, err := r.Fill([]byte(text)); err == nil {
			t.Errorf("%q was filled", text)
		}
	}
}

func TestReportsAreJoined(t *testing.T) {
	first, second := sized("scale-sensors"), sized("scale-sensors")
	second.Runs = 7
	got := bench.Join([]*bench.Report{{Scenarios: []bench.Result{first, {Name: "queries"}}}, {Version: "2", Scenarios: []bench.Result{{Name: "single"}, second}}})
	var names []string
	for _, s := range got.Scenarios {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"single", "scale-sensors", "queries"}) || got.Scenarios[1].Runs != 7 || got.Version != "2" {
		t.Errorf("%+v", got)
	}
}

// TestPlotsAreSmallAndWhole: each is a well-formed SVG file.
func TestPlotsAreSmallAndWhole(t *testing.T) {
	r := bench.Report{Scenarios: []bench.Result{sized("scale-sensors"), sized("scale-database"), {Name: "single"}}}
	r.Scenarios[1].Sizes = "readings"
	dir := t.TempDir()
	files, err := r.Plots(dir)
	if err != nil || !slices.Equal(files, []string{"scale-sensors-cpu.svg", "scale-sensors-memory.svg", "scale-database-cpu.svg", "scale-database-memory.svg", "scale-database-questions.svg"}) {
		t.Fatalf("%q, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 40_000 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		elements := 0
		for d := xml.NewDecoder(strings.NewReader(string(text))); ; elements++ {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if elements < 20 {
			t.Errorf("%s has %d elements", name, elements)
		}
	}
}

// TestWhatCannotBeMeasuredSoIsLeftOut when nobody named it, and refused when somebody did.
func TestWhatCannotBeMeasuredSoIsLeftOut(t *testing.T) {
	zero := 0
	for _, c := range []bench.Config{{Addr: "127.0.0.1:1"}, {Override: bench.Override{QoS: &zero}}} {
		if err := c.Check(); err != nil {
			t.Errorf("all of them: %v", err)
		}
		c.Scenarios = []string{"queries"}
		if err := c.Check(); err == nil {
			t.Errorf("%+v", c)
		}
	}
}
