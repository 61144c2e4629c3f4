package stream_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

func TestMemoryRoundTrip(t *testing.T) {
	b := stream.SampleMemory()
	if again, err := stream.MemoryRoundTrip(b); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%x comes back %x, %v", b, again, err)
	}
	for about, damage := range map[string]func([]byte) []byte{
		"empty":           func(b []byte) []byte { return nil },
		"another version": func(b []byte) []byte { b[0]++; return b },
		"cut":             func(b []byte) []byte { return b[:len(b)-1] },
		"too long":        func(b []byte) []byte { return append(b, 0) },
		"all ones":        func(b []byte) []byte { return append(b[:1], bytes.Repeat([]byte{255}, len(b)-1)...) },
		"all zeros":       func(b []byte) []byte { clear(b[1:]); return b },
	} {
		if _, err := stream.MemoryRoundTrip(damage(bytes.Clone(b))); err == nil {
			t.Errorf("%s: accepted", about)
		}
	}
}

// TestMemoryIsWords: every field is 8 bytes wide, and what is written as words is what encoding/binary reads and writes field by field.
func TestMemoryIsWords(t *testing.T) {
	b := stream.SampleMemory()
	whole, words := wholeMemory(t, b)
	known := whole[:len(whole)-stream.CourseBytes] // what version 5 had
	again, err := stream.MemoryRoundTrip(known)
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := wholeMemory(t, again); !words || !bytes.Equal(same[:len(known)], known) {
		t.Errorf("written as words (%t): %x, by reflection %x", words, b, whole)
	}
	if len(b) >= len(whole) {
		t.Errorf("%d bytes, whole %d", len(b), len(whole))
	}
}

// wholeMemory gives the form of version 5, field by field, of a memory.
func wholeMemory(t *testing.T, b []byte) (whole []byte, words bool) {
	t.Helper()
	whole, words, err := stream.MemoryWhole(b)
	if err != nil {
		t.Fatal(err)
	}
	return whole, words
}

// TestMemoryHasOneForm: nothing is read that encode would write otherwise, so that what is stored can be compared.
func TestMemoryHasOneForm(t *testing.T) {
	whole, _ := wholeMemory(t, stream.SampleMemory())
	whole = whole[:len(whole)-stream.CourseBytes]
	b := memoryOfVersion6(stream.SampleMemory(), (len(whole)-1)/8)
	if _, err := stream.MemoryRoundTrip(b); err != nil {
		t.Fatal(err)
	}
	head := 1 + ((len(whole)-1)/8+1)/2
	for about, damage := range map[string]func(b []byte) []byte{
		"a word with a zero at its end": func(b []byte) []byte { b[1]++; return slices.Insert(b, head+int(b[1]&15)-1, 0) },
		"a word of nine bytes":          func(b []byte) []byte { b[1] = b[1]&^15 | 9; return append(b, bytes.Repeat([]byte{1}, 8)...) },
		"a word too many":               func(b []byte) []byte { b[head-1] |= 0x10; return append(b, 1) },
		"no words":                      func(b []byte) []byte { return b[:head] },
		"half a head":                   func(b []byte) []byte { return b[:head/2] },
	} {
		if again, err := stream.MemoryRoundTrip(damage(bytes.Clone(b))); err == nil {
			t.Errorf("%s: accepted, and comes back %x", about, again)
		}
	}
}

// memoryOfVersion6 cuts a memory off behind as many words as version 6 had.
func memoryOfVersion6(b []byte, words int) []byte {
	size := 0
	for i := range words {
		size += int(b[1+i/2] >> (i % 2 * 4) & 15)
	}
	out := append([]byte{6}, b[1:1+(words+1)/2]...)
	out[len(out)-1] &= 15 // an odd number of words
	return append(out, b[stream.MemoryHead:stream.MemoryHead+size]...)
}

// memoryV1 is SampleMemory as version 1 wrote it: databases hold such.
const memoryV1 = "0160ea000000000000000000000000000000806e87740100000068e5cf8b01000001000000000000000200000000000000030000000000000004000000000000" +
	"000500000000000000060000000000000007000000000000000800000000000000070000000000000009000000000000000a000000000000000b000000000000" +
	"00f4ffffffffffffff1864e5cf8b0100009a9999999999b9bf0000000000000000cdccccccccccec3f0100000000000000666666666666fe3f02000000000000" +
	"00333333333333074003000000000000003333333333330f400400000000000000"

