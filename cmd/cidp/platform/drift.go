package platform

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// drift watches whether what the model sees is still what it was trained with, and whether it is still right. It says "look" and switches nothing off. feed counts, commit keeps what was counted, the console and
// a look every driftEvery read.
type drift struct {
	span    time.Duration
	horizon time.Duration
	pages   func() *store.Console
	log     zerolog.Logger

	mu     sync.Mutex
	counts *model.Drift // guarded by mu; nil: nothing can be counted
	id     string       // of the model that is followed, guarded by mu
	why    string       // nothing can be counted, guarded by mu
	oldest int64        // last told to the store, owned by feed
	right  *measured    // by the last look, guarded by mu; nil: none was

	looking sync.Mutex                  // one look at a time
	looked  map[string]model.DriftState // what the last look said, by feature, score or brier, guarded by looking
	seen    string                      // the model that it looked at, guarded by looking

	psi     *prometheus.GaugeVec // feature
	score   prometheus.Gauge
	windows prometheus.Gauge
	brier   prometheus.Gauge
	looks   *prometheus.CounterVec // of
}

// Names of what is looked at beside the features.
const (
	ofScore = "score"
	ofBrier = "brier"
)

const (
	driftEvery   = 10 * time.Second
	driftHorizon = 30 * time.Minute // within which a failure says that a score was to be high: that of training
)

func newDrift(span time.Duration, r *prometheus.Registry, log zerolog.Logger) *drift {
	d := &drift{span: span, horizon: driftHorizon, log: log, looked: map[string]model.DriftState{}, why: "the platform is starting"}
	d.psi = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cidp_drift_psi",
		Help: "Population stability index of a feature against training: from 0.1 on watch, from 0.25 on look. Missing while too few windows are counted."}, []string{"feature"})
	d.score = prometheus.NewGauge(prometheus.GaugeOpts{Name: "cidp_drift_score_psi", Help: "The same of the model's probability; NaN while too few windows are counted."})
	d.windows = prometheus.NewGauge(prometheus.GaugeOpts{Name: "cidp_drift_windows", Help: "Windows that drift is counted over."})
	d.brier = prometheus.NewGauge(prometheus.GaugeOpts{Name: "cidp_drift_brier", Help: "Mean squared distance of probability and what happened, of the newest hour that can be known; NaN while no workshop has told anything."})
	d.looks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cidp_drift_looks_total", Help: "Times that a feature, the score or the Brier score came to where a person should look."}, []string{"of"})
	d.score.Set(math.NaN())
	d.brier.Set(math.NaN())
	r.MustRegister(d.psi, d.score, d.windows, d.brier, d.looks)
	return d
}

// resume counts for a model after what a warehouse kept of it.
func (d *drift) resume(f *model.Forest, rec *store.Recovery) error {
	var kept []model.StoredBucket
	if f != nil {
		var err error
		if kept, err = rec.Drift(f.ID()); err != nil {
			return err
		}
	}
	d.follow(f, kept)
	return nil
}

// exchange counts anew where another model is watched than before, and has a batch forget what was kept: the disk is to know what memory does.
func (d *drift) exchange(f *model.Forest, b *store.Batch) {
	before := d.id
	if d.follow(f, nil); d.id != before {
		b.Drift = &store.DriftChange{ModelID: d.id, Oldest: store.Anew}
	}
}

// follow counts for a model from now on, after what was kept of it; nil: for none. The one that is followed already goes on.
func (d *drift) follow(f *model.Forest, kept []model.StoredBucket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f != nil && d.id == f.ID() {
		return
	}
	d.counts, d.id, d.why, d.oldest = nil, "", "no model runs, neither live nor in shadow", 0
	if f == nil {
		return
	}
	d.id, d.why = f.ID(), ""
	counts, err := model.NewDrift(f, d.span)
	if errors.Is(err, model.ErrNoDistribution) {
		d.why = model.ErrNoDistribution.Error()
		return
	} else if err != nil {
		d.why = err.Error()
		d.log.Error().Err(err).Msg("drift is not watched")
		return
	}
	for _, b := range kept {
		if err := counts.Restore(b); err != nil { // it is an advisory: the line runs without the bucket
			d.log.Warn().Err(err).Time("hour", time.UnixMilli(b.Start)).Msg("an hour of drift cannot be read and is left out")
		}
	}
	d.counts = counts
}

// fold counts the windows of a batch that were scored by the model that is followed, live or in shadow, and lays out what is to be kept. Windows between those of a sensor that hops would count a reading twice.
func (d *drift) fold(b *store.Batch) {
	if len(b.Windows) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		return
	}
	scored := make(map[predictionKey]float64, len(b.Predictions))
	for i := range b.Predictions {
		if p := &b.Predictions[i]; p.ModelID == d.id {
			scored[predictionKey{p.WindowID, p.Revision}] = p.PFailure
		}
	}
	for i := range b.Shadows {
		if p := &b.Shadows[i]; p.ModelID == d.id {
			scored[predictionKey{p.WindowID, p.Revision}] = p.PFailure
		}
	}
	for _, w := range b.Windows {
		if p, ok := scored[predictionKey{w.ID(), w.Revision}]; ok && !w.Between {
			d.counts.Add(w.End, w.Features[:], p)
		}
	}
	buckets, oldest := d.counts.Changed()
	if len(buckets) == 0 {
		return
	}
	if b.Drift == nil {
		b.Drift = &store.DriftChange{ModelID: d.id}
	}
	if b.Drift.Buckets = buckets; oldest != d.oldest && b.Drift.Oldest == 0 {
		b.Drift.Oldest = oldest
	}
	d.oldest = oldest
}

