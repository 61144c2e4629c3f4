package simulator_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

var start = time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC)

func mustFleet(tb testing.TB, cfg simulator.Config) *simulator.Fleet {
	tb.Helper()
	if cfg.Start.IsZero() {
		cfg.Start = start
	}
	f, err := simulator.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// sequential skips, under the race detector, a test in which nothing runs beside anything else: there is no race to find, and it takes ten times as long.
func sequential(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("nothing in it is concurrent: there is no race to find")
	}
}

// digest hashes what a fleet says in some ticks, and its truth.
func digest(tb testing.TB, f *simulator.Fleet, ticks int) string {
	tb.Helper()
	h := sha256.New()
	if err := simulator.WriteTruth(h, f.Truth()); err != nil {
		tb.Fatal(err)
	}
	var messages []simulator.Message
	for range ticks {
		messages = f.Messages(messages[:0])
		for _, m := range messages {
			fmt.Fprintf(h, "%s %s\n", m.Topic, m.Payload)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// golden is the digest of two and a half hours of the default fleet with every fault. A change of the physics, on purpose or
// not, or an architecture on which floats behave otherwise (GOARCH=arm64, GOAMD64=v3), shows here.
const golden = "5a8d90f52d57523d0eeac3d9ab67ef418795522e967bcf928f033a1bc26295a2"

func TestSameSeedSameBytes(t *testing.T) {
	sequential(t)
	cfg := simulator.Config{Seed: 7, Faults: []string{"all"}, Span: 2 * time.Hour, RateHz: 0.1}
	got := digest(t, mustFleet(t, cfg), 900)
	if again := digest(t, mustFleet(t, cfg), 900); again != got {
		t.Fatalf("same seed, other bytes: %s and %s", got, again)
	}
	if got != golden {
		t.Errorf("digest is %s, want %s: if the change of the simulation is meant, write it here", got, golden)
	}
	cfg.Seed = 8
	if other := digest(t, mustFleet(t, cfg), 900); other == got {
		t.Error("another seed gives the same bytes")
	}
}

// TestFaultLeavesOthersAlone: a fault more, and every sensor away from it says the same to the bit.
func TestFaultLeavesOthersAlone(t *testing.T) {
	series := func(faults ...string) (map[int32][]stream.Reading, *simulator.Fleet) {
		f := mustFleet(t, simulator.Config{Seed: 3, Assets: 4, Faults: faults, Span: 2 * time.Hour, FaultShare: 0.01})
		out := map[int32][]stream.Reading{}
		for range 600 {
			for _, s := range f.Step(nil) {
				out[s.Sensor] = append(out[s.Sensor], s.Reading)
			}
		}
		return out, f
	}
	healthy, _ := series("none")
	stuck, f := series("stuck", "lubrication_loss")
	if len(f.Truth()) != 2 {
		t.Fatalf("truth is %v, want two rows", f.Truth())
	}
	differ := 0
	for i, s := range f.Sensors() {
		same := fmt.Sprint(healthy[int32(i)]) == fmt.Sprint(stuck[int32(i)])
		if s.Fault == "" && !same {
			t.Errorf("healthy sensor %s/%s changed with a fault elsewhere", s.Asset, s.Name)
		}
		if !same {
			differ++
		}
	}
	if differ != 2 {
		t.Errorf("%d sensors changed, want 2", differ)
	}
}

func TestConfigSentences(t *testing.T) {
	for _, c := range []struct {
		cfg  simulator.Config
		want string
	}{
		{simulator.Config{}, "start is"},
		{simulator.Config{Start: start, Assets: -1}, "assets is -1"},
		{simulator.Config{Start: start, RateHz: 1000}, "rate is 1000 Hz"},
		{simulator.Config{Start: start, Span: time.Second}, "span is 1s"},
		{simulator.Config{Start: start, FaultShare: 2}, "fault share is 2"},
		{simulator.Config{Start: start, OtherShare: -0.5}, "other share is -0.5"},
		{simulator.Config{Start: start, Faults: []string{"rust"}}, `fault "rust" is not known`},
	} {
		if _, err := simulator.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q in it", c.cfg, err, c.want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for list, want := range map[string]string{
		"": "[]", "none": "[]", "stuck, spall,stuck": "[spall stuck]",
		"all": fmt.Sprint(append(simulator.MachineFaults(), simulator.SensorFaults()...)),
	} {
		if got, err := simulator.ParseFaults(list); err != nil || fmt.Sprint(got) != want {
			t.Errorf("ParseFaults(%q) = %v, %v; want %s", list, got, err, want)
		}
	}
}

// TestDemoFleet: the default fleet has about 80 sensors, room for every fault, and about 80 % or more healthy ones.
func TestDemoFleet(t *testing.T) {
	sequential(t)
	for seed := range uint64(20) {
		f := mustFleet(t, simulator.Config{Seed: seed, Faults: []string{"all"}, Span: 2 * time.Hour})
		if len(f.Unplaced()) > 0 {
			t.Errorf("seed %d: no place for %v", seed, f.Unplaced())
		}
		kinds := map[string]int{}
		for _, r := range f.Truth() {
			kinds[r.Fault]++
		}
		if len(kinds) != 15 || kinds[simulator.DraggingBrake] != 3 || kinds[simulator.Swap] != 2 {
			t.Errorf("seed %d: faults are %v, want every kind, three rows of dragging_brake and two of swap", seed, kinds)
		}
		if n := len(f.Sensors()); n != 86 || len(f.Truth()) > n/4 {
			t.Errorf("seed %d: %d of %d sensors faulty", seed, len(f.Truth()), n)
		}
	}
}

// TestSmallFleetTellsWhatHasNoPlace: a lone locomotive keeps most of its sensors whole.
func TestSmallFleetTellsWhatHasNoPlace(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 1, Assets: 1, Faults: []string{"all"}})
	if len(f.Unplaced()) == 0 || len(f.Truth()) == 0 || len(f.Truth()) > 7 {
		t.Fatalf("%d rows, unplaced %v", len(f.Truth()), f.Unplaced())
	}
}

func TestShareOfFaults(t *testing.T) {
	sequential(t)
	f := mustFleet(t, simulator.Config{Seed: 1, Assets: 100, Faults: []string{"lubrication_loss", "stuck"}, FaultShare: 0.2})
	if got, n := len(f.Truth()), len(f.Sensors()); got < n*19/100 || got > n*21/100 {
		t.Fatalf("%d of %d sensors are faulty, want 20 %%", got, n)
	}
}

func TestOtherNames(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 1, Assets: 10, OtherShare: 0.3})
	other := map[string]bool{}
	for _, s := range f.Sensors() {
		if strings.HasPrefix(s.Name, "t0") || strings.HasPrefix(s.Name, "t1") {
			other[s.Asset] = true
		}
	}
	if len(other) != 3 {
		t.Fatalf("%d assets have names that tell no kind, want 3", len(other))
	}
}

