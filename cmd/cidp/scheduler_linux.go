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
const calmMonitor = "schedtrace=2147483647"

// beCalm starts the program once more in the same process, with calmMonitor set. It returns when that is so already, when somebody else traces the scheduler, when there is one
// processor, which only a watchful monitor takes from a system call that lasts, or when it cannot be: then everything works, and costs more.
func beCalm() {
	set := os.Getenv("GODEBUG")
	if strings.Contains(set, "schedtrace=") || runtime.GOMAXPROCS(0) < 2 {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	if set != "" {
		set += ","
	}
	if os.Setenv("GODEBUG", set+calmMonitor) == nil {
		_ = syscall.Exec(self, os.Args, os.Environ())
	}
}
