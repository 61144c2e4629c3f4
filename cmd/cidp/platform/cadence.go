package platform

import "time"

// cadence is when the next commit under load may begin: every after the last one began, which spares the disk. A flow that fills commits in less, and is not so
// dense that the disk is busy anyway, is committed after two fifths of that.
//
// A commit writes some 14 kB that are not its readings' (the ledger, its row, ends of trees), so that 250 commits a second instead of 100 write 2.1 MB/s more. That is
// little for each of the readings of a flow, and it must not come on top of what 100,000 readings/s and more write.
type cadence struct {
	every time.Duration
	last  time.Time // when gathering for the newest commit began
	flow  float64   // readings a second, over the last commits
}

const (
	flowFrom  = 40_000 // readings a second from which commits are full even so: 160 readings at the default cadence
	flowUpTo  = 75_000 // readings a second up to which more commits do not make the disk write more than it does at 100,000
	flowOver  = 8      // commits that flow goes back, about
	flowAlone = 128    // readings without which a commit is not full, whatever the flow was
)

// began notes that a commit of so many readings began.
func (c *cadence) began(at time.Time, readings int) {
	if took := at.Sub(c.last); took > 0 {
		c.flow += (float64(readings)/took.Seconds() - c.flow) / flowOver
	}
	c.last = at
}

// period is the time from the last commit's beginning to the next one's, which holds so many readings already.
func (c *cadence) period(readings int) time.Duration {
	if readings >= flowAlone && c.flow >= flowFrom && c.flow <= flowUpTo {
		return c.every * 2 / 5
	}
	return c.every
}

// passed says whether a commit of so many readings may begin.
func (c *cadence) passed(now time.Time, readings int) bool {
	return now.Sub(c.last) >= c.period(readings)
}
