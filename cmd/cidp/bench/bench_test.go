package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/camrail/cidp/cmd/cidp/bench"
	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/stream"
)

func TestScenariosAreChosenByName(t *testing.T) {
	all, err := bench.Chosen(nil)
	if err != nil || len(all) != len(bench.Names()) || len(all) == 0 {
		t.Fatalf("%d scenarios, %v", len(all), err)
	}
	two, err := bench.Chosen([]string{"arrays", "single"})
	if err != nil || len(two) != 2 {
		t.Errorf("%d scenarios, %v", len(two), err)
	}
	if _, err := bench.Chosen([]string{"single", "sinlge"}); err == nil || !strings.Contains(err.Error(), `no scenario "sinlge"`) {
		t.Error(err)
	}
	if names := slices.Compact(slices.Sorted(slices.Values(bench.Names()))); len(names) != len(bench.Names()) {
		t.Errorf("two scenarios have one name: %v", bench.Names())
	}
}

func TestOverridesReplaceTheLoad(t *testing.T) {
	two, none, three := 2, 0.0, 3
	for _, c := range []struct {
		o    bench.Override
		want string
	}{
		{bench.Override{}, `{"connections":100,"sensors":1000,"batch":1,"qos":1,"inflight":5000,"rate":50000,"gather_s":0,"live":false}`},
		{bench.Override{Connections: 7, Sensors: 70, Batch: 5, Inflight: 9, QoS: &two, Rate: &none, Gather: time.Second},
			`{"connections":7,"sensors":70,"batch":5,"qos":2,"inflight":9,"rate":0,"gather_s":1,"live":false}`},
	} {
		s, err := c.o.Apply("paced")
		text, jsonErr := json.Marshal(s)
		if err != nil || jsonErr != nil || string(text) != c.want {
			t.Errorf("%s, want %s (%v, %v)", text, c.want, err, jsonErr)
		}
	}
	uneven := bench.Override{Connections: 3, Sensors: 10}
	if s, err := uneven.Apply("paced"); err != nil || !strings.Contains(fmt.Sprintf("%+v", s), "Connections:3 Sensors:9") {
		t.Errorf("%+v, %v: each of three connections has three sensors", s, err)
	}
	for _, o := range []bench.Override{{Connections: -1}, {QoS: &three}} {
		if s, err := o.Apply("paced"); err == nil {
			t.Errorf("%+v gives %+v", o, s)
		}
	}
}

func TestMediansAndRatios(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := bench.Median(c.values); got != c.want {
			t.Errorf("median of %v is %g, want %g", c.values, got, c.want)
		}
	}
	got := bench.Fold("times", "a", "b", map[string]float64{"a": 10, "b": 5}, map[string]float64{"a": 30, "b": 10}, map[string]float64{"a": 20, "b": 20})
	want := []bench.Figure{
		{Name: "a", Median: 20, Least: 10, Greatest: 30, Values: []float64{10, 30, 20}},
		{Name: "b", Median: 10, Least: 5, Greatest: 20, Values: []float64{5, 10, 20}},
		{Name: "times", Median: 2, Least: 1, Greatest: 3, Values: []float64{2, 3, 1}}, // of the medians; the runs' own are 2, 3, 1
	}
	if len(got) != 3 || !slices.EqualFunc(got, want, func(a, b bench.Figure) bool {
		return a.Name == b.Name && a.Median == b.Median && a.Least == b.Least && a.Greatest == b.Greatest && slices.Equal(a.Values, b.Values)
	}) {
		t.Errorf("%+v", got)
	}
	if got := bench.Fold("times", "a", "b", map[string]float64{"a": 10}); len(got) != 1 {
		t.Errorf("a ratio to what was not measured: %+v", got)
	}
}

func TestTargetsAreJudgedByMedians(t *testing.T) {
	figures := []bench.Figure{{Name: "fast", Median: 10}, {Name: "late", Median: 3, Greatest: 9}, {Name: "ack_max_ms", Median: 100, Greatest: 151}, {Name: "resident_mib", Median: 9, Greatest: 10}}
	got := bench.Judged([]bench.Target{bench.AtLeast("fast", 10), bench.AtLeast("fast", 11), bench.AtMost("late", 3), bench.AtMost("late", 2), bench.AtLeast("absent", 0),
		bench.AtMost("ack_max_ms", 150), bench.AtMost("resident_mib", 10)}, figures)
	var met []bool
	for _, g := range got {
		met = append(met, g.Met)
		if absent := g.Unjudged == "not measured"; absent != (g.Figure == "absent") {
			t.Errorf("%+v", g)
		}
	}
	if !slices.Equal(met, []bool{true, false, true, false, false, false, true}) { // maxima by the greatest
		t.Errorf("%+v", got)
	}
}