// report adds up what is counted. ok is false when nothing can be; why says so.
func (d *drift) report() (r model.DriftReport, why string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts == nil {
		return model.DriftReport{ModelID: d.id}, d.why, false
	}
	return d.counts.Report(), "", true
}

// measured is how right the model was by what workshops had told at one look.
type measured struct {
	of    measuredOf
	told  int // sensors of which they had told
	trend model.BrierTrend
	at    time.Time     // when that was read
	took  time.Duration // to read it
}

// measuredOf is what it depends on, but for windows that late readings revised: while that is the same, so is the answer.
type measuredOf struct {
	model    string
	from, to int64
	findings int64
}

// Reading a week of many sensors takes seconds. What takes longer than measureLong is not done again before measureRest times that has passed: a backlog moves event time by hours a second.
const (
	measureLong = 100 * time.Millisecond
	measureRest = 20
)

// measure holds the scores to what workshops have told.
func (d *drift) measure(ctx context.Context, r *model.DriftReport) (m measured, err error) {
	m.of = measuredOf{model: r.ModelID, from: r.From, to: r.To}
	pages := d.pages()
	if pages == nil || r.Windows == 0 {
		return m, nil
	}
	if m.of.findings, err = pages.Findings(ctx); err != nil || m.of.findings == 0 {
		return m, err
	}
	last := d.rightness()
	if last != nil && (last.of == m.of || last.of.model == m.of.model && last.took > measureLong && time.Since(last.at) < measureRest*last.took) {
		return *last, nil
	}
	begin := time.Now()
	err = pages.Told(ctx, r.ModelID, r.From, func(told *store.Told) error {
		m.told++
		t := track(told, r.To)
		return r.Tell(&t, d.horizon)
	})
	m.trend, m.at, m.took = r.Trend(d.horizon), time.Now(), time.Since(begin)
	return m, err
}

// rightness gives what the last look measured of the model that is followed, nil: nothing yet.
func (d *drift) rightness() *measured {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.right == nil || d.right.of.model != d.id {
		return nil
	}
	return d.right
}

// track puts together what is known of a component and what the model said of it.
func track(told *store.Told, known int64) model.Tracked {
	t := model.Tracked{Component: model.Component{Outages: model.Outages(model.ToldByAll(told.Findings)), Known: known}}
	for _, w := range told.Windows {
		t.Windows = append(t.Windows, model.Observed{Start: w.Start, End: w.End, Speed: w.Speed})
		t.P = append(t.P, w.PFailure)
	}
	return t
}

// run looks every driftEvery until ctx ends.
func (d *drift) run(ctx context.Context) {
	tick := time.NewTicker(driftEvery)
	defer tick.Stop()
	for {
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn().Err(err).Msg("look for drift")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look sets the metrics, and tells and counts what has come to where a person should look.
func (d *drift) look(ctx context.Context) error {
	d.looking.Lock()
	defer d.looking.Unlock()
	r, _, ok := d.report()
	if r.ModelID != d.seen { // what was told of the one before is not told of this one
		d.seen = r.ModelID
		clear(d.looked)
		d.psi.Reset()
		d.brier.Set(math.NaN())
	}
	if !ok {
		d.windows.Set(0)
		d.score.Set(math.NaN())
		return nil
	}
	d.windows.Set(float64(r.Windows))
	d.score.Set(r.Score.PSI)
	came := d.came(nil, ofScore, r.Score.State)
	for _, f := range r.Features {
		if math.IsNaN(f.PSI) {
			d.psi.DeleteLabelValues(f.Name)
		} else {
			d.psi.WithLabelValues(f.Name).Set(f.PSI)
		}
		came = d.came(came, f.Name, f.State)
	}
	m, err := d.measure(ctx, &r)
	if err == nil {
		d.mu.Lock()
		d.right = &m
		d.mu.Unlock()
		newest, state, _ := brierState(&m)
		d.brier.Set(newest)
		came = d.came(came, ofBrier, state)
	}
	if len(came) > 0 {
		d.log.Warn().Strs("look_at", came).Msg("the model sees other data than it was trained with, or is less right than it was; nothing is switched off (/api/v1/drift)")
	}
	return err
}

// came notes a state, and counts and appends what a person should look at since now.
func (d *drift) came(to []string, of string, state model.DriftState) []string {
	before := d.looked[of]
	d.looked[of] = state
	if state != model.DriftLook || before == model.DriftLook {
		return to
	}
	d.looks.WithLabelValues(of).Inc()
	return append(to, of)
}
