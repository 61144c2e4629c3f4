package platform

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// The fail-safe for all looks at what the fail-safes of the assets know, the last 20 windows of each that had one within an hour of event time of the newest: when more than the limit of
// them all are quarantined, nothing is published, and the status is degraded; no verdict changes. It ends when at most half of the limit is. An asset alone has its own. What is
// withheld stays in the outbox: of a retained topic the newest, and every event. That it stands is kept for a restart, beside the assets' states.
//
// There is no alert of it, which would be withheld too: the status, the log and /metrics tell.

// recentMs is how old, against the newest of all, an asset's newest window may be to count.
const recentMs = int64(60 * 60 * 1000)

// leastWindows is the least evidence.
const leastWindows = 20

// evidence is what an asset says for the fail-safe for all.
type evidence struct {
	state int64
	end   int64 // of its newest live window, event time, ms
}

// withholding is the fail-safe for all. Its assets and limit belong to feed; held is what publishAll holds back.
type withholding struct {
	limit  float64
	assets map[int64]evidence
	on     atomic.Bool
	kept   int64         // Batch.Withhold as the warehouse has it
	free   chan struct{} // something to publish has waited

	// Owned by publishAll.
	newest      map[string]int64 // outbox id of the newest withheld message of each retained topic
	first, last int64            // outbox ids of what is withheld; 0: nothing
	waiting     prometheus.Gauge
}

// watchAll takes what a batch says of the assets.
func (h *withholding) watchAll(b *stream.Batch) {
	for _, w := range b.Windows {
		if e := h.assets[w.Sensor.AssetID]; w.Live && w.End > e.end {
			e.end = w.End
			h.assets[w.Sensor.AssetID] = e
		}
	}
	for i := range b.Failsafes {
		f := &b.Failsafes[i]
		e := h.assets[f.AssetID]
		e.state = f.State
		h.assets[f.AssetID] = e
	}
}

// judge answers whether publication is to be withheld, and why in words.
func (h *withholding) judge() (on bool, why string) {
	newest := int64(math.MinInt64)
	for _, e := range h.assets {
		newest = max(newest, e.end)
	}
	assets, windows, bad := 0, 0, 0
	for _, e := range h.assets {
		if e.end == 0 || newest-e.end > recentMs {
			continue
		}
		if _, q, n := stream.FailsafeOpenIn(e.state); n > 0 {
			assets, windows, bad = assets+1, windows+n, bad+q
		}
	}
	if h.limit <= 0 || assets < 2 || windows < leastWindows {
		return false, ""
	}
	share := float64(bad) / float64(windows)
	on = share > h.limit || h.on.Load() && share > h.limit/2
	return on, fmt.Sprintf("%d of the last %d windows of %d assets are quarantined, limit %.0f %%: risk, alerts and events are withheld until it is at most %.0f %%",
		bad, windows, assets, h.limit*100, h.limit*50)
}

// guardAll opens and closes the fail-safe for all. It belongs to feed.
func (l *line) guardAll() {
	on, why := l.hold.judge()
	if on {
		l.hold.on.Store(true)
		if l.status.degrade(reasonGuard, why) {
			l.log.Error().Str("why", why).Msg("publication is withheld: too many windows are quarantined")
		}
		return
	}
	l.hold.on.Store(false)
	if l.status.heal(reasonGuard) {
		l.log.Info().Msg("publication goes on: the share of quarantined windows has recovered")
	}
	select {
	case l.hold.free <- struct{}{}:
	default:
	}
}

// changed says what a commit must keep.
func (h *withholding) changed() int64 {
	state := int64(2)
	if h.on.Load() {
		state = 1
	}
	if state == h.kept {
		return 0
	}
	h.kept = state
	return state
}

// recallAll gives back what stood before a restart. Without it, what was withheld would be told by a restart.
func (l *line) recallAll(rec *store.Recovery) {
	oldest := int64(math.MinInt64)
	if h := l.config.Load().stream.HistoryAfter; h > 0 {
		oldest = time.Now().Add(-h).UnixMilli()
	}
	for _, s := range rec.Sensors {
		if w, ok := rec.Windows[s.ID]; ok {
			e := l.hold.assets[s.AssetID]
			if e.state = rec.Failsafes[s.AssetID]; w.End >= oldest { // history is no evidence
				e.end = max(e.end, w.End)
			}
			l.hold.assets[s.AssetID] = e
		}
	}
	l.hold.on.Store(rec.Withheld) // between the limit and its half it stands on
	l.guardAll()
}

// withhold keeps what is to be published in the outbox. Of a retained topic nothing but the newest is owed.
func (l *line) withhold(out []store.Publication) {
	h := &l.hold
	var gone []int64
	for i := range out {
		p := &out[i]
		if h.first == 0 {
			h.first = p.ID
		}
		h.last = max(h.last, p.ID)
		if !p.Retain {
			h.waiting.Inc()
			continue
		}
		if before, ok := h.newest[p.Topic]; ok {
			gone = append(gone, before)
		} else {
			h.waiting.Inc()
		}
		h.newest[p.Topic] = p.ID
	}
	l.markSent(gone, len(out))
}

// release publishes what was withheld, in its order, from the outbox. What cannot be read now is tried again at the next tick.
func (l *line) release(ctx context.Context) {
	h := &l.hold
	for h.first != 0 && !h.on.Load() && ctx.Err() == nil {
		page, err := l.pages().Outbox(ctx, h.first, h.last, 1000)
		if err != nil {
			l.log.Warn().Err(err).Msg("read what was withheld; it is tried again")
			return
		}
		if len(page) == 0 {
			h.first, h.last = 0, 0
			clear(h.newest)
			h.waiting.Set(0)
			return
		}
		next := page[len(page)-1].ID + 1
		owed := page[:0]
		for _, p := range page {
			if id, ok := h.newest[p.Topic]; !p.Retain || ok && id == p.ID {
				owed = append(owed, p)
			}
		}
		l.unsent.Add(int64(len(owed)))
		l.send(owed)
		h.first = next
	}
}
