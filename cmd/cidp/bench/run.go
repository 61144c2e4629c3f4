package bench

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
	"github.com/camrail/cidp/cmd/cidp/platform"
)

// run is one run of a scenario against a platform of its own.
type run struct {
	s        *scenario
	last     bool // of the scenario: it is profiled
	dir      string
	addr     string // of the broker
	platform *child // nil: it was not started here
	acked    int64  // readings acknowledged in the whole run
	sent     int64
	figures  figures
	ledger   Ledger
	earlier  Ledger // of the runs that filled the same database before
	stages   []Stage
	load     *load.Load
}

func (r *run) database() string { return filepath.Join(r.dir, platform.DatabaseName) }
func (r *run) profile() string  { return filepath.Join(r.dir, "cpu.pprof") }

// profiled says whether the platform writes a profile of this run.
func (r *run) profiled(b *bench) bool { return r.last && (r.s.profiled || b.cfg.Profiles != "") }

// site is one that no earlier run has used, so that nothing of this one is a repeat.
func (r *run) site() string {
	return "bench-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
}

// ackPatience is how long what was sent has to be acknowledged after a load.
const ackPatience = time.Minute

// run starts a platform, measures it, and settles accounts.
func (b *bench) run(ctx context.Context, r *run) (err error) {
	if r.addr = b.cfg.Addr; r.addr != "" {
		return r.s.measure(b, ctx, r)
	}
	if r.dir, err = b.folder(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(r.dir)) }()
	return b.serve(ctx, r)
}

// start lets a platform serve the run's folder.
func (b *bench) start(ctx context.Context, r *run) (err error) {
	args := []string{"--log-json", "run", "--data", r.dir, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}
	if r.profiled(b) {
		args = append(args, "--cpuprofile", r.profile())
	}
	args = append(args, r.s.with...)
	if r.platform, err = b.launch(ctx, append(args, b.cfg.With...)...); err != nil {
		return err
	}
	r.addr = r.platform.mqtt
	return nil
}

// serve starts a platform on the run's folder, measures it, and settles accounts.
func (b *bench) serve(ctx context.Context, r *run) error {
	if err := b.start(ctx, r); err != nil {
		return err
	}
	defer r.platform.kill()
	if err := r.s.measure(b, ctx, r); err != nil {
		return r.platform.lastWords(err)
	}
	if err := b.settle(ctx, r); err != nil || r.s.after == nil {
		return err
	}
	return r.s.after(b, ctx, r)
}

// measureLoad runs a load for the scenario's time.
func (b *bench) measureLoad(ctx context.Context, r *run) error { return b.measureBeside(ctx, r, nil) }

// measureBeside does so while something else goes on, on sensors of its own at the same site, that takes the scenario's time.
func (b *bench) measureBeside(ctx context.Context, r *run, beside func(ctx context.Context, site string) error) error {
	site := r.site()
	return b.measurePlan(ctx, r, r.s.shape.plan(site, time.Now()), beside)
}

// measurePlan measures the load that is given.
func (b *bench) measurePlan(ctx context.Context, r *run, plan load.Plan, beside func(ctx context.Context, site string) error) error {
	l, err := load.Start(r.addr, plan)
	if err != nil {
		return err
	}
	defer l.Close()
	r.load = l
	if err := r.warmUp(ctx); err != nil {
		return err
	}
	w := b.watch(r)
	done := make(chan error, 1)
	go func() {
		if beside == nil {
			done <- nil
			return
		}
		done <- beside(ctx, plan.Site)
	}()
	m := begin(l)
	err = w.during(ctx, r.over())
	m.end(l)
	if err := errors.Join(err, w.end(), <-done, l.Finish(ackPatience)); err != nil {
		return err
	}
	m.settled(l)
	r.sent += l.Readings()
	r.acked += int64(l.Acked()) * int64(l.Plan.Batch)
	m.figures(r, l)
	if l.Plan.QoS == 0 && w.platform != nil {
		rate := w.counts.Sum("cidp_readings_total") / w.span.Seconds()
		r.figures.set(committed, rate)
		m.readings = rate * m.took.Seconds() // what falls on the time of which the processor time is
	}
	w.figures(r, m.readings, m.took)
	if ours := m.own + w.after.cpu - w.before.cpu; w.after.known && m.machine > 0 {
		r.figures.set(others, 100*max(0, (m.machine-ours).Seconds())/m.took.Seconds())
	}
	return nil
}

// meter is what the generator knows of the measured time.
type meter struct {
	load.Figures
	acked    uint64
	own      time.Duration // processor time of the generator
	machine  time.Duration // of the whole machine
	start    time.Time
	took     time.Duration
	readings float64 // acknowledged in it
}

