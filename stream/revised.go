package stream

import "slices"

// A device that is always late sends every reading behind its closed window, and each batch would read the same stretch of the whole fleet's keys again. So what the last revisions were
// made of is held: it changes only by what comes late itself, which the batch has.

// Bounds of what is held: windows, and readings in one.
const (
	maxRevised        = 256
	maxRevisedEntries = 1024
)

// revisedWindows holds what windows were last made of, by Key of their start and sensor; the oldest goes first.
type revisedWindows struct {
	held  map[int64]revisedWindow
	order []int64
}

type revisedWindow struct {
	end      int64
	entries  []entry
	contexts []contextEntry
}

// of gives what a window was last made of.
func (h *revisedWindows) of(sensor, start, end int64) (w revisedWindow, ok bool) {
	w, ok = h.held[Key(start, sensor)]
	return w, ok && w.end == end
}

// hold keeps copies of what a window was made of.
func (h *revisedWindows) hold(sensor, start, end int64, entries []entry, contexts []contextEntry) {
	if len(entries) > maxRevisedEntries {
		return
	}
	if h.held == nil {
		h.held = map[int64]revisedWindow{}
	}
	key := Key(start, sensor)
	if _, ok := h.held[key]; !ok {
		if len(h.order) == maxRevised {
			delete(h.held, h.order[0])
			h.order = slices.Delete(h.order, 0, 1)
		}
		h.order = append(h.order, key)
	}
	contexts = slices.DeleteFunc(slices.Clone(contexts), func(c contextEntry) bool { return c.TS < start-contextAge || c.TS >= end })
	h.held[key] = revisedWindow{end, slices.Clone(entries), contexts}
}

// forget lets go of the windows of a sensor at a time: a dispute that revises nothing is in the tables only.
func (h *revisedWindows) forget(sensor, ts int64) {
	h.order = slices.DeleteFunc(h.order, func(key int64) bool {
		start, id := SplitKey(key)
		gone := id == sensor && start <= ts && ts < h.held[key].end
		if gone {
			delete(h.held, key)
		}
		return gone
	})
}