func TestTruthFile(t *testing.T) {
	var out strings.Builder
	rows := []simulator.Truth{
		{Site: "douala", Asset: "loco-3301", Sensor: "axle1-left", Fault: "spall", OnsetMs: 1793601000000, FailureMs: 1793604000000},
		{Site: "yaounde", Asset: "coach-14", Sensor: "brake1", Fault: "stuck", OnsetMs: 1793601000001},
	}
	if err := simulator.WriteTruth(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := "site,asset,sensor,fault,onset_ms,failure_ms\n" +
		"douala,loco-3301,axle1-left,spall,1793601000000,1793604000000\n" +
		"yaounde,coach-14,brake1,stuck,1793601000001,\n"
	if out.String() != want {
		t.Fatalf("truth file is\n%s\nwant\n%s", out.String(), want)
	}
	if err := simulator.WriteTruth(closedPipe(), rows); err == nil {
		t.Fatal("a file that cannot be written is no error")
	}
}

func closedPipe() io.Writer {
	r, w := io.Pipe()
	_ = r.Close()
	return w
}

// TestNeverAhead: no reading of a tick is later than the phase allows, skewed clocks apart; and they stay within 90 s.
func TestNeverAhead(t *testing.T) {
	sequential(t)
	for _, rate := range []float64{0.05, 0.2, 2} {
		f := mustFleet(t, simulator.Config{Seed: 5, Faults: []string{"all"}, RateHz: rate, Span: 30 * time.Minute})
		for range int(1800 * rate) {
			now := f.Now().UnixMilli()
			for _, m := range f.Messages(nil) {
				limit := now + simulator.MaxPhase.Milliseconds()
				if m.Sensor >= 0 && f.Sensors()[m.Sensor].Fault == simulator.ClockSkew {
					limit += 91_000
				}
				if m.TS > limit {
					t.Fatalf("%s is %d ms ahead of its tick", m.Topic, m.TS-now)
				}
			}
		}
	}
}

// TestConditions: three assets in four send their conditions in the reading, the fourth as context.
func TestConditions(t *testing.T) {
	f := mustFleet(t, simulator.Config{Seed: 1, Assets: 4})
	contexts := 0
	for range 12 {
		for _, s := range f.Step(nil) {
			all := stream.HasAmbient | stream.HasSpeed | stream.HasLoad | stream.HasBrake
			switch {
			case s.Sensor < 0:
				contexts++
				if s.Asset != 3 || s.Has != all {
					t.Fatalf("context %+v", s)
				}
			case s.Asset == 3 && s.Has != stream.HasSeq || s.Asset != 3 && s.Has != all|stream.HasSeq:
				t.Fatalf("reading of asset %d has fields %b", s.Asset, s.Has)
			}
		}
	}
	if contexts != 6 {
		t.Fatalf("%d contexts in a minute, want one in 10 s", contexts)
	}
}

func TestStartFor(t *testing.T) {
	now := time.Date(2026, 11, 23, 16, 0, 0, 500e6, time.UTC)
	if got, want := simulator.StartFor(now, 121, time.Minute), now.Truncate(time.Second).Add(-2*time.Hour); got != want {
		t.Errorf("an accelerated minute starts at %v, want %v", got, want)
	}
	if got, want := simulator.StartFor(now, 1, time.Minute), now.Truncate(time.Second); got != want {
		t.Errorf("a run in real time starts at %v, want %v", got, want)
	}
}
