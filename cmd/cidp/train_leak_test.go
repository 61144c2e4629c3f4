package main

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// spanOf names a window.
type spanOf struct {
	topic      string
	start, end int64
}

// featuresOf lets samples go through windower and model and gives the features of each window by its bits.
type featuresOf func(t *testing.T, names topics, samples []simulator.Sample) map[spanOf][stream.NumFeatures]uint64

// live is what the line makes of samples: baselines stand still while an alarm stands.
func live(t *testing.T, names topics, samples []simulator.Sample) map[spanOf][stream.NumFeatures]uint64 {
	t.Helper()
	scorer := asItComes(t)
	holds := map[int64]model.Hold{}
	out := map[spanOf][stream.NumFeatures]uint64{}
	w, err := stream.NewWindower(stream.DefaultConfig(), nil, func(w *stream.Window) bool {
		var bits [stream.NumFeatures]uint64
		for i, v := range w.Features {
			bits[i] = math.Float64bits(v)
		}
		out[spanOf{stream.TelemetryTopic(w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name), w.Start, w.End}] = bits
		if w.Valid() {
			s, err := scorer.Score(w, holds[w.Sensor.ID])
			if err != nil {
				t.Fatal(err)
			}
			holds[w.Sensor.ID] = s.Prediction.Hold
		}
		return holds[w.Sensor.ID].Level != model.Normal
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range samples {
		if err := names.feed(w, &samples[i], samples[i].TS); err != nil {
			t.Fatal(err)
		}
		if i%4096 == 0 {
			w.Take()
		}
	}
	return out
}

// peeking is live with a planted leak: short_long_c takes in the sensor's first temperature after the window.
func peeking(t *testing.T, names topics, samples []simulator.Sample) map[spanOf][stream.NumFeatures]uint64 {
	out := live(t, names, samples)
	temps := map[string][]simulator.Sample{}
	for _, s := range samples {
		if s.Sensor >= 0 {
			temps[names.sensors[s.Sensor]] = append(temps[names.sensors[s.Sensor]], s)
		}
	}
	for at, bits := range out {
		for _, s := range temps[at.topic] {
			if s.TS >= at.end {
				bits[stream.FShortLong] += uint64(s.Temp)
				break
			}
		}
		out[at] = bits
	}
	return out
}

// changedFrom gives other values to every sample of a time and later; times and order stay.
func changedFrom(samples []simulator.Sample, cut int64, rng *rand.Rand) []simulator.Sample {
	out := slices.Clone(samples)
	for i := range out {
		s := &out[i]
		if s.TS < cut {
			continue
		}
		s.Temp += stream.Milli(rng.IntN(160_000) - 60_000)
		s.Ambient += stream.Milli(rng.IntN(30_000))
		s.Speed, s.Load, s.Brake = stream.Milli(rng.IntN(120_000)), stream.Milli(rng.IntN(60_000)), uint8(rng.IntN(2))
	}
	return out
}

// leaks names the features of windows that end by the cut and are not the same, bit for bit, when all that comes after it is changed.
func leaks(t *testing.T, of featuresOf, names topics, samples []simulator.Sample, cut int64, rng *rand.Rand) (leaky map[string]int, compared int) {
	t.Helper()
	leaky = map[string]int{}
	as, with := of(t, names, samples), of(t, names, changedFrom(samples, cut, rng))
	for at, bits := range as {
		if at.end > cut {
			continue
		}
		compared++
		other, there := with[at]
		for i := range bits {
			if !there || bits[i] != other[i] {
				leaky[stream.FeatureList[i].Name]++
			}
		}
	}
	return leaky, compared
}

// TestNoFeatureSeesPastItsWindow changes every reading after a window's end, over random fleets with faults of all kinds, and finds the features of every window until then bit-equal; a planted leak is caught.
func TestNoFeatureSeesPastItsWindow(t *testing.T) {
	sequential(t)
	compared, caught := 0, map[string]int{}
	for i := range 6 {
		rng := rand.New(rand.NewPCG(uint64(i), 11))
		fleet, err := simulator.New(simulator.Config{Seed: rng.Uint64(), Assets: 1 + rng.IntN(3), RateHz: []float64{1, 0.2, 0.05}[i%3], Start: trainingStart.Add(time.Duration(rng.IntN(86_400)) * time.Second),
			Span: time.Hour, Faults: []string{"all"}, OtherShare: 0.25, FaultShare: 0.6})
		if err != nil {
			t.Fatal(err)
		}
		names := fleetTopics(fleet, []form{{}, {bare: true}, {alone: true}, {bare: true, alone: true}, {}, {}}[i])
		from := fleet.Now()
		var samples []simulator.Sample
		for fleet.Now().Before(from.Add(45 * time.Minute)) {
			samples = fleet.Step(samples)
		}
		for _, after := range []time.Duration{20 * time.Minute, time.Duration(10+rng.IntN(30)) * time.Minute} {
			cut := from.Add(after).Truncate(time.Minute).UnixMilli()
			leaky, n := leaks(t, live, names, samples, cut, rng)
			compared += n
			if len(leaky) > 0 {
				t.Errorf("fleet %d, cut at %d ms: features that see past their window's end: %v of %d windows", i, cut, leaky, n)
			}
			if i == 0 {
				planted, _ := leaks(t, peeking, names, samples, cut, rng)
				maps.Copy(caught, planted)
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d windows were compared: the test shows little", compared)
	}
	if len(caught) != 1 || caught["short_long_c"] == 0 {
		t.Errorf("of a leak planted in short_long_c the test says %v", caught)
	}
	t.Logf("%d windows compared", compared)
}
