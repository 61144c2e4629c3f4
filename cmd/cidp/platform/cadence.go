package platform

import (
	"math"
	"time"
)

// cadence is when the next commit under load may begin: every after the last one began, which spares the disk. A flow that fills commits in less is
// committed after two fifths of that, and answered so much sooner.
//
// Each commit more writes 30 to 40 kB that are not its readings' (the ledger, its row, ends of trees, and all of it once more at a checkpoint): a third more for each reading of such a flow. A
// flood could not stay within what it may write a reading with that, nor may a fleet of everyday size; they have the whole time, and so has who wants the disk spared more and
// has asked for a longer time than fullest.
type cadence struct {
	every time.Duration
	last  time.Time // when gathering for the newest commit began
	flow  float64   // readings a second, over about flowOver
	dense bool      // the flow fills commits
}

const (
	fullest  = 10 * time.Millisecond // longest time between commits that the figures below were measured with
	flowOver = 50 * time.Millisecond
	fewest   = 128 // readings without which a commit is not full, whatever the flow was

	// Readings a second from and up to which a flow begins to be dense, and ceases to be.
	denseFrom, sparseBelow = 45_000, 40_500
	denseUpTo, floodAbove  = 70_000, 75_000
)

// began notes that a commit of so many readings began.
func (c *cadence) began(at time.Time, readings int) {
	if took := at.Sub(c.last); took > 0 {
		c.flow += (float64(readings)/took.Seconds() - c.flow) * -math.Expm1(-took.Seconds()/flowOver.Seconds())
	}
	c.last = at
	if c.dense {
		c.dense = c.flow >= sparseBelow && c.flow <= floodAbove
	} else {
		c.dense = c.flow >= denseFrom && c.flow <= denseUpTo
	}
}

// period is the time from the last commit's beginning to the next one's, which holds so many readings already.
func (c *cadence) period(readings int) time.Duration {
	if c.dense && readings >= fewest && c.every <= fullest {
		return c.every * 2 / 5
	}
	return c.every
}

// passed says whether a commit of so many readings may begin.
func (c *cadence) passed(now time.Time, readings int) bool {
	return now.Sub(c.last) >= c.period(readings)
}
