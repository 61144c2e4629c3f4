package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// bench is a measurement under way.
type bench struct {
	cfg    Config
	report Report
}

// Report is everything that was measured.
type Report struct {
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Machine   Machine   `json:"machine"`
	Addr      string    `json:"addr,omitempty"`  // of what was not started here
	Notes     []string  `json:"notes,omitempty"` // what could not be measured, and why
	Data      string    `json:"data,omitempty"`  // folder in which the runs made theirs
	Disk      string    `json:"file_system,omitempty"`
	With      []string  `json:"with,omitempty"` // further arguments of the platform
	Scenarios []Result  `json:"scenarios"`
}

// Machine is what platform, floors and generator share.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

// Result is what was measured of a scenario.
type Result struct {
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Started time.Time `json:"started"`
	Load    shape     `json:"load"`
	Runs    int       `json:"runs"`
	Seconds float64   `json:"seconds"` // measured, of a run
	Warm    float64   `json:"warm_s"`  // before that
	Figures []Figure  `json:"figures"`
	Targets []Target  `json:"targets"`
	Stages  []Stage   `json:"stages,omitempty"`
	Points  []Point   `json:"points,omitempty"`
	Sizes   string    `json:"sizes,omitempty"` // what the points' sizes are of
	Ledger  Ledger    `json:"ledger"`          // of all runs together
	Failure string    `json:"failure,omitempty"`
}

// OK says whether every scenario could be measured and nothing was lost. Targets that are missed are no failure.
func (r *Report) OK() bool {
	for i := range r.Scenarios {
		if r.Scenarios[i].Failure != "" {
			return false
		}
	}
	return true
}

// plans gives the scenarios that were asked for, with their loads as they were asked for, and says in a sentence what makes no sense. When none is named, those that cannot be
// measured like this are left out and told.
func (c *Config) plans() (list []scenario, notes []string, err error) {
	if c.Runs < 0 || c.For < 0 || c.UpTo < 0 {
		return nil, nil, errors.New("runs, their time and the largest size are positive")
	}
	all, err := chosen(c.Scenarios)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		err := all[i].prepare(c)
		switch {
		case err == nil:
			list = append(list, all[i])
		case errors.Is(err, errOwn) && len(c.Scenarios) == 0:
			notes = append(notes, "left out: "+err.Error())
		default:
			return nil, nil, err
		}
	}
	return list, notes, nil
}

// errOwn says that a scenario cannot be measured on a platform that was not started here, or not at QoS 0.
var errOwn = errors.New("it needs a platform of its own, and acknowledgements")

// prepare makes a scenario's load what was asked for.
func (s *scenario) prepare(c *Config) (err error) {
	own := s.shape
	if s.shape, err = c.Override.apply(own); err != nil {
		return err
	}
	if s.shape != own {
		s.targets = nil // they are of the scenario's own load
	}
	if s.own && (c.Addr != "" || s.shape.QoS == 0) {
		return fmt.Errorf("scenario %s: %w", s.name, errOwn)
	}
	if s.sizes != nil {
		return s.keepSizes(c.UpTo)
	}
	plan := s.shape.plan("", time.Now())
	if err := plan.Validate(); err != nil {
		return fmt.Errorf("scenario %s: %w", s.name, err)
	}
	return nil
}

// Check says in a sentence what makes no sense.
func (c *Config) Check() error {
	_, _, err := c.plans()
	return err
}

// Run measures. The error says that it could not begin, or that it was stopped; what failed in a scenario is in its result.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	list, notes, err := cfg.plans()
	if err != nil {
		return nil, err
	}
	b := &bench{cfg: cfg, report: Report{Version: cfg.Version, Started: time.Now().UTC(), Addr: cfg.Addr,
		Machine: Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}}}
	if cfg.Addr == "" {
		b.report.Data, b.report.With = cmp.Or(cfg.Data, os.TempDir()), cfg.With
		b.report.Disk = fileSystem(b.report.Data)
	}
	b.report.note()
	b.report.Notes = append(b.report.Notes, notes...)
	for i := range list {
		why := b.unlike(&list[i])
		res := b.scenario(ctx, &list[i])
		res.leaveUnjudged(why)
		b.report.Scenarios = append(b.report.Scenarios, res)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return &b.report, nil
}

// note says what is left out.
func (r *Report) note() {
	if r.Addr != "" {
		r.Notes = append(r.Notes, fmt.Sprintf("the broker at %s was not started here: no ledger, no floors, nothing of its processor time, memory and bytes written", r.Addr))
	} else if inMemory(r.Disk) {
		r.Notes = append(r.Notes, fmt.Sprintf("IN MEMORY: %s is a %s. No commit reaches a disk, so that rates, latencies and bytes written are of no warehouse and no target is judged: choose a folder on a disk with --data", r.Data, r.Disk))
	} else if !usageOf(os.Getpid()).known {
		r.Notes = append(r.Notes, "this system has no /proc: nothing is known of the platform's processor time, memory and bytes written")
	}
}

// unlike says what about a measurement is not as the scenario's targets mean it, empty if all is.
func (b *bench) unlike(s *scenario) string {
	switch {
	case b.cfg.For > 0 && b.cfg.For < s.last:
		return fmt.Sprintf("less than %gs", s.last.Seconds())
	case len(b.report.With) > 0:
		return "--with"
	case inMemory(b.report.Disk):
		return "in memory"
	}
	return ""
}

// leaveUnjudged takes back what was judged, for a reason if there is one.
func (r *Result) leaveUnjudged(why string) {
	for i := range r.Targets {
		if t := &r.Targets[i]; why != "" && t.Unjudged == "" {
			t.Met, t.Unjudged = false, why
		}
	}
}

// scenario measures one: platform and floors take turns, so that what else the machine does falls on both.
func (b *bench) scenario(ctx context.Context, s *scenario) Result {
	if b.cfg.Runs > 0 {
		s.runs = b.cfg.Runs
	}
	if b.cfg.For > 0 {
		s.warm = min(s.warm, time.Duration(float64(s.warm)*b.cfg.For.Seconds()/s.last.Seconds()))
		s.last = b.cfg.For
	}
	if b.cfg.Addr != "" {
		s.floors, s.profiled = nil, false
	}
	res := Result{Name: s.name, About: s.about, Started: time.Now().UTC().Truncate(time.Second), Load: s.shape, Runs: s.runs, Seconds: s.last.Seconds(), Warm: s.warm.Seconds()}
	if s.sizes != nil {
		b.atSizes(ctx, s, &res)
		return res
	}
	var all collected
	for i := range s.runs {
		r := &run{s: s, last: i == s.runs-1}
		b.say("%s: run %d of %d", s.name, i+1, s.runs)
		err := b.run(ctx, r)
		res.Ledger.add(&r.ledger)
		all.add(r.figures)
		if r.last {
			res.Stages = r.stages
		}
		for _, f := range s.floors {
			if err == nil {
				b.say("%s: run %d of %d, floor: %s", s.name, i+1, s.runs, f.about)
				var figures figures
				figures, err = f.watched(ctx, b, s)
				all.add(figures)
			}
		}
		if err != nil {
			res.Failure = err.Error()
			break
		}
	}
	for _, f := range s.floors {
		all.ratio(f.ratio, f.of, f.figure)
	}
	res.Figures = all.figures()
	res.Targets = judged(s.targets, res.Figures)
	return res
}

func (b *bench) say(format string, args ...any) {
	if b.cfg.Say != nil {
		b.cfg.Say(format, args...)
	}
}
