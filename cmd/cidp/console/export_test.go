package console

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"
)

// Parts is a console whose inside a test can see.
type Parts struct {
	http.Handler
	hub *hub
}

// NewParts is New.
func NewParts(cfg Config) Parts {
	cfg.setDefaults()
	b := newBoard(cfg)
	h := newHub(b, cfg)
	return Parts{routes(cfg, b, h), h}
}

// Viewers counts the open streams.
func (p Parts) Viewers() int {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return len(p.hub.viewers)
}

// Watch joins as a viewer without a connection. cut is closed when the hub cuts it off.
func (p Parts) Watch() (frames <-chan []byte, cut <-chan struct{}, leave func(), err error) {
	c := make(chan struct{})
	v := &viewer{frames: make(chan []byte, viewerQueue), abort: func() { close(c) }}
	if err := p.hub.join(v); err != nil {
		return nil, nil, nil, err
	}
	return v.frames, c, func() { p.hub.leave(v) }, nil
}

// ViewerQueue is how many frames may wait for a viewer.
const ViewerQueue = viewerQueue

// ServeBriefly is Serve with short limits: read for a whole request, grace for a shutdown.
func ServeBriefly(ctx context.Context, ln net.Listener, h http.Handler, read, grace time.Duration) error {
	return serve(ctx, ln, h, limits{header: read, read: read, idle: time.Minute, grace: grace})
}

// Grace is how long a shutdown waits for requests.
var Grace = serveLimits.grace

// HostName is hostName, and HostAllowed is hostAllowed.
var (
	HostName    = hostName
	HostAllowed = hostAllowed
)

// Views encodes two snapshots as a stream does: the first one whole, then the change to the second.
func Views(a, b Snapshot) (whole, change []byte, err error) {
	bd := &board{refresh: time.Second}
	now := time.UnixMilli(1_700_000_000_000)
	v, err := newView(a, now, bd)
	if err != nil {
		return nil, nil, err
	}
	w, err := newView(b, now, bd)
	if err != nil {
		return nil, nil, err
	}
	if whole, err = v.whole(); err != nil {
		return nil, nil, err
	}
	change, err = w.since(v)
	return whole, change, err
}

// Page gives the embedded files, those of one kind together.
func Page() (html, css, js string) {
	return string(pageHTML), string(pageCSS) + string(driftCSS), string(pageJS) + string(driftJS)
}

// ReadEvent is what an event's data looks like to a reader.
type ReadEvent struct {
	Snapshot
	EveryMs int64           `json:"every_ms"`
	Removed []assetKey      `json:"removed"`
	Error   json.RawMessage `json:"error"`
}

// ParseRelease is parseRelease, for its fuzz test.
var ParseRelease = parseRelease
