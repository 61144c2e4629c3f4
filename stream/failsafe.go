package stream

import (
	"fmt"
	"math/bits"
	"strings"
)

// The fail-safe of an asset looks at its last guardWindows windows in closing order, each by its own verdict. When more than Config.FailShare of them are quarantined it
// opens: the windows that close from then on are quarantined as failsafe_open too, whatever they say themselves, so that poisoned data do not become confident predictions. It
// closes when no more than half of that share is quarantined by its own verdict. Fewer than guardWindows are no evidence.
//
// Windows that close together are judged by what was before them, and counted together after it: their order does not matter. Not counted is what closes without its like
// or because its sensor went silent: when it closes depends on waiting, and a train that is switched off is no bad data. Nor is a sensor's first window, which is often
// incomplete. The state goes with the batch and comes back with
// RestoreFailsafe, so that a restart changes no verdict.

// guardWindows is how many windows of an asset are looked at.
const guardWindows = 20

// guard is the state of an asset's fail-safe.
type guard struct {
	bad  uint32 // a bit a window, the newest lowest: quarantined by its own verdict
	n    int    // windows known, at most guardWindows
	open bool
}

// Failsafe is the state of an asset's fail-safe after windows of it closed, where that has changed.
type Failsafe struct {
	AssetID     int64
	Site, Asset string
	State       int64 // opaque, for RestoreFailsafe
	Windows     int   // looked at
	Quarantined int   // of those, by their own verdict
	Limit       float64
	Open        bool
	Moved       bool  // it opened or closed
	At          int64 // end of the windows that closed, event time, ms
	Live        bool  // they are no history
}

// pack writes the state as one integer, 0 before the first window.
func (g guard) pack() int64 {
	v := int64(g.bad) | int64(g.n)<<32
	if g.open {
		v |= 1 << 40
	}
	return v
}

// FailsafeOpenIn says whether a packed state is open, and gives its evidence.
func FailsafeOpenIn(state int64) (open bool, quarantined, windows int) {
	g := unpack(state)
	return g.open, g.quarantined(), g.n
}

func unpack(v int64) guard {
	return guard{bad: uint32(v) & (1<<guardWindows - 1), n: min(int(v>>32&0xff), guardWindows), open: v>>40&1 == 1}
}

func (g *guard) quarantined() int { return bits.OnesCount32(g.bad) }

// count takes one more window.
func (g *guard) count(bad bool) {
	g.bad = g.bad << 1 & (1<<guardWindows - 1)
	if bad {
		g.bad |= 1
	}
	g.n = min(g.n+1, guardWindows)
}

// move opens or closes the fail-safe by a limit, a share from 0 to 1, and says whether it did.
func (g *guard) move(limit float64) bool {
	share := float64(g.quarantined()) / float64(guardWindows)
	before := g.open
	switch {
	case g.n < guardWindows:
	case share > limit:
		g.open = true
	case share <= limit/2:
		g.open = false
	}
	return g.open != before
}

// guardClosed applies an asset's fail-safe to windows that close together, c, and then counts them.
func (w *Windower) guardClosed(a *assetState, c candidate, closed []*closing) {
	limit := w.cfg.FailShare
	if limit <= 0 {
		if a.guard.open { // from before it was switched off
			a.guard = guard{}
			w.batch.Failsafes = append(w.batch.Failsafes, Failsafe{AssetID: a.ID, Site: a.Site, Asset: a.Name, Moved: true, At: c.end, Live: true})
		}
		return
	}
	before, alone, live := a.guard, c.between || a.jointEnd(c.length) >= c.end, false
	for _, m := range closed {
		bad := !m.window.Valid()
		if before.open {
			m.refuse(FailsafeOpen, "%d of the asset's last %d windows are quarantined, limit %.0f %%", before.quarantined(), before.n, limit*100)
			m.window.Detail = strings.Join(m.why, "; ")
		}
		if !alone && m.sensor.past.packed != nil && w.passed(m.sensor, c.end) {
			a.guard.count(bad)
			live = live || m.window.Live
		}
	}
	if a.guard == before {
		return
	}
	moved := a.guard.move(limit)
	w.batch.Failsafes = append(w.batch.Failsafes, Failsafe{AssetID: a.ID, Site: a.Site, Asset: a.Name, State: a.guard.pack(), Windows: a.guard.n,
		Quarantined: a.guard.quarantined(), Limit: limit, Open: a.guard.open, Moved: moved, At: c.end, Live: live})
}

// RestoreFailsafe gives back the state of an asset's fail-safe, after RestoreAsset; 0: none.
func (w *Windower) RestoreFailsafe(assetID, state int64) error {
	if assetID < 1 || assetID > int64(len(w.assets)) {
		return fmt.Errorf("restore fail-safe: asset %d is not known", assetID)
	}
	w.assets[assetID-1].guard = unpack(state)
	return nil
}
