package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used of the machine. Without /proc (another system than Linux) nothing of it is known while the process lives.
type usage struct {
	known             bool
	cpu               time.Duration // user and system
	resident, highest int64         // bytes: VmRSS, VmHWM
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which Linux has fixed at 100.
const clockTick = 10 * time.Millisecond

// usageOf reads what a live process has used.
func usageOf(pid int) (u usage) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name in brackets may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return usage{}
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	if userErr != nil || systemErr != nil {
		return usage{}
	}
	u.cpu = time.Duration(user+system) * clockTick
	u.resident, u.highest = Resident(pid)
	u.known = u.highest > 0
	return u
}

// Resident reads how much memory a process holds, and at most held, in bytes; 0 where there is no /proc, or when it has ended.
func Resident(pid int) (now, highest int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64) // the lines asked for are numbers
		switch f[0] {
		case "VmRSS:":
			now = kb << 10
		case "VmHWM:":
			highest = kb << 10
		}
	}
	return now, highest
}

// busy is the processor time that the whole machine has spent working, 0 where there is no /proc. What a hypervisor gave to others is not in it.
func busy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0
	}
	ticks := int64(0)
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq; not idle and iowait
		n, _ := strconv.ParseInt(fields[i], 10, 64) // the kernel writes numbers
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// writtenBlock is the unit of ru_oublock on Linux.
const writtenBlock = 512

// written is how many bytes an ended process caused to be sent to storage in all (pages made dirty, counted once for each time they were clean), 0 where
// that is not known. It includes what the last checkpoint wrote.
func (c *child) written() int64 {
	r, ok := c.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || !usageOf(os.Getpid()).known {
		return 0
	}
	return r.Oublock * writtenBlock
}
