package bench

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Stage is what a part of the platform costs a reading.
type Stage struct {
	Name   string  `json:"name"`
	Share  float64 `json:"share"` // of all processor time
	Micros float64 `json:"us_per_reading"`
}

// stages reads a CPU profile of a platform that received so many readings, the costliest stage first.
func stages(file string, readings int64) ([]Stage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open profile: %w", err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if value < 0 {
		return nil, fmt.Errorf("read profile: it has no processor time")
	}
	of, all := map[string]int64{}, int64(0)
	for _, s := range p.Sample {
		of[stageOf(s)] += s.Value[value]
		all += s.Value[value]
	}
	var out []Stage
	for name, ns := range of {
		out = append(out, Stage{name, float64(ns) / float64(all), float64(ns) / 1e3 / float64(max(1, readings))})
	}
	slices.SortFunc(out, func(a, b Stage) int { return cmp.Or(cmp.Compare(b.Micros, a.Micros), cmp.Compare(a.Name, b.Name)) })
	return out, nil
}

// Stages that are no package of ours.
const (
	stageCollector = "garbage collector"
	stageScheduler = "scheduler and timers"
	stageNetwork   = "kernel: network"
	stageDisk      = "kernel: disk"
	stageKernel    = "kernel: other"
	stageSQLite    = "SQLite"
	stageMochi     = "mochi"
)

const (
	ours   = "github.com/camrail/cidp/"
	sqlite = "github.com/ncruces/"
	mochi  = "github.com/mochi-mqtt/"
)

// decoders are the files of package stream that turn payloads into readings. What is in another file is windowing.
var decoders = []string{"decode.go", "plain.go", "scan.go"}

// stageOf says what a sample belongs to: the collector, the kernel (by who asked it), or whose the innermost frame is that is neither the runtime's nor the
// standard library's.
func stageOf(s *profile.Sample) string {
	kernel, network, stage := false, false, ""
	for depth, loc := range s.Location {
		for _, line := range loc.Line {
			if line.Function == nil {
				continue
			}
			name := line.Function.Name
			if hasPrefix(name, "runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart") {
				return stageCollector
			}
			kernel = kernel || depth == 0 && hasPrefix(name, "internal/runtime/syscall", "syscall.", "runtime.futex", "runtime.epoll", "runtime.usleep", "runtime.write1", "runtime.madvise")
			network = network || hasPrefix(name, "net.", "runtime.netpoll")
			if stage == "" {
				stage = ownerOf(name, line.Function.Filename)
			}
		}
	}
	switch {
	case kernel && stage == stageSQLite:
		return stageDisk
	case kernel && network:
		return stageNetwork
	case kernel:
		return stageKernel
	case stage == "":
		return stageScheduler
	}
	return stage
}

func hasPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// ownerOf names the stage that a function is of, empty for those of the runtime and the standard library.
func ownerOf(function, file string) string {
	if strings.HasPrefix(function, sqlite) {
		return stageSQLite
	}
	if strings.HasPrefix(function, mochi) {
		return stageMochi
	}
	pkg, own := strings.CutPrefix(function, ours)
	if !own {
		return ""
	}
	pkg, _, _ = strings.Cut(pkg, "[") // of type parameters, which may name packages too
	dir, base := path.Split(pkg)
	base, _, _ = strings.Cut(base, ".")
	pkg = strings.TrimPrefix(dir+base, "cmd/cidp/")
	if pkg != "stream" {
		return pkg
	}
	if slices.Contains(decoders, path.Base(file)) {
		return "stream: decode"
	}
	return "stream: windows"
}
