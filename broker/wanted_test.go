package broker_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/camrail/cidp/broker"
)

// TestWantedMissesNobody: a topic that the index of subscriptions has somebody for may be wanted, with filters of every form; and what telemetry a dashboard leaves alone is not.
func TestWantedMissesNobody(t *testing.T) {
	names := []string{"a", "b", "ab", "", "$SYS"}
	pick := func(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
	topic := func(r *rand.Rand) string {
		levels := make([]string, 1+r.IntN(4))
		for i := range levels {
			levels[i] = pick(r, names)
		}
		return strings.Join(levels, "/")
	}
	filter := func(r *rand.Rand) string {
		levels := strings.Split(topic(r), "/")
		for i := range levels {
			if r.IntN(4) == 0 {
				levels[i] = "+"
			}
		}
		if r.IntN(3) == 0 {
			levels = append(levels, "#")
		}
		f := strings.Join(levels, "/")
		if r.IntN(5) == 0 {
			f = pick(r, []string{"$share/g/", "$SHARE/h/"}) + f
		}
		return f
	}
	found := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		index, filters := mqtt.NewTopicsIndex(), []string(nil)
		for range r.IntN(2 * broker.MaxBegins) {
			if f := filter(r); broker.ValidFilter(f) {
				filters = append(filters, f)
				index.Subscribe("client", packets.Subscription{Filter: f})
			}
			if r.IntN(3) > 0 {
				break
			}
		}
		for range 20 {
			name := topic(r)
			if subs := index.Subscribers(name); len(subs.Subscriptions)+len(subs.Shared) > 0 {
				if found++; !broker.MayBeWanted(filters, name) {
					t.Fatalf("seed %d: somebody is subscribed to %q with one of %q, and nobody is said to be", seed, name, filters)
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d topics had a subscriber", found)
	}
	dashboard := []string{"cidp/v1/risk/#", "cidp/v1/alerts/+/+/+", "$share/shift/cidp/v1/events/#"}
	for name, want := range map[string]bool{"cidp/v1/telemetry/a/b/c": false, "cidp/v1/risk/a/b/c": true, "cidp/v1/events/a/b/c": true, "cidp/v1/status": false} {
		if broker.MayBeWanted(dashboard, name) != want {
			t.Errorf("%s may be wanted: %v", name, !want)
		}
	}
}
