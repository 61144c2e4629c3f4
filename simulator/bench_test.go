package simulator_test

import (
	"testing"

	"github.com/camrail/cidp/simulator"
)

// BenchmarkStep is the cost of a reading without JSON at 0.2 Hz: five seconds of physics each.
func BenchmarkStep(b *testing.B) {
	f := mustFleet(b, simulator.Config{Seed: 1, Assets: 100, Faults: []string{"all"}})
	var samples []simulator.Sample
	readings := 0
	b.ReportAllocs()
	for b.Loop() {
		samples = f.Step(samples[:0])
		readings += len(samples)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings), "ns/reading")
}

// BenchmarkMessages is the same with JSON and topics.
func BenchmarkMessages(b *testing.B) {
	f := mustFleet(b, simulator.Config{Seed: 1, Assets: 100, Faults: []string{"all"}})
	var messages []simulator.Message
	sent := 0
	b.ReportAllocs()
	for b.Loop() {
		messages = f.Messages(messages[:0])
		sent += len(messages)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/message")
}

// BenchmarkNew plans a fleet of 300 and runs its faulty vehicles ahead to their failures.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		mustFleet(b, simulator.Config{Seed: 1, Assets: 300, Faults: []string{"all"}})
	}
}
