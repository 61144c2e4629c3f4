package platform

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// metrics are the numbers of /metrics. They count from the start of the process; what counts for ever is in the ledger.
type metrics struct {
	registry       *prometheus.Registry
	received       prometheus.Counter
	readings       *prometheus.CounterVec // outcome, reason
	windows        *prometheus.CounterVec // verdict
	quarantined    *prometheus.CounterVec // reason
	predictions    *prometheus.CounterVec // level
	transitions    *prometheus.CounterVec // kind
	released       *prometheus.CounterVec // outcome
	standing       *prometheus.GaugeVec   // rule, scope
	withheld       prometheus.Gauge
	models         *prometheus.GaugeVec   // model_id, state
	shadows        *prometheus.CounterVec // model_id
	disagreements  *prometheus.CounterVec // model_id
	published      prometheus.Counter
	commits        prometheus.Counter
	commitFailures prometheus.Counter
	commitSeconds  prometheus.Histogram
	commitReadings prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		m.registry.MustRegister(h)
		return h
	}
	m.received = counter("cidp_readings_received_total", "Readings and contexts received, and messages that could not be read.")
	m.readings = vector("cidp_readings_total", "What became of what was received, once committed.", "outcome", "reason")
	m.windows = vector("cidp_windows_total", "Closed windows by verdict.", "verdict")
	m.quarantined = vector("cidp_windows_quarantined_total", "Reasons of quarantined windows; a window may have several.", "reason")
	m.predictions = vector("cidp_predictions_total", "Predictions by level.", "level")
	m.transitions = vector("cidp_alert_transitions_total", "Alert transitions by kind.", "kind")
	m.released = vector("cidp_releases_total", "Evidence that people asked to have put back, by what became of it.", "outcome")
	m.standing = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cidp_standing", Help: "What stands: silent sensors, assets and sites; assets whose fail-safe is open."}, []string{"rule", "scope"})
	m.withheld = prometheus.NewGauge(prometheus.GaugeOpts{Name: "cidp_publications_withheld", Help: "Messages that the fail-safe for all holds back in the outbox."})
	m.registry.MustRegister(m.standing, m.withheld)
	m.models = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cidp_model_info", Help: "1 for every model in force: active (rules: the rules of physics speak alone) or shadow."}, []string{"model_id", "state"})
	m.registry.MustRegister(m.models)
	m.shadows = vector("cidp_shadow_predictions_total", "Predictions of models in shadow.", "model_id")
	m.disagreements = vector("cidp_shadow_disagreements_total", "Those of them that fall into another level than the live one, both without hysteresis.", "model_id")
	m.published = counter("cidp_published_total", "Messages published from the outbox.")
	m.commits = counter("cidp_commits_total", "Commits.")
	m.commitFailures = counter("cidp_commit_failures_total", "Attempts to commit that failed and are tried again.")
	m.commitSeconds = histogram("cidp_commit_duration_seconds", "Time of a commit.", prometheus.ExponentialBuckets(0.0005, 2, 14))
	m.commitReadings = histogram("cidp_commit_messages", "Messages in a commit.", prometheus.ExponentialBuckets(1, 4, 9))
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// stands counts who is silent, and whose fail-safe is open.
func (m *metrics) stands(all map[standingKey]model.Alert) {
	m.standing.Reset()
	for key := range all {
		m.standing.WithLabelValues(key.rule, scopeOf(key.Place).String()).Inc()
	}
}

// scoredBy tells which models are in force.
func (m *metrics) scoredBy(u *inUse) {
	m.models.Reset()
	m.models.WithLabelValues(u.liveID(), string(store.ModelActive)).Set(1)
	for _, f := range u.shadows {
		m.models.WithLabelValues(f.ID(), string(store.ModelShadow)).Set(1)
		m.disagreements.WithLabelValues(f.ID()).Add(0)
	}
}

// committed counts a batch that is on disk.
func (m *metrics) committed(b *store.Batch, took time.Duration) {
	m.commits.Inc()
	m.commitSeconds.Observe(took.Seconds())
	m.commitReadings.Observe(float64(b.Messages))
	c := &b.Count
	m.received.Add(float64(c.Received))
	add := func(outcome, reason string, n int64) {
		if n > 0 {
			m.readings.WithLabelValues(outcome, reason).Add(float64(n))
		}
	}
	add("stored", "telemetry", c.Stored)
	add("stored", "context", c.StoredContext)
	add("stored", "verdict", c.StoredFinding)
	add("duplicate", "duplicate", c.Duplicate)
	add("late", "late", c.Late)
	for reason, n := range c.RefusedByReason {
		add("refused", string(reason), n)
	}
	valid := 0
	for _, w := range b.Windows {
		if w.Valid() {
			valid++
		}
		for _, r := range w.Reasons {
			m.quarantined.WithLabelValues(string(r)).Inc()
		}
	}
	count(m.windows, "valid", valid)
	count(m.windows, "quarantined", len(b.Windows)-valid)
	var levels [model.Critical + 1]int
	for i := range b.Predictions {
		levels[b.Predictions[i].Level]++
	}
	for level, n := range levels {
		count(m.predictions, model.Level(level).String(), n)
	}
	said, differ := map[string]int{}, map[string]int{}
	for i := range b.Shadows {
		s := &b.Shadows[i]
		said[s.ModelID]++
		if s.Differs {
			differ[s.ModelID]++
		}
	}
	for id, n := range said {
		m.shadows.WithLabelValues(id).Add(float64(n))
		m.disagreements.WithLabelValues(id).Add(float64(differ[id]))
	}
	for i := range b.Releases {
		m.released.WithLabelValues(string(b.Releases[i].Outcome)).Inc()
	}
	for i := range b.Transitions {
		m.transitions.WithLabelValues(b.Transitions[i].Kind).Inc()
	}
}

