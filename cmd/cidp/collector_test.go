package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 1000}, {1, 1000}, {4 << 20, 1000}, {20 << 20, 300}, {40 << 20, 100}, {60 << 20, 50}, {80 << 20, 50}, {400 << 20, 50}} {
		if got := growth(c.live); got != c.want {
			t.Errorf("%d MiB live: the heap may grow by %d %%, want %d", c.live>>20, got, c.want)
		}
	}
}

// TestQuietCollector looks in a process of its own at how far the heap may grow with little and with much that lives, and with what users set.
func TestQuietCollector(t *testing.T) {
	if os.Getenv("CIDP_TEST_COLLECTOR") != "" {
		quietCollector()
		tellGoal("little", nil)
		much := make([]byte, 200<<20)
		tellGoal("much", much)
		return
	}
	for _, c := range []struct {
		env  string
		want []string
	}{
		{"", []string{"little 1000", "much 50"}},
		{"GOGC=70", []string{"little 70", "much 70"}},
		{"GOMEMLIMIT=1GiB", []string{"little 100", "much 100"}},
	} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestQuietCollector$", "-test.v")
		cmd.Env = append(os.Environ(), "CIDP_TEST_COLLECTOR=1", "GOGC=", "GOMEMLIMIT=", c.env)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var got []string
		for line := range bytes.Lines(out) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "heap with "); ok {
				got = append(got, rest)
			}
		}
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("with %q in the environment: %q, want %q", c.env, got, c.want)
		}
	}
}

// tellGoal collects until the growth has settled, and prints it.
func tellGoal(what string, keep []byte) {
	gogc := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	for range 20 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond) // what a collection leaves to be done after it has no end that could be waited for
	}
	metrics.Read(gogc)
	fmt.Println("heap with", what, gogc[0].Value.Uint64())
	runtime.KeepAlive(keep)
}
