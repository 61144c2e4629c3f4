package model

// Again gives the hold into which Next folds another revision of the window that moved h last; before is the hold before that window's first prediction. The window
// then counts once: the level and what its rows counted are as before it. What was done to an alert stands: one that the revision would not have raised
// clears by the windows that follow, and one that was cleared stays so.
//
// With RaiseAfter and ClearAfter of at least 2 no alert is raised twice by one window's revisions.
func (h Hold) Again(before Hold) Hold {
	same := h.AlertID == before.AlertID
	h.Level, h.FreeSince, h.LastEnd = before.Level, before.FreeSince, before.LastEnd
	h.SteadySince, h.SteadyKmh, h.Rate = before.SteadySince, before.SteadyKmh, before.Rate
	h.Above, h.Below = 0, 0
	if same {
		h.Above, h.Below = before.Above, before.Below
	}
	return h
}
