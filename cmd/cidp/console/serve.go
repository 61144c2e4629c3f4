package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// limits are how long a client may take, and how long a shutdown may.
type limits struct {
	header time.Duration // for the request's header
	read   time.Duration // for the whole request; a stream is exempt
	idle   time.Duration // between two requests of a connection
	grace  time.Duration // for requests in work when the context ends
}

var serveLimits = limits{header: 5 * time.Second, read: 15 * time.Second, idle: 60 * time.Second, grace: 3 * time.Second}

// maxHeader is how many bytes of header a request may have.
const maxHeader = 32 << 10

// Serve answers on ln until ctx ends. Then it takes no more, ends the open streams at once, and gives requests in work three
// seconds before it breaks their connections. It returns nil when the handlers of all requests have ended, and has closed ln in
// every case. A connection that never asked anything, which browsers open ahead of need, holds nothing up.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	return serve(ctx, ln, h, serveLimits)
}

func serve(ctx context.Context, ln net.Listener, h http.Handler, lim limits) error {
	fresh := &freshConns{open: map[net.Conn]struct{}{}}
	var running atomic.Int64
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Add(-1)
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: lim.header,
		ReadTimeout:       lim.read,
		IdleTimeout:       lim.idle,
		MaxHeaderBytes:    maxHeader,
		ConnState:         fresh.state,
		// A request outlives ctx for its grace; a stream asks drained.
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), drainKey{}, ctx)
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		_ = srv.Close()
		return fmt.Errorf("serve console: %w", err)
	case <-ctx.Done():
	}
	fresh.drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lim.grace)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil { // a client is slow, or a handler is
		_ = srv.Close()
		err = awaitZero(&running, lim.grace)
	}
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve console: %w", e))
	}
	return err
}

// awaitZero waits until no handler runs. Their connections are closed and their contexts have ended.
func awaitZero(running *atomic.Int64, limit time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); running.Load() > 0; <-tick.C {
		if time.Now().After(end) {
			return fmt.Errorf("end requests: %d still run", running.Load())
		}
	}
	return nil
}

// drainKey is where a request's context keeps the context whose end means shutdown.
type drainKey struct{}

// drained gives the context whose end means shutdown. A request that Serve did not take has none: it gets one that never ends.
func drained(ctx context.Context) context.Context {
	if d, ok := ctx.Value(drainKey{}).(context.Context); ok {
		return d
	}
	return context.Background()
}

// freshConns are the connections that have not asked anything yet. http.Server.Shutdown would wait five seconds for each.
type freshConns struct {
	mu       sync.Mutex // guards all
	open     map[net.Conn]struct{}
	draining bool
}

// state is an http.Server.ConnState.
func (f *freshConns) state(c net.Conn, s http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case s != http.StateNew:
		delete(f.open, c)
	case f.draining:
		_ = c.Close()
	default:
		f.open[c] = struct{}{}
	}
}

// drain closes the fresh connections, those of now and those to come.
func (f *freshConns) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining = true
	for c := range f.open {
		_ = c.Close()
	}
}
