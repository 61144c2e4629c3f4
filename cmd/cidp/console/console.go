package console

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Config is what a console is made of. Source and Health are required; the zero value of the rest is usable.
type Config struct {
	Source    Source
	Health    Health
	Releaser  Releaser            // nil: nothing can be put back from quarantine
	Registrar Registrar           // nil: no models
	Drifter   Drifter             // nil: no /api/v1/drift
	Gatherer  prometheus.Gatherer // nil: no /metrics
	Version   string

	// Users says whether a name and a password are right, in a time that does not depend on how wrong they are. nil: open to all.
	Users func(user, pass string) bool
	// Hosts are further names, without a port, by which a loopback address may be asked: those of a proxy in front of it.
	Hosts []string

	Refresh    time.Duration // between two events of the stream. Default 1 s
	MaxViewers int           // of the stream; one more gets 503. Default 64
	Patience   time.Duration // for one answer of the source. Default 5 s

	Clock func() time.Time // wall clock. Default time.Now
	Log   zerolog.Logger
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.Refresh, time.Second)
	orDefault(&c.MaxViewers, 64)
	orDefault(&c.Patience, 5*time.Second)
	if c.Clock == nil {
		c.Clock = time.Now
	}
}

// New gives the handler of every route. Run it with Serve: only then does a shutdown end the open streams.
func New(cfg Config) http.Handler {
	cfg.setDefaults()
	b := newBoard(cfg)
	return routes(cfg, b, newHub(b, cfg))
}

func routes(cfg Config, b *board, h *hub) http.Handler {
	a := &api{source: cfg.Source, board: b, patience: cfg.Patience, log: cfg.Log}
	locked := http.NewServeMux()
	locked.HandleFunc("/readyz", ready(cfg.Health))
	if cfg.Gatherer != nil {
		locked.Handle("/metrics", promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 8}))
	}
	locked.HandleFunc("/api/v1/summary", a.summary)
	locked.HandleFunc("/api/v1/assets", a.assets)
	locked.HandleFunc("/api/v1/alerts", a.alerts)
	locked.HandleFunc("/api/v1/quarantine", a.quarantine)
	if cfg.Releaser != nil {
		e := &evidence{api: a, releaser: cfg.Releaser, known: cfg.Users != nil}
		locked.HandleFunc("/api/v1/quarantine/{id}", e.show)
		locked.HandleFunc("POST "+releasePath, e.release)
	}
	if cfg.Drifter != nil {
		locked.HandleFunc("/api/v1/drift", a.drift(cfg.Drifter))
	}
	if cfg.Registrar != nil {
		g := &registry{api: a, registrar: cfg.Registrar, known: cfg.Users != nil}
		locked.HandleFunc("/api/v1/models", g.list)
		locked.HandleFunc(modelsPath+"{id}", g.show)
		for _, action := range modelActions {
			locked.HandleFunc("POST "+modelsPath+action, g.move)
		}
	}
	locked.HandleFunc("/api/v1/sensors/{site}/{asset}/{sensor}", a.sensor)
	locked.Handle("/api/v1/stream", h)
	locked.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "no such path; see /api/v1/summary, assets, alerts, quarantine, quarantine/{id}, quarantine/release, models, models/{id}, models/activate, models/shadow, models/retire, drift, sensors/{site}/{asset}/{sensor}, stream")
	})
	servePage(locked, b)

	open := http.NewServeMux()
	open.HandleFunc("/healthz", alive(cfg.Health))
	open.Handle("/", requireUser(cfg.Users, locked))
	return guard(cfg.Hosts, open)
}

// alive answers 200 while the process lives. It needs no password: it tells nothing else.
func alive(h Health) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !h.Alive() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("not alive\n"))
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

// ready answers 200 while messages are taken and committed, 503 with the reasons otherwise.
func ready(h Health) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		ok, reasons := h.Ready()
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, struct {
			Ready   bool     `json:"ready"`
			Reasons []string `json:"reasons"`
		}{ok, orEmpty(reasons)})
	}
}
