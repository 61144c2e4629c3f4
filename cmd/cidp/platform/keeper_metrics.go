package platform

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/camrail/cidp/store"
)

// keeperMetrics are the keeper's numbers in /metrics.
type keeperMetrics struct {
	wal, database, reusable, free, held prometheus.Gauge
	expired                             *prometheus.CounterVec // what
	copies, restarts, failures, waited  prometheus.Counter
	seconds                             prometheus.Histogram
}

func newKeeperMetrics(registry prometheus.Registerer) keeperMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		registry.MustRegister(g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		registry.MustRegister(c)
		return c
	}
	m := keeperMetrics{
		wal:      gauge("cidp_wal_bytes", "Size of the write-ahead log's file."),
		database: gauge("cidp_database_bytes", "Size of the database, without its log."),
		reusable: gauge("cidp_database_reusable_bytes", "Pages of the database that are free to be used again."),
		free:     gauge("cidp_disk_free_bytes", "What may still be written on the file system of the data folder."),
		held:     gauge("cidp_wal_held_seconds", "For how long a reader has kept the write-ahead log from being emptied."),
		expired:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cidp_expired_total", Help: "Rows that retention let go of."}, []string{"what"}),
		copies:   counter("cidp_checkpoints_total", "Times that something was copied from the write-ahead log into the database."),
		restarts: counter("cidp_wal_restarts_total", "Times that the write-ahead log began anew."),
		failures: counter("cidp_keeper_failures_total", "Attempts to copy, let go or measure that failed and are tried again."),
		waited:   counter("cidp_checkpoint_wait_seconds_total", "Time that commits waited so that the write-ahead log could begin anew."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cidp_checkpoint_duration_seconds", Help: "Time of a copy.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	registry.MustRegister(m.expired, m.seconds)
	return m
}

// copied counts a step of the log.
func (m *keeperMetrics) copied(r store.Checkpointed) {
	m.held.Set(r.Held.Seconds())
	m.waited.Add(r.Waited.Seconds())
	if r.Copied {
		m.copies.Inc()
		m.seconds.Observe(r.Took.Seconds())
	}
	if r.Began {
		m.restarts.Inc()
	}
}

// went counts a step of retention.
func (m *keeperMetrics) went(e store.Expired) {
	for _, w := range []struct {
		what string
		n    int64
	}{{"readings", e.Readings}, {"contexts", e.Contexts}, {"windows", e.Windows}, {"alerts", e.Alerts}, {"messages", e.Messages}, {"late", e.Late}} {
		if w.n > 0 {
			m.expired.WithLabelValues(w.what).Add(float64(w.n))
		}
	}
}

// room tells what was measured.
func (m *keeperMetrics) room(r store.Room, free int64, known bool) {
	m.wal.Set(float64(r.WAL))
	m.database.Set(float64(r.Database))
	m.reusable.Set(float64(r.Reusable))
	if known {
		m.free.Set(float64(free))
	}
}
