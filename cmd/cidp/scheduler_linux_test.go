package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// TestRunIsCalm looks at the environment that the runtime of a running platform has read.
func TestRunIsCalm(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: the monitor must be watchful")
	}
	for _, c := range []struct{ set, want string }{
		{"", calmMonitor},
		{"madvdontneed=1", "madvdontneed=1," + calmMonitor},
		{"schedtrace=86400000", "schedtrace=86400000"},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Setenv("GODEBUG", c.set)
			p := startProgram(t, t.TempDir())
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == "GODEBUG="+c.want }) {
				t.Errorf("GODEBUG is not %q in\n%q", c.want, env)
			}
		})
	}
}