func begin(l *load.Load) *meter {
	l.Figures() // what was late before does not count
	return &meter{acked: l.Acked(), own: floor.Processor(), machine: busy(), start: time.Now()}
}

func (m *meter) end(l *load.Load) {
	m.Figures, m.took, m.own, m.machine = l.Figures(), time.Since(m.start), floor.Processor()-m.own, busy()-m.machine
	m.readings = float64(m.Acked-m.acked) * float64(l.Plan.Batch)
}

// settled adds how long those messages took that were due in the measured time (or in the moments until nothing more was sent) and acknowledged later, or not even sent:
// a platform that stands still at the end is not measured by what it answered before.
func (m *meter) settled(l *load.Load) {
	rest := l.Figures()
	m.Latency.Join(&rest.Latency)
	m.Latency.Join(&rest.Unsent)
}

// figures tells what it knows. At QoS 0 nobody is told of what was taken.
func (m *meter) figures(r *run, l *load.Load) {
	if l.Plan.QoS > 0 {
		r.figures.set(readingsRate, m.readings/m.took.Seconds())
	}
	if m.Latency.Count() > 0 {
		r.figures.latencies(&m.Latency)
	}
	if l.Plan.QoS > 0 && m.readings > 0 {
		r.figures.set(ownCPUShare, micros(m.own)/m.readings)
	}
	if l.Plan.Rate > 0 {
		r.figures.set(ownLag, millis(m.Lag))
		r.figures.set(ownBehind, float64(m.Behind))
	}
}

func (f *figures) latencies(l *load.Latencies) {
	f.set(ackMedian, millis(l.Quantile(0.5)))
	f.set(ack99, millis(l.Quantile(0.99)))
	f.set(ackMax, millis(l.Max()))
}

// watch looks at the platform while a load is measured.
type watch struct {
	platform      *child
	before, after usage
	counts        Counts // growth
	scraped       time.Time
	span          time.Duration // of the growth: from before the first scrape to after the last
	resident      int64         // the most that was seen
	err           error
}

// watchEvery is how often resident memory is looked at.
const watchEvery = 250 * time.Millisecond

func (b *bench) watch(r *run) *watch {
	w := &watch{platform: r.platform}
	if w.platform != nil {
		w.scraped = time.Now()
		w.counts, w.err = Scrape(w.platform.http)
		w.before = usageOf(w.platform.cmd.Process.Pid)
	}
	return w
}

// during lets time pass until it is over, which is looked at as often as over says.
func (w *watch) during(ctx context.Context, over waiting) error {
	looked := time.Time{}
	if err := over.wait(ctx, func() {
		if w.platform != nil && time.Since(looked) >= watchEvery {
			now, _ := Resident(w.platform.cmd.Process.Pid)
			w.resident, looked = max(w.resident, now), time.Now()
		}
	}); err != nil {
		return err
	}
	if w.platform != nil {
		w.after = usageOf(w.platform.cmd.Process.Pid)
	}
	return nil
}

// end reads what the platform counted meanwhile.
func (w *watch) end() error {
	if w.platform == nil || w.err != nil {
		return w.err
	}
	after, err := Scrape(w.platform.http)
	if err != nil {
		return err
	}
	w.span = time.Since(w.scraped)
	for name, v := range after {
		after[name] = v - w.counts[name]
	}
	w.counts = after
	return nil
}

// figures adds what was seen. readings were acknowledged in that time.
func (w *watch) figures(r *run, readings float64, took time.Duration) {
	if w.platform == nil {
		return
	}
	if w.before.known && w.after.known {
		cpu := w.after.cpu - w.before.cpu
		if readings > 0 {
			r.figures.set(cpuReading, micros(cpu)/readings)
		}
		r.figures.set(cores, 100*cpu.Seconds()/took.Seconds())
		r.figures.set(resident, float64(w.resident)/mib)
		r.figures.set(highest, float64(w.after.highest)/mib)
	}
	r.figures.set(commitRate, w.counts["cidp_commits_total"]/w.span.Seconds())
	if windows := w.counts.Sum("cidp_windows_total"); windows > 0 {
		r.figures.set(windowRate, windows/w.span.Seconds())
		r.figures.set(quarantined, 100*w.counts[`cidp_windows_total{verdict="quarantined"}`]/windows)
	}
}

const mib = 1 << 20

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }
func millis(d time.Duration) float64 { return d.Seconds() * 1e3 }

// pause lets time pass, unless the whole is stopped.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