// count adds what there is of a label: there is no series of what never was.
func count(of *prometheus.CounterVec, label string, n int) {
	if n > 0 {
		of.WithLabelValues(label).Add(float64(n))
	}
}

// observe adds what the status knows.
func (m *metrics) observe(s *status) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cidp_ready", Help: "1 while readings are accepted and committed.",
	}, func() float64 {
		if ok, _ := s.Ready(); ok {
			return 1
		}
		return 0
	}))
}

// watch adds what the broker counts.
func (m *metrics) watch(b *broker.Broker) { m.registry.MustRegister(brokerCollector{b}) }

// brokerCollector gives the broker's figures, read once a scrape.
type brokerCollector struct{ b *broker.Broker }

// Describe tells which figures there are.
func (c brokerCollector) Describe(out chan<- *prometheus.Desc) {
	for i := range brokerValues {
		out <- brokerValues[i].desc()
	}
}

// Collect reads them.
func (c brokerCollector) Collect(out chan<- prometheus.Metric) {
	stats := c.b.Stats()
	for i := range brokerValues {
		v := &brokerValues[i]
		kind := prometheus.GaugeValue
		if v.counter {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(v.desc(), kind, v.value(stats))
	}
}

// brokerValue is one figure of the broker in /metrics.
type brokerValue struct {
	name, help string
	counter    bool
	value      func(broker.Stats) float64
}

func (v *brokerValue) desc() *prometheus.Desc { return prometheus.NewDesc(v.name, v.help, nil, nil) }

var brokerValues = []brokerValue{
	{"cidp_mqtt_connections", "Open TCP connections.", false, func(s broker.Stats) float64 { return float64(s.Open) }},
	{"cidp_mqtt_sessions", "Sessions, those of absent clients included.", false, func(s broker.Stats) float64 { return float64(s.Sessions) }},
	{"cidp_mqtt_subscriptions", "Subscriptions.", false, func(s broker.Stats) float64 { return float64(s.Subscribed) }},
	{"cidp_queue_messages", "Messages taken and not yet in a pass.", false, func(s broker.Stats) float64 { return float64(s.Queued) }},
	{"cidp_queue_bytes", "Bytes of them.", false, func(s broker.Stats) float64 { return float64(s.QueuedBytes) }},
	{"cidp_mqtt_messages_qos0_total", "Messages received at QoS 0: stored, but never acknowledged.", true, func(s broker.Stats) float64 { return float64(s.Received[0]) }},
	{"cidp_mqtt_messages_qos1_total", "Messages received at QoS 1.", true, func(s broker.Stats) float64 { return float64(s.Received[1]) }},
	{"cidp_mqtt_messages_qos2_total", "Messages received at QoS 2.", true, func(s broker.Stats) float64 { return float64(s.Received[2]) }},
	{"cidp_mqtt_acks_total", "Acknowledgements written.", true, func(s broker.Stats) float64 { return float64(s.AcksWritten) }},
	{"cidp_mqtt_acks_dropped_total", "Acknowledgements whose client was gone.", true, func(s broker.Stats) float64 { return float64(s.AcksDropped) }},
	{"cidp_mqtt_denied_total", "Messages on topics that nobody from outside may publish on.", true, func(s broker.Stats) float64 { return float64(s.Denied) }},
	{"cidp_mqtt_auth_failures_total", "Connections with a wrong user or password.", true, func(s broker.Stats) float64 { return float64(s.AuthFailures) }},
	{"cidp_mqtt_protocol_errors_total", "Connections closed for breaking the protocol.", true, func(s broker.Stats) float64 { return float64(s.ProtocolErrors) }},
	{"cidp_mqtt_delivered_total", "Messages written to subscribers.", true, func(s broker.Stats) float64 { return float64(s.Delivered) }},
	{"cidp_mqtt_held_bytes", "Bytes held for clients that are slow or away.", false, func(s broker.Stats) float64 { return float64(s.Held) }},
	{"cidp_mqtt_connections_total", "TCP connections taken.", true, func(s broker.Stats) float64 { return float64(s.Connections) }},
	{"cidp_mqtt_connections_refused_total", "Connections refused because there are too many, or too many sessions.", true, func(s broker.Stats) float64 { return float64(s.ConnectionsRefused) }},
	{"cidp_mqtt_taken_over_total", "Connections closed because their client connected again.", true, func(s broker.Stats) float64 { return float64(s.TakenOver) }},
	{"cidp_mqtt_slow_closed_total", "Connections closed because they took nothing.", true, func(s broker.Stats) float64 { return float64(s.SlowClosed) }},
	{"cidp_mqtt_shed_total", "Clients that lost what was held for them, because too much was held in all.", true, func(s broker.Stats) float64 { return float64(s.Shed) }},
	{"cidp_mqtt_filters_refused_total", "Subscriptions refused because they are too many.", true, func(s broker.Stats) float64 { return float64(s.FiltersRefused) }},
	{"cidp_mqtt_sessions_lost_total", "Sessions from before the restart that could not be given back.", true, func(s broker.Stats) float64 { return float64(s.SessionsLost) }},
	{"cidp_mqtt_claims_dropped_total", "Messages of absent or slow clients that a restart would lose: more is owed than is kept on disk.", true, func(s broker.Stats) float64 { return float64(s.ClaimsDropped) }},
	{"cidp_mqtt_panics_total", "Connections ended by a panic of a decoder.", true, func(s broker.Stats) float64 { return float64(s.Panics) }},
	{"cidp_mqtt_deliveries_dropped_total", "Messages that a subscriber was too slow to take.", true, func(s broker.Stats) float64 { return float64(s.DeliveriesDropped) }},
}
