package broker_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/broker"
)

// matches says whether a filter matches a topic, as MQTT 5, section 4.7 has it.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && (f[0] == "+" || f[0] == "#") {
		return false
	}
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i == len(t):
			return false
		case level != "+" && level != t[i]:
			return false
		case i == len(f)-1:
			return len(t) == len(f)
		case i == len(t)-1:
			return f[i+1] == "#"
		}
	}
	return false
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/+", "a", false}, {"a/+", "a/", true}, {"+", "/a", false}, {"+/+", "/a", true}, {"#", "/", true},
		{"#", "$a", false}, {"+/b", "$a/b", false}, {"$a/#", "$a/b", true}, {"a/+/#", "a/b", true}, {"a/+/#", "a", false}, {"a", "a/b", false}, {"a", "ab", false},
	} {
		if matches(tc.filter, tc.topic) != tc.want {
			t.Errorf("%s on %s: want %t", tc.filter, tc.topic, tc.want)
		}
	}
}

// randomName gives a topic, or a filter.
func randomName(r *rand.Rand, filter bool) string {
	levels := make([]string, 1+r.IntN(4))
	for i := range levels {
		levels[i] = []string{"a", "b", "c", "a-", "", "$s"}[r.IntN(6)]
		if filter && r.IntN(3) == 0 {
			levels[i] = "+"
		}
	}
	if filter && r.IntN(3) == 0 {
		levels[len(levels)-1] = "#"
	}
	return strings.Join(levels, "/")
}

// Topics come and go, of ours and from outside, with an expiry and without; what is there, what each filter finds of it and what it is said to take is what a plain
// list says.
func TestRetainTreeAgainstPlainList(t *testing.T) {
	t.Parallel()
	type message struct {
		payload string
		input   bool
		expires int64
	}
	r := rand.New(rand.NewPCG(1, 2))
	tree, plain := broker.NewRetainTree(`{"n":`, `,"step":`), map[string]message{}
	check := func(step int) {
		t.Helper()
		inputs, size := 0, 0
		for topic, m := range plain {
			if got := string(tree.Get(topic)); got != m.payload {
				t.Fatalf("step %d: %s holds %q, want %q", step, topic, got, m.payload)
			}
			if m.input {
				inputs++
				size += len(topic) + len(m.payload)
			}
		}
		if n, in, bytes, levels := tree.Books(); n != len(plain) || in != inputs || bytes != size || levels != (n > 0) {
			t.Fatalf("step %d: %d messages, %d inputs of %d bytes, levels: %t; want %d, %d, %d", step, n, in, bytes, levels, len(plain), inputs, size)
		}
		for range 10 {
			filter := randomName(r, true)
			var want []string
			for topic := range plain {
				if matches(filter, topic) {
					want = append(want, topic)
				}
			}
			got := tree.Match(filter)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: %q finds %q, want %q", step, filter, got, want)
			}
		}
	}
	for step := range 6000 {
		topic, m := randomName(r, false), message{payload: fmt.Sprintf(`{"n":1,"step":%d}`, step) + []string{"", "\x01"}[r.IntN(2)], input: r.IntN(2) == 0}
		clears := r.IntN(3)
		if step/600%2 == 1 {
			clears = r.IntN(2) // now and then few are left, or none
		}
		switch {
		case clears == 0:
			tree.Set(topic, nil)
			delete(plain, topic)
		case m.input:
			if r.IntN(2) == 0 {
				m.expires = int64(step + r.IntN(500))
			}
			tree.SetInput(topic, []byte(m.payload), m.expires)
			plain[topic] = m
		default:
			tree.Set(topic, []byte(m.payload))
			plain[topic] = m
		}
		if step%50 == 0 {
			tree.Expire(int64(step))
			for topic, m := range plain {
				if m.expires > 0 && m.expires <= int64(step) {
					delete(plain, topic)
				}
			}
			check(step)
		}
	}
	for topic := range plain {
		tree.Set(topic, nil)
		delete(plain, topic)
	}
	check(-1)
}

// A retained input that is over its expiry makes room without anybody's looking for it.
func TestRetainedExpiryUnasked(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	c, _ := connect(t, b, session{id: "a", version: 5})
	before := b.Stats().Retained
	c.write(publishWithExpiry(1, 2)) // not one second: the machine may be busy
	c.expectAck(tPuback, 1, 0)
	eventually(t, "it is retained", func() bool { return b.Stats().Retained == before+1 })
	eventually(t, "it is gone", func() bool { return b.Stats().Retained == before })
}

// BenchmarkRetained measures 100,000 retained topics of ours in assets of twelve sensors.
func BenchmarkRetained(b *testing.B) {
	const n = 100_000
	topics := make([]string, n)
	for i := range topics {
		topics[i] = fmt.Sprintf("cidp/v1/risk/dla/loco%d/axle%d-left", i/12, i%12)
	}
	payload := []byte(benchPayload)
	fill := func() *broker.RetainTree {
		tree := broker.NewRetainTree()
		for _, topic := range topics {
			tree.Set(topic, payload)
		}
		return tree
	}
	b.Run("fill", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.StartTimer()
			tree := fill()
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/topic") // neither topic nor payload
			runtime.KeepAlive(tree)
			b.StartTimer()
		}
	})
	tree := fill()
	b.Run("replace", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			tree.Set(topics[i%n], payload)
			i += 7919
		}
	})
	for _, filter := range []string{topics[n/2], "cidp/v1/+/dla/loco77/#", "cidp/v1/risk/#", "+/+/+/+/+/axle3-left"} {
		b.Run("filter="+filter, func(b *testing.B) {
			found := 0
			for b.Loop() {
				found = len(tree.Match(filter))
			}
			b.ReportMetric(float64(found), "found")
		})
	}
}
