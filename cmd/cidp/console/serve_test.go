package console_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
)

func contextWithLocal(ctx context.Context, a net.Addr) context.Context {
	return context.WithValue(ctx, http.LocalAddrContextKey, a)
}

// Browsers open connections ahead of need. They must not hold a shutdown up.
func TestShutdownDoesNotWaitForSilentConnections(t *testing.T) {
	url, stop := start(t, console.New(configOf(newPlant())))
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	ask(t, "GET", url+"/healthz", nil) // accepted after them, so they are in
	begun := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d >= console.Grace { // which it takes when it waits for them
		t.Fatalf("shutdown took %v", d)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Fatal("the port still listens")
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	url, stop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(in)
		<-out
		if r.Context().Err() != nil {
			t.Error("the request's context ended before its grace")
		}
		_, _ = w.Write([]byte("done"))
	}))
	got := make(chan string, 1)
	go func() {
		_, _, body := ask(t, "GET", url, nil)
		got <- body
	}()
	<-in
	time.AfterFunc(50*time.Millisecond, func() { close(out) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if body := <-got; body != "done" {
		t.Fatalf("got %q", body)
	}
}

func TestShutdownBreaksASlowClientAndNamesAStuckHandler(t *testing.T) {
	release := make(chan struct{})
	for name, c := range map[string]struct {
		wait  func(context.Context)
		grace time.Duration
	}{
		"slow client":   {func(ctx context.Context) { <-ctx.Done() }, 500 * time.Millisecond}, // as much again for the handler to see it
		"stuck handler": {func(context.Context) { <-release }, 100 * time.Millisecond},
	} {
		in := make(chan struct{})
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(in); c.wait(r.Context()) })
		url, stop := startWith(t, func(ctx context.Context, ln net.Listener) error {
			return console.ServeBriefly(ctx, ln, h, 5*time.Second, c.grace)
		})
		go func() { _, _ = http.Get(url) }()
		<-in
		err := stop()
		if stuck := name == "stuck handler"; stuck != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(release)
}

// The server's limit for reading a request must not end a stream that is older than it.
func TestStreamOutlivesTheReadLimit(t *testing.T) {
	h := console.New(configOf(newPlant()))
	url, _ := startWith(t, func(ctx context.Context, ln net.Listener) error {
		return console.ServeBriefly(ctx, ln, h, 400*time.Millisecond, time.Second)
	})
	s := open(t, url)
	for begun := time.Now(); time.Since(begun) < 900*time.Millisecond; {
		s.next()
	}
}

// A client that announces a body and never sends it is let go.
func TestUnsentBodyDoesNotHoldAConnection(t *testing.T) {
	h := console.New(configOf(newPlant()))
	url, _ := startWith(t, func(ctx context.Context, ln net.Listener) error {
		return console.ServeBriefly(ctx, ln, h, 100*time.Millisecond, time.Second)
	})
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection was kept open")
			}
			return
		}
	}
}

func TestServeNamesABrokenListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := console.Serve(context.Background(), ln, http.NotFoundHandler()); err == nil || !strings.HasPrefix(err.Error(), "serve console: ") {
		t.Fatalf("got %v", err)
	}
}
