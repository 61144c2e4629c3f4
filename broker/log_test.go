package broker_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/camrail/cidp/broker"
	"github.com/rs/zerolog"
)

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Mochi's warnings reach our log, without the packets they are about, and without flooding it.
func TestLogBridge(t *testing.T) {
	var log lockedBuffer
	b, err := broker.Start(broker.Config{Addr: "127.0.0.1:0", Log: zerolog.New(&log).Level(zerolog.WarnLevel)})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, b)
	const n = 50
	for range n {
		c, _ := connect(t, b, session{id: "clumsy"})
		c.publish(0, 1, 1, "a/#", "secret")
		c.expectClosed()
	}
	eventually(t, "warning is logged", func() bool { return strings.Contains(log.String(), `"client":"clumsy"`) })
	if text := log.String(); strings.Contains(text, "secret") || strings.Count(text, "\n") >= n {
		t.Errorf("got %s", text)
	}
}
