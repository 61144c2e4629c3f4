package simulator_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/simulator"
)

// TestPayloads: every payload is the JSON its message says it is, and late bursts come as arrays.
func TestPayloads(t *testing.T) {
	sequential(t)
	f := mustFleet(t, simulator.Config{Seed: 9, Faults: []string{simulator.LateBursts}, Span: time.Hour})
	arrays, contexts := 0, 0
	for range ticksIn(f, time.Hour) {
		for _, m := range f.Messages(nil) {
			var many []map[string]float64
			text := string(m.Payload)
			if !strings.HasPrefix(text, "[") {
				text = "[" + text + "]"
			} else {
				arrays++
			}
			if err := json.Unmarshal([]byte(text), &many); err != nil {
				t.Fatalf("%s: %s: %v", m.Topic, m.Payload, err)
			}
			last := many[len(many)-1]
			_, temp := last["temp_c"]
			isContext := m.Sensor < 0
			if isContext {
				contexts++
			}
			if len(many) != max(m.Readings, 1) || int64(last["ts"]) != m.TS || temp == isContext || isContext != strings.HasPrefix(m.Topic, "cidp/v1/context/") {
				t.Fatalf("%+v: %s", m, m.Payload)
			}
		}
	}
	if arrays == 0 || contexts == 0 {
		t.Errorf("%d arrays, %d contexts", arrays, contexts)
	}
}