// TestMemoryOfVersion1: a database written before the gauge gives back all that it knew, and the sensor's gauge begins anew.
func TestMemoryOfVersion1(t *testing.T) {
	old, err := hex.DecodeString(memoryV1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := stream.MemoryRoundTrip(old)
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := wholeMemory(t, again)
	if again[0] != 7 || !bytes.Equal(whole[1:len(old)], old[1:]) || !bytes.Equal(bytes.TrimLeft(whole[len(old):], "\x00"), bytes.TrimLeft(stream.UnknownMove, "\x00")) {
		t.Errorf("%x comes back %x", old, whole)
	}
	w := newWindower(t, nil)
	if err := w.RestoreAsset(stream.Asset{ID: 1, Site: "d", Name: "l", FirstSeen: t0}, 0); err != nil {
		t.Fatal(err)
	}
	for id, name := range []string{"axle1-left", "axle1-right"} {
		s := stream.Sensor{ID: int64(id + 1), AssetID: 1, Site: "d", Asset: "l", Name: name, FirstSeen: t0}
		if err := w.RestoreSensor(s, t0, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.RestoreClosed(1, t0-60_000, t0, 40, true, old); err != nil {
		t.Fatal(err)
	}
	for _, short := range [][]byte{old[:len(old)-1], append(old, 0), append([]byte{2}, old[1:]...)} {
		if _, err := stream.MemoryRoundTrip(short); err == nil {
			t.Errorf("%d bytes of version %d: accepted", len(short), short[0])
		}
	}
}

// TestMemoryOfOlderVersions: a database written before a part of the memory gives back all that it knew, and that part begins anew.
func TestMemoryOfOlderVersions(t *testing.T) {
	now, _ := wholeMemory(t, stream.SampleMemory())
	for version, lacks := range map[byte]int{
		2: stream.PairBytes + stream.TwinBytes + stream.CoolBytes, 3: stream.TwinBytes + stream.CoolBytes, 4: stream.CoolBytes, 5: 0,
	} {
		lacks += stream.CourseBytes
		old := append([]byte{version}, now[1:len(now)-lacks]...)
		again, err := stream.MemoryRoundTrip(old)
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		whole, _ := wholeMemory(t, again)
		if again[0] != 7 || !bytes.Equal(whole[1:len(old)], old[1:]) || len(whole) != len(now) || !bytes.Equal(bytes.TrimLeft(whole[len(old):], "\x00"), bytes.TrimLeft(stream.UnknownMove, "\x00")) {
			t.Errorf("version %d: %x comes back %x", version, old, whole)
		}
		if _, err := stream.MemoryRoundTrip(append([]byte{version}, now[1:]...)); err == nil {
			t.Errorf("version %d with what it did not have: accepted", version)
		}
	}
}

// TestMemoryOfVersion6: what version 6 packed is read, and the course begins anew.
func TestMemoryOfVersion6(t *testing.T) {
	now, _ := wholeMemory(t, stream.SampleMemory())
	known := now[:len(now)-stream.CourseBytes]
	again, err := stream.MemoryRoundTrip(memoryOfVersion6(stream.SampleMemory(), (len(known)-1)/8))
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := wholeMemory(t, again)
	if again[0] != 7 || !bytes.Equal(whole[:len(known)], known) || !bytes.Equal(bytes.TrimLeft(whole[len(known):], "\x00"), bytes.TrimLeft(stream.UnknownMove, "\x00")) {
		t.Errorf("%x comes back %x", now, whole)
	}
}

// TestRestoreRefusesWhatDoesNotFit: a store that gives back nonsense is told so, not believed.
func TestRestoreRefusesWhatDoesNotFit(t *testing.T) {
	asset := stream.Asset{ID: 1, Site: "d", Name: "l", FirstSeen: t0}
	sensor := stream.Sensor{ID: 1, AssetID: 1, Site: "d", Asset: "l", Name: "x", FirstSeen: t0}
	reading := stream.Reading{TS: t0, Temp: 1}
	context := stream.Context{TS: t0}
	for about, f := range map[string]func(w *stream.Windower) error{
		"an asset out of order":  func(w *stream.Windower) error { return w.RestoreAsset(stream.Asset{ID: 3}, 0) },
		"a sensor out of order":  func(w *stream.Windower) error { s := sensor; s.ID = 2; return w.RestoreSensor(s, 0, nil) },
		"a sensor of no asset":   func(w *stream.Windower) error { s := sensor; s.AssetID = 2; return w.RestoreSensor(s, 0, nil) },
		"a memory that is none":  func(w *stream.Windower) error { return w.RestoreSensor(sensor, t0, []byte("x")) },
		"a reading of no sensor": func(w *stream.Windower) error { return w.RestoreReading(1, reading, false) },
		"a context of no asset":  func(w *stream.Windower) error { return w.RestoreContext(2, context, false) },
		"a context twice": func(w *stream.Windower) error {
			_ = w.RestoreContext(1, context, false)
			return w.RestoreContext(1, context, false)
		},
		"a reading of sensor 0":      func(w *stream.Windower) error { return w.RestoreReading(0, reading, false) },
		"a context of asset nothing": func(w *stream.Windower) error { return w.RestoreContext(0, context, false) },
		"a reading twice": func(w *stream.Windower) error {
			_ = w.RestoreSensor(sensor, 0, nil)
			_ = w.RestoreReading(1, reading, false)
			return w.RestoreReading(1, reading, false)
		},
	} {
		w := newWindower(t, nil)
		if err := w.RestoreAsset(asset, 0); err != nil {
			t.Fatal(err)
		}
		if err := f(w); err == nil {
			t.Errorf("%s: accepted", about)
		}
	}
}

func TestLongestAndContextSpan(t *testing.T) {
	cfg := stream.DefaultConfig()
	for period, want := range map[time.Duration]time.Duration{
		0: time.Minute, time.Second: time.Minute, 10 * time.Second: time.Minute, 10*time.Second + time.Millisecond: 2 * time.Minute,
		5 * time.Minute: 30 * time.Minute, time.Hour: 6 * time.Hour,
	} {
		if got := stream.Longest(cfg, period); got != want {
			t.Errorf("a period of %s makes windows of %s, want %s", period, got, want)
		}
	}
	if got := stream.ContextSpan(time.Minute); got != 5*time.Minute {
		t.Errorf("contexts reach back %s", got)
	}
	if got := stream.ContextSpan(6 * time.Hour); got != 12*time.Hour {
		t.Errorf("contexts reach back %s", got)
	}
}

func TestConfigValidate(t *testing.T) {
	cfg := stream.DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*stream.Config){
		"the window must be between 1s and 24h, not 10ms": func(c *stream.Config) { c.Window = 10 * time.Millisecond },
		"the disorder must be between 0 and 24h":          func(c *stream.Config) { c.Disorder = -1 },
		"idle must be at least 1s":                        func(c *stream.Config) { c.Idle = 0 },
		"the future limit must not be negative":           func(c *stream.Config) { c.FutureAfter = -1 },
		"the age limit must not be negative":              func(c *stream.Config) { c.TooOld = -1 },
		"history-after must not be negative":              func(c *stream.Config) { c.HistoryAfter = -1 },
		"kind motor has no limits":                        func(c *stream.Config) { delete(c.Kinds, stream.Motor) },
		"the limits of kind brake must be in order": func(c *stream.Config) {
			c.Kinds[stream.Brake] = stream.Limits{SuspectLow: 1, SpikeK: 1, RateKPerMin: 1, TauMin: 1}
		},
		"must be above 0":                    func(c *stream.Config) { l := c.Kinds[stream.Brake]; l.TauMin = 0; c.Kinds[stream.Brake] = l },
		"is not a shell pattern":             func(c *stream.Config) { c.Patterns = []stream.Pattern{{Match: "["}} },
		"must be between 0 and 24h, not 25h": func(c *stream.Config) { c.Patterns = []stream.Pattern{{Match: "x", Period: 25 * time.Hour}} },
	} {
		cfg := stream.DefaultConfig()
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := stream.NewWindower(cfg, nil, nil); err == nil {
			t.Errorf("%s: a windower was made", want)
		}
	}
	for k := stream.Other; k <= stream.Transformer; k++ {
		if got, err := stream.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%s is read as %s, %v", k, got, err)
		}
	}
	if _, err := stream.ParseKind("wheel"); err == nil {
		t.Error("a wheel is a kind")
	}
}

// TestFeatureList: names are columns of a table and inputs of a model; each is there once.
func TestFeatureList(t *testing.T) {
	seen := map[string]bool{}
	for i, f := range stream.FeatureList {
		if f.Name == "" || f.Unit == "" || f.Doc == "" || seen[f.Name] || strings.ToLower(f.Name) != f.Name {
			t.Errorf("feature %d: %+v", i, f)
		}
		if n := stream.FeatureNotes[i]; n.Range == "" || n.Missing == "" {
			t.Errorf("%s has no range, or nobody knows what it is without its input", f.Name)
		}
		seen[f.Name] = true
	}
}

func TestKeys(t *testing.T) {
	for _, c := range [][2]int64{{t0, 1}, {stream.MinTS, 1<<stream.SensorBits - 1}, {stream.MaxTS - 1, 1<<stream.SensorBits - 1}} {
		if ts, id := stream.SplitKey(stream.Key(c[0], c[1])); ts != c[0] || id != c[1] {
			t.Errorf("%v comes back %d, %d", c, ts, id)
		}
	}
}
