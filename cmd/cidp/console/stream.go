package console

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// viewerQueue is how many events may wait for a viewer. One more, and it is cut off.
	viewerQueue = 8
	// viewerWrite is how long one write to a viewer may take.
	viewerWrite = 10 * time.Second
	// retryLine tells a browser how long to wait before it connects again.
	retryLine = "retry: 2000\n\n"
)

// errFull says that a stream has as many viewers as it may have.
var errFull = errors.New("too many viewers")

// hub sends one poller's views to all viewers of the stream.
type hub struct {
	board   *board
	limit   int
	refresh time.Duration
	log     zerolog.Logger

	mu      sync.Mutex // guards what follows; held while frames are encoded and queued, never while a connection is written
	viewers map[*viewer]struct{}
	view    *view // what every synced viewer has been sent; nil while nobody watches
	stop    context.CancelFunc
	stopped chan struct{} // closed when the poller that stop stops has ended
}

// viewer is one open stream. The hub owns synced.
type viewer struct {
	frames chan []byte
	abort  func() // ends the stream, and a write that blocks with it
	synced bool   // has been sent a whole snapshot
}

func newHub(b *board, cfg Config) *hub {
	return &hub{board: b, limit: cfg.MaxViewers, refresh: cfg.Refresh, log: cfg.Log, viewers: map[*viewer]struct{}{}}
}

// join adds a viewer; the first one starts the poller. A viewer that finds a view gets it at once.
func (h *hub) join(v *viewer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= h.limit {
		return errFull
	}
	if h.view != nil {
		f, err := h.view.whole()
		if err != nil {
			return err
		}
		v.frames <- f // a new queue has room
		v.synced = true
	}
	h.viewers[v] = struct{}{}
	if len(h.viewers) == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		h.stop, h.stopped = cancel, make(chan struct{})
		go h.poll(ctx, h.stopped)
	}
	return nil
}

// leave removes a viewer. The last one stops the poller and waits for its end.
func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	_, there := h.viewers[v]
	delete(h.viewers, v)
	stopped := h.stopIfIdle(there)
	h.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// stopIfIdle stops the poller when the viewer that was just removed was the last. h.mu is held.
func (h *hub) stopIfIdle(removed bool) (stopped chan struct{}) {
	if !removed || len(h.viewers) > 0 {
		return nil
	}
	h.stop()
	h.view = nil
	return h.stopped
}

// poll takes a view at once and every refresh, until ctx ends. It logs when the source starts and stops failing.
func (h *hub) poll(ctx context.Context, stopped chan<- struct{}) {
	defer close(stopped)
	tick := time.NewTicker(h.refresh)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		v, err := h.board.take(ctx, h.refresh/2)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = h.publish(ctx, v)
		}
		if err != nil {
			h.fault(ctx)
		}
		switch {
		case err != nil && !failing:
			h.log.Warn().Err(err).Msg("console cannot read the state; viewers are told")
		case err == nil && failing:
			h.log.Info().Msg("console reads the state again")
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// publish sends every viewer what leads from its last view to v.
func (h *hub) publish(ctx context.Context, v *view) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return nil // the last viewer has left, and a new poller may have started
	}
	whole, change, err := h.encode(v)
	if err != nil {
		return err
	}
	h.view = v
	for w := range h.viewers {
		if w.synced {
			h.send(w, change)
			continue
		}
		w.synced = true
		h.send(w, whole)
	}
	return nil
}

// encode makes the frames that somebody needs for v. h.mu is held.
func (h *hub) encode(v *view) (whole, change []byte, err error) {
	for w := range h.viewers {
		if w.synced && change == nil {
			change, err = v.since(h.view)
		} else if !w.synced && whole == nil {
			whole, err = v.whole()
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return whole, change, nil
}

// fault tells every viewer that there is no newer view. The cause is in the log.
func (h *hub) fault(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	f := []byte("event: fault\ndata: {\"error\":\"the platform's state cannot be read now; its log says why\"}\n\n")
	for w := range h.viewers {
		h.send(w, f)
	}
}

// send queues a frame, or cuts off a viewer whose queue is full. h.mu is held.
func (h *hub) send(w *viewer, f []byte) {
	select {
	case w.frames <- f:
	default:
		delete(h.viewers, w)
		w.abort()
		h.stopIfIdle(true)
		h.log.Debug().Msg("slow viewer cut off")
	}
}

// ServeHTTP is GET /api/v1/stream: events until the client goes, is too slow, or Serve's context ends.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		head.Set("Content-Type", "text/event-stream")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	rc := http.NewResponseController(w)
	v := &viewer{frames: make(chan []byte, viewerQueue), abort: func() {
		cancel()
		_ = rc.SetWriteDeadline(time.Now())
	}}
	if err := h.join(v); err != nil {
		head.Set("Retry-After", "10")
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer h.leave(v)
	defer context.AfterFunc(drained(r.Context()), v.abort)()

	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no") // a proxy in front must not collect events
	follow(ctx, w, rc, v.frames)
}

// follow writes frames until ctx ends or a write fails. An abort ends ctx first and moves the deadline then, so whichever of the
// two the loop misses, it meets the other.
func follow(ctx context.Context, w http.ResponseWriter, rc *http.ResponseController, frames <-chan []byte) {
	next := []byte(retryLine)
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(viewerWrite))
		if ctx.Err() != nil {
			return
		}
		if _, err := w.Write(next); err != nil {
			return
		}
		if err := rc.Flush(); err != nil {
			return
		}
		select {
		case next = <-frames:
		case <-ctx.Done():
			return
		}
	}
}
