package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
)

// calmMonitor is the setting of Go's runtime that keeps its monitor thread out of its deep sleep: a trace of the scheduler every 24.8 days, the longest period it takes.
//
// The monitor (runtime.sysmon) sleeps deeply while all processors are idle, and the next system call wakes it: it then looks around every 20 us for a
// millisecond and more. A line that commits a hundred times a second wakes it so with each commit, and its thousands of short sleeps a second were a third of what
// 10,000 sensors cost. While a trace is asked for it never sleeps deeply, but looks less and less often, down to every 10 ms, which costs next to nothing. The setting is read
// once, before main: hence the second start.
//
// Its price: a line that begins with SCHED on stderr when the machine has been up for 24.8 days, at each start after that, and every 24.8 days of the process; the state
// of the scheduler, a line for each goroutine, before the message of a crash; and a processor that a system call holds is free after 10 to 20 ms instead of 40 us where the others are idle.
const calmMonitor = "schedtrace=2147483647"

// beCalm starts the program once more in the same process, with calmMonitor set. It returns when that is so already, when somebody else said whether the scheduler is traced, when
// there is one processor, which only a watchful monitor takes from a system call that lasts, or when it cannot be: then everything works, and costs more. It is called before
// anything else, so that a signal finds either the one program or the other.
func beCalm() {
	if strings.Contains(os.Getenv("GODEBUG"), "schedtrace=") || runtime.GOMAXPROCS(0) < 2 {
		return
	}
	if self, err := os.Executable(); err == nil {
		startAgain(self)
	}
}

// startAgain starts a program instead of this one, or returns with everything as it was.
func startAgain(self string) {
	before, had := os.LookupEnv("GODEBUG")
	set := calmMonitor
	if before != "" {
		set = before + "," + calmMonitor
	}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil || os.Setenv("GODEBUG", set) != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, os.Environ()) // it returns only when it has failed, and the limit of open files is then what it was before Go raised it
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	_ = os.Unsetenv("GODEBUG")
	if had {
		_ = os.Setenv("GODEBUG", before)
	}
}