// TestWhatIsDisturbedIsNotJudged: what depends on the clock is neither met nor missed where other programs ran, beside the platform or beside a floor.
func TestWhatIsDisturbedIsNotJudged(t *testing.T) {
	targets := []bench.Target{bench.AtLeast("readings_per_s", 1), bench.AtMost("ack_p99_ms", 9), bench.AtLeast("times_insert", 0.8), bench.AtMost("cores_percent", 25), bench.AtMost("written_bytes_per_reading", 160)}
	for name, want := range map[string]bool{"others_percent": true, "others_beside_floors_percent": true, "generator_late_ms": false} {
		figures := []bench.Figure{{Name: "readings_per_s", Median: 2}, {Name: "ack_p99_ms", Median: 2}, {Name: "times_insert", Median: 1}, {Name: "cores_percent", Median: 9}, {Name: "written_bytes_per_reading", Median: 9},
			{Name: name, Median: 1, Greatest: 21}}
		for i, g := range bench.Judged(targets, figures) {
			if disturbed := want && i < 3; g.Met == disturbed || (g.Unjudged == "disturbed") != disturbed {
				t.Errorf("%s: %+v", name, g)
			}
		}
	}
}

func TestFileSystemsAreTold(t *testing.T) {
	const mounts = `22 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw - tmpfs tmpfs rw
31 30 252:1 / /tmp/a\040b rw,nosuid shared:2 master:1 - xfs /dev/vdb rw
32 22 0:27 / /run rw - tmpfs tmpfs rw
33 32 0:28 / /run rw - ramfs ramfs rw
`
	for path, want := range map[string]string{"/": "ext4", "/tmpx": "ext4", "/tmp": "tmpfs", "/tmp/c": "tmpfs", "/tmp/a b/c": "xfs", "/run/c": "ramfs"} {
		if got := bench.MountedAt(mounts, path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
	if got := bench.MountedAt("no mounts", "/"); got != "" || bench.InMemory(got) || bench.InMemory("ext4") || !bench.InMemory("tmpfs") {
		t.Errorf("%q", got)
	}
}

// TestAlertsMustBeWhatWasDue: neither what comes before the reading that closes the window nor another message on the topic is an alert that came fast.
func TestAlertsMustBeWhatWasDue(t *testing.T) {
	alert := func(severity, rule string, of time.Duration) func(time.Time) string {
		return func(begin time.Time) string {
			return `{"state":"active","severity":"` + severity + `","rule":"` + rule + `","window_start":"` + begin.Add(of).Format("2006-01-02T15:04:05.000Z") + `"}`
		}
	}
	for name, c := range map[string]struct {
		late    time.Duration
		payload func(time.Time) string
		says    string
	}{
		"due":            {time.Millisecond, alert("critical", "absolute", 0), ""},
		"by the forest":  {time.Millisecond, alert("critical", "forest", 0), ""},
		"early":          {-time.Minute, alert("critical", "absolute", 0), "before the reading that closes its window"},
		"milder":         {time.Millisecond, alert("alarm", "absolute", 0), "is not that its hot window raises"},
		"of silence":     {time.Millisecond, alert("critical", "silence", 0), "is not that its hot window raises"},
		"another window": {time.Millisecond, alert("critical", "absolute", time.Minute), "is not that its hot window raises"},
		"no alert":       {time.Millisecond, func(time.Time) string { return "x" }, "is not that its hot window raises"},
	} {
		if err := bench.Alarm(c.late, c.payload); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// TestLossesAreFound: the check after a run must be able to fail.
func TestLossesAreFound(t *testing.T) {
	sound := bench.Counts{"cidp_readings_received_total": 100, `cidp_readings_total{outcome="stored",reason=""}`: 97,
		`cidp_readings_total{outcome="late",reason="late"}`: 3}
	for name, c := range map[string]struct {
		change func(bench.Counts, *bench.Ledger)
		says   string
	}{
		"sound":                 {func(bench.Counts, *bench.Ledger) {}, ""},
		"acknowledged and gone": {func(c bench.Counts, _ *bench.Ledger) { c[`cidp_readings_total{outcome="stored",reason=""}`] = 96 }, "1 readings are lost"},
		"received and gone":     {func(_ bench.Counts, l *bench.Ledger) { l.Acked = 0; l.Sent = 101 }, "101 readings were sent"},
		"from nowhere":          {func(c bench.Counts, _ *bench.Ledger) { c["cidp_readings_received_total"] = 99 }, "does not hold"},
		"refused": {func(c bench.Counts, _ *bench.Ledger) {
			c[`cidp_readings_total{outcome="stored",reason=""}`] = 95
			c[`cidp_readings_total{outcome="refused",reason="future"}`] = 1
			c[`cidp_readings_total{outcome="refused",reason="bad_time"}`] = 1
		}, "2 readings were refused"},
	} {
		counts := bench.Counts{}
		for k, v := range sound {
			counts[k] = v
		}
		l := bench.Ledger{Sent: 100, Acked: 100}
		c.change(counts, &l)
		l.Read(counts, 1)
		err := l.Check(1)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	untold := bench.Ledger{Sent: 101} // at QoS 0 nothing is acknowledged
	untold.Read(sound, 0)
	if err := untold.Check(0); untold.Lost != 1 || err == nil || !strings.Contains(err.Error(), "1 readings are lost: 101 were sent at QoS 0") {
		t.Errorf("%+v: %v", untold, err)
	}
}

func TestStagesBelongToTheirPackages(t *testing.T) {
	at := func(names ...string) *profile.Sample { // innermost first
		s := &profile.Sample{}
		for _, n := range names {
			name, file, _ := strings.Cut(n, " ")
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name, Filename: file}}}})
		}
		return s
	}
	const own = "github.com/camrail/cidp/"
	for want, s := range map[string]*profile.Sample{
		"stream: decode":       at("strconv.ParseFloat x.go", own+"stream.(*scanner).element /src/stream/scan.go", own+"cmd/cidp/platform.(*line).take line.go"),
		"stream: windows":      at(own+"stream.roomier[go.shape.struct { "+own+"stream.after int32 }] /src/stream/pending.go", own+"cmd/cidp/platform.(*line).take line.go"),
		"platform":             at("runtime.mallocgc malloc.go", own+"cmd/cidp/platform.(*line).take line.go"),
		"store":                at(own + "store.(*DB).Commit commit.go"),
		"SQLite":               at("github.com/ncruces/go-sqlite3-wasm/v6.(*Module)._sqlite3VdbeExec a.go", own+"store.(*DB).Commit commit.go"),
		"kernel: disk":         at("internal/runtime/syscall/linux.Syscall6 a.s", "syscall.pwrite a.go", "github.com/ncruces/go-sqlite3/vfs.(*vfsFile).WriteAt f.go", own+"store.(*DB).Commit commit.go"),
		"kernel: network":      at("internal/runtime/syscall/linux.Syscall6 a.s", "syscall.write a.go", "net.(*conn).Write net.go", own+"broker.(*conn).flush conn.go"),
		"mochi":                at("github.com/mochi-mqtt/server/v2.(*Client).ReadPacket c.go", own+"broker.(*Broker).serve conn.go"),
		"garbage collector":    at("runtime.scanobject mgcmark.go", "runtime.gcAssistAlloc mgcmark.go", "runtime.mallocgc malloc.go", own+"store.(*DB).Commit commit.go"),
		"scheduler and timers": at("runtime.findRunnable proc.go", "runtime.mcall asm.s"),
	} {
		if got := bench.StageOf(s); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// decoded profiles the decoder for a while, and gives its stages.
func decoded(t *testing.T, span time.Duration) []bench.Stage {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Skipf("somebody else profiles: %v", err)
	}
	payload, n := []byte(`{"ts":1700000000000,"temp_c":61.372}`), int64(0)
	for end := time.Now().Add(span); time.Now().Before(end); n++ {
		stream.Decode(nil, payload, false)
	}
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	stages, err := bench.StagesIn(file, n)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// TestStagesAddUp reads a real profile of the decoder.
func TestStagesAddUp(t *testing.T) {
	decodes := func(s bench.Stage) bool { return s.Name == "stream: decode" }
	stages := decoded(t, 200*time.Millisecond)
	for span := 400 * time.Millisecond; !slices.ContainsFunc(stages, decodes) && span < 10*time.Second; span *= 2 {
		stages = decoded(t, span) // a processor that others have leaves few samples, or none
	}
	share := 0.0
	for _, s := range stages {
		share += s.Share
	}
	if len(stages) == 0 || stages[0].Micros <= 0 || share < 0.999 || share > 1.001 {
		t.Errorf("%+v", stages)
	}
	if !slices.ContainsFunc(stages, decodes) {
		t.Errorf("no decoding in %+v", stages)
	}
	if _, err := bench.StagesIn(filepath.Join(t.TempDir(), "none"), 1); err == nil {
		t.Error("a profile that is not there")
	}
}

func TestTableForPeople(t *testing.T) {
	r := bench.Report{Version: "1", Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Machine: bench.Machine{CPUs: 2, OS: "linux", Arch: "amd64", Go: "go1"},
		Data: "/data", Disk: "ext4", With: []string{"--commit-every=20ms"},
		Scenarios: []bench.Result{{Name: "single", About: "about it", Runs: 3, Seconds: 4, Warm: 1,
			Figures: []bench.Figure{{Name: "readings_per_s", Median: 251234.4, Least: 9, Greatest: 300000}, {Name: "ack_p99_ms", Median: 1.5, Least: 1, Greatest: 2}, {Name: "others_percent", Median: 9, Least: 1, Greatest: 33}},
			Targets: []bench.Target{{Figure: "readings_per_s", Value: 250_000, Met: true}, {Figure: "ack_p99_ms", AtMost: true, Value: 9, Greatest: true, Met: true}, {Figure: "times_mochi", Value: 2, Unjudged: "not measured"}},
			Ledger:  bench.Ledger{Acked: 10, Received: 10, Stored: 9, Late: 1, Verified: 1},
			Stages:  []bench.Stage{{Name: "store", Share: 0.25, Micros: 1.25}},
			Failure: "it broke"}}}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"single: about it", "251,234", ">= 250,000", "met", "1.50", "received 10 = stored 9 + duplicate 0 + late 1 + refused 0; 1 of 3", "3 runs, few for a median, of 4s after 1s", "data in /data (ext4)", "further arguments: --commit-every=20ms", "25.0", "FAILED: it broke", "targets, by the medians", "<= 9  met, by the greatest", "times bare mochi                     -        >= 2        not measured", "took up to 33 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q\n%s", want, out.String())
		}
	}
	if r.OK() {
		t.Error("a run that failed is OK")
	}
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := bench.Thousands(v, 0); got != want {
			t.Errorf("%g is written %s", v, got)
		}
	}
}

