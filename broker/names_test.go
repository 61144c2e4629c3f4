package broker_test

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/camrail/cidp/broker"
)

// TestTopicsOfALargeFleetAreRemembered: of 100,000 topics at least nine in ten are the same string again.
func TestTopicsOfALargeFleetAreRemembered(t *testing.T) {
	const topics = 100_000
	b := mustStart(t, broker.Config{})
	first := make([]string, topics)
	same := 0
	for round := range 2 {
		for i := range first {
			topic := fmt.Sprintf("cidp/v1/telemetry/douala/loco-%d/axle%d-left", i/10, i%10)
			got, ok := b.PlainTopic([]byte(topic))
			if !ok || got != topic {
				t.Fatalf("%q is %q, %v", topic, got, ok)
			}
			if round == 0 {
				first[i] = got
			} else if unsafe.StringData(got) == unsafe.StringData(first[i]) {
				same++
			}
		}
	}
	if same < topics*9/10 {
		t.Errorf("%d of %d are the same", same, topics)
	}
}
