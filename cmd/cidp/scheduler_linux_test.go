package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRunIsCalm looks at what a running platform was started with, and whether its runtime goes by that: then a crash shows the scheduler's state.
func TestRunIsCalm(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: the monitor must be watchful")
	}
	for _, c := range []struct {
		set, want string
		calm      bool
	}{
		{"", calmMonitor, true},
		{"madvdontneed=1", "madvdontneed=1," + calmMonitor, true},
		{"schedtrace=0", "schedtrace=0", false},
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
			if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-p.done:
				p.done <- err // for who cleans up
			case <-time.After(20 * time.Second):
				t.Fatal("the program does not end")
			}
			if calm := bytes.Contains(p.stderr.Bytes(), []byte("SCHED ")); calm != c.calm {
				t.Errorf("the scheduler is traced: %t, want %t", calm, c.calm)
			}
		})
	}
}

// TestNotStartedAgain: a program that cannot be started leaves the limit of open files and the environment as they are.
func TestNotStartedAgain(t *testing.T) {
	for _, set := range []string{"", "madvdontneed=1"} {
		t.Setenv("GODEBUG", set)
		if set == "" {
			if err := os.Unsetenv("GODEBUG"); err != nil {
				t.Fatal(err)
			}
		}
		var before, after syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		startAgain(filepath.Join(t.TempDir(), "nothing"))
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after); err != nil {
			t.Fatal(err)
		}
		if after != before {
			t.Errorf("the limit of open files was %d and is %d", before.Cur, after.Cur)
		}
		if is, there := os.LookupEnv("GODEBUG"); is != set || there != (set != "") {
			t.Errorf("GODEBUG was %q and is %q", set, is)
		}
	}
}