// TestMeasuresABroker lets the generator, the watch and the scenarios run once, small enough for the race detector: a broker in this process, acknowledging at each QoS and paced or not.
func TestMeasuresABroker(t *testing.T) {
	m, err := floor.StartMochi("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	slow, two := 500.0, 2
	for name, o := range map[string]bench.Override{"flat out": {}, "paced": {Rate: &slow}, "QoS 2": {QoS: &two}} {
		o.Connections, o.Sensors = 3, 9
		r, err := bench.Run(t.Context(), bench.Config{Scenarios: []string{"single"}, Addr: m.Addr(), Runs: 2, For: 250 * time.Millisecond, Override: o})
		if err != nil || !r.OK() || len(r.Scenarios) != 1 {
			t.Fatalf("%s: %+v, %v", name, r, err)
		}
		for _, figure := range []string{"readings_per_s", "ack_p50_ms", "ack_max_ms"} {
			i := slices.IndexFunc(r.Scenarios[0].Figures, func(f bench.Figure) bool { return f.Name == figure })
			if i < 0 || r.Scenarios[0].Figures[i].Least <= 0 || len(r.Scenarios[0].Figures[i].Values) != 2 {
				t.Errorf("%s: no %s in %+v", name, figure, r.Scenarios[0].Figures)
			}
		}
	}
}
