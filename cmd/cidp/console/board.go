package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// board keeps the newest snapshot, so that however many ask, the source is asked once.
type board struct {
	source   Source
	version  string
	refresh  time.Duration
	patience time.Duration
	clock    func() time.Time

	turn chan struct{} // capacity 1: who has put a token in may ask the source, and owns last
	last *view
}

func newBoard(cfg Config) *board {
	return &board{
		source: cfg.Source, version: cfg.Version, refresh: cfg.Refresh, patience: cfg.Patience, clock: cfg.Clock,
		turn: make(chan struct{}, 1),
	}
}

// take gives a view younger than maxAge, the kept one or a new one. It waits for its turn until ctx ends.
func (b *board) take(ctx context.Context, maxAge time.Duration) (*view, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("await snapshot: %w", ctx.Err())
	}
	if b.last != nil {
		if age := b.clock().Sub(b.last.taken); age >= 0 && age < maxAge {
			return b.last, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("await snapshot: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	s, err := b.source.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	v, err := newView(s, b.clock(), b)
	if err != nil {
		return nil, err
	}
	b.last = v
	return v, nil
}

// assetKey names an asset.
type assetKey struct {
	Site  string `json:"site"`
	Asset string `json:"asset"`
}

// view is one snapshot with each asset encoded once. It is never changed.
type view struct {
	taken   time.Time
	every   time.Duration // between two views, for the page to know when it is late
	summary Summary
	keys    []assetKey // in the source's order
	text    map[assetKey]json.RawMessage
}

func newView(s Snapshot, now time.Time, b *board) (*view, error) {
	v := &view{
		taken:   now,
		every:   b.refresh,
		summary: wholeSummary(s.Summary),
		keys:    make([]assetKey, 0, len(s.Assets)),
		text:    make(map[assetKey]json.RawMessage, len(s.Assets)),
	}
	orDefault(&v.summary.At, TimeOf(now))
	orDefault(&v.summary.Status.Version, b.version)
	for _, a := range s.Assets {
		k := assetKey{a.Site, a.Asset}
		text, err := json.Marshal(wholeAsset(a))
		if err != nil {
			return nil, fmt.Errorf("encode asset %s/%s: %w", a.Site, a.Asset, err)
		}
		if _, twice := v.text[k]; !twice {
			v.keys = append(v.keys, k)
		}
		v.text[k] = text
	}
	return v, nil
}

func (v *view) texts() []json.RawMessage {
	all := make([]json.RawMessage, len(v.keys))
	for i, k := range v.keys {
		all[i] = v.text[k]
	}
	return all
}

// everything is a whole view as the page reads it.
type everything struct {
	Summary
	EveryMs int64             `json:"every_ms"`
	Assets  []json.RawMessage `json:"assets"`
}

func (v *view) everything() everything {
	return everything{v.summary, v.every.Milliseconds(), v.texts()}
}

// whole is the event that starts a stream.
func (v *view) whole() ([]byte, error) { return frame("snapshot", v.everything()) }

// since is the event that leads from an older view to this one.
func (v *view) since(old *view) ([]byte, error) {
	changed := []json.RawMessage{}
	for _, k := range v.keys {
		if !bytes.Equal(v.text[k], old.text[k]) {
			changed = append(changed, v.text[k])
		}
	}
	removed := []assetKey{}
	for _, k := range old.keys {
		if _, there := v.text[k]; !there {
			removed = append(removed, k)
		}
	}
	return frame("change", struct {
		Summary
		EveryMs int64             `json:"every_ms"`
		Assets  []json.RawMessage `json:"assets"`
		Removed []assetKey        `json:"removed"`
	}{v.summary, v.every.Milliseconds(), changed, removed})
}

// frame is one server-sent event. JSON text has no line break in it, so one data line holds it.
func frame(event string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", event, err)
	}
	out := make([]byte, 0, len(event)+len(b)+16)
	out = append(out, "event: "...)
	out = append(out, event...)
	out = append(out, "\ndata: "...)
	out = append(out, b...)
	return append(out, "\n\n"...), nil
}
