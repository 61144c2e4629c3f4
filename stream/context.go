package stream

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// contextAge is how old a context may be and still describe a reading (contract, section 2).
const contextAge = int64(5 * time.Minute / time.Millisecond)

// acceptContext takes one context of an asset. It is late once a window that it would have described has closed.
func (w *Windower) acceptContext(src *source, c Context, received int64, mono time.Duration) (Reason, string, error) {
	if src.asset == nil && w.byName[[2]string{src.site, src.address.asset}] == nil && len(w.assets) >= w.most {
		return UnknownTopic, fmt.Sprintf("the registry is full: %d assets", w.most), nil
	}
	a := w.assetOf(src, c.TS)
	k := &a.context
	i, found := k.from(c.TS)
	switch {
	case found && k.kept[i].Context == c:
		w.batch.Count.Duplicate++
		return "", "", nil
	case found:
		k.kept[i].conflicted = true
		w.batch.ConflictedContexts = append(w.batch.ConflictedContexts, StoredContext{AssetID: a.ID, Context: c})
		return Conflict, conflictDetail, nil
	}
	if c.TS < k.cut || c.TS < a.closedTo() {
		if reason, detail, done, err := w.contextBehind(a, c, received); done || err != nil {
			return reason, detail, err
		}
	}
	if c.TS >= k.cut {
		k.kept = slices.Insert(k.kept, i, contextEntry{Context: c})
	}
	w.batch.Count.StoredContext++
	w.batch.Contexts = append(w.batch.Contexts, StoredContext{AssetID: a.ID, Context: c})
	if !w.releasing {
		k.mono = mono
	}
	k.behind = a.advance(c.TS, w.disorder) && !w.releasing || k.behind
	if !k.known || c.TS > k.newest {
		k.known, k.newest = true, c.TS
	}
	if len(k.kept)%512 == 0 {
		w.prune(a)
	}
	if k.newest-w.disorder >= k.mark {
		k.mark = next(k.newest-w.disorder, a.step)
		w.look(a)
	}
	return "", "", nil
}

// contextBehind classes a context whose place is no longer held in memory, or whose windows have closed. done is false when it is new and in time after all.
func (w *Windower) contextBehind(a *assetState, c Context, received int64) (reason Reason, detail string, done bool, err error) {
	old, found, err := w.pastContext(a.ID, c.TS)
	switch {
	case err != nil:
		return "", "", false, fmt.Errorf("look up context: %w", err)
	case found && old == c:
		w.batch.Count.Duplicate++
		return "", "", true, nil
	case found:
		w.batch.ConflictedContexts = append(w.batch.ConflictedContexts, StoredContext{AssetID: a.ID, Context: c})
		return Conflict, conflictDetail, true, nil
	case c.TS >= a.closedTo():
		return "", "", false, nil
	}
	w.batch.Count.Late++
	w.batch.Late = append(w.batch.Late, LateReading{
		AssetID: a.ID, Received: received, Reading: Reading{TS: c.TS, Conditions: c.Conditions}, Reason: Late,
	})
	return "", "", true, nil
}

// from is the position of the first kept context at or after ts, and whether it is at ts.
func (k *contextState) from(ts int64) (i int, found bool) {
	return slices.BinarySearchFunc(k.kept, ts, func(e contextEntry, ts int64) int { return compare(e.TS, ts) })
}

// closedTo is the end of the asset's newest closed window.
func (a *assetState) closedTo() int64 {
	end := int64(math.MinInt64)
	for _, s := range a.sensors {
		end = max(end, s.frontier)
		if s.hop != nil {
			end = max(end, s.hop.end)
		}
	}
	return end
}

// prune drops contexts that no open window can need any more: older than the lowest open reading by two window lengths (they make the
// context a member) and by contextAge (they describe readings).
func (w *Windower) prune(a *assetState) {
	lowest, length := int64(math.MaxInt64), w.base
	for _, s := range a.sensors {
		length = max(length, w.length(s))
		if s.pending.len() > 0 {
			lowest = min(lowest, s.pending.ts(0))
		}
		if s.hop != nil && s.hop.held {
			lowest = min(lowest, s.hop.start)
		}
	}
	if lowest == math.MaxInt64 {
		if lowest = a.closedTo(); lowest == math.MinInt64 {
			lowest = a.context.newest
		}
	}
	cut := lowest - max(contextAge, 2*length)
	if cut <= a.context.cut {
		return
	}
	a.context.cut = cut
	if i, _ := a.context.from(cut); i > 0 {
		a.context.kept = slices.Delete(a.context.kept, 0, i)
	}
}

// ContextSpan is how far before an asset's lowest open reading its contexts are still needed, given the asset's longest window.
func ContextSpan(longest time.Duration) time.Duration {
	return max(time.Duration(contextAge)*time.Millisecond, 2*longest)
}

// join fills the conditions that a reading lacks with the newest context at or before it, when that is at most contextAge older. at is where the last
// search ended: readings come in event-time order. Disputed contexts describe nothing.
func (k *contextState) join(r *Reading, at *int) {
	for *at < len(k.kept) && k.kept[*at].TS <= r.TS {
		*at++
	}
	lacks := (HasAmbient | HasSpeed | HasLoad | HasBrake) &^ r.Has
	if lacks == 0 {
		return
	}
	for i := *at - 1; i >= 0 && r.TS-k.kept[i].TS <= contextAge; i-- {
		if c := &k.kept[i]; !c.conflicted {
			fill(&r.Conditions, c.Conditions, lacks)
			return
		}
	}
}

func fill(to *Conditions, from Conditions, lacks Fields) {
	lacks &= from.Has
	if lacks&HasAmbient != 0 {
		to.Ambient = from.Ambient
	}
	if lacks&HasSpeed != 0 {
		to.Speed = from.Speed
	}
	if lacks&HasLoad != 0 {
		to.Load = from.Load
	}
	if lacks&HasBrake != 0 {
		to.Brake = from.Brake
	}
	to.Has |= lacks
}
