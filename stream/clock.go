package stream

import (
	"math"
	"slices"
	"time"
)

// A device's clock is an advisory: receipt time less event time of what its messages say last, transport included. Nothing rests on it, no verdict and no window; a restart forgets it.

// ClockNote is what is found of the clock of a sensor's device, when it differs from what was told before.
type ClockNote struct {
	SensorID int64
	Behind   time.Duration // how far the device's clock is behind the receiver's: the median over its last messages; below 0: ahead
	Jumps    int           // how often it has jumped since the start
}

// clockSamples is how many messages the median is over, and after how many it is taken anew.
const clockSamples = 8

// The limits of what is told: a step of clockTold; a jump is one of clockJump that a second message confirms within clockAgree. All ms.
const (
	clockTold  = 5_000
	clockJump  = 30_000
	clockAgree = 10_000
)

// clock estimates how far a device's clock is behind. Lags are in ms, clamped to some 24 days.
type clock struct {
	lags  [clockSamples]int32
	mid   int32 // median when last taken
	odd   int32 // a lag far from it that waits for a second one
	told  int32
	jumps int32
	n     uint8 // lags held
	next  uint8
	isOdd bool
	said  bool // told holds
}

// heard takes the lag of a message. It says whether there is something to tell.
func (c *clock) heard(lag int64) bool {
	v := int32(min(max(lag, math.MinInt32), math.MaxInt32))
	if c.said && apart32(v, c.mid) > clockJump {
		if !c.isOdd || apart32(v, c.odd) > clockAgree {
			c.odd, c.isOdd = v, true
			return false
		}
		c.lags[0], c.lags[1], c.n, c.next = c.odd, v, 2, 2
		c.mid, c.told, c.isOdd = c.median(), c.median(), false
		c.jumps++
		return true
	}
	c.isOdd = false
	c.lags[c.next] = v
	c.next = (c.next + 1) % clockSamples
	if c.n < clockSamples {
		c.n++
	}
	if c.next != 0 {
		return false
	}
	c.mid = c.median()
	if c.said && apart32(c.mid, c.told) <= clockTold {
		return false
	}
	c.said, c.told = true, c.mid
	return true
}

// median is the lower median of the lags held.
func (c *clock) median() int32 {
	lags := c.lags
	slices.Sort(lags[:c.n])
	return lags[(c.n-1)/2]
}

func apart32(a, b int32) int64 {
	if a < b {
		a, b = b, a
	}
	return int64(a) - int64(b)
}

// noteClock takes the newest time that a message of a known sensor told, refused as from the future or not.
func (w *Windower) noteClock(s *sensorState, newest, received int64) {
	if s.clock.heard(received - newest) {
		w.batch.Clocks = append(w.batch.Clocks, ClockNote{SensorID: s.ID, Behind: time.Duration(s.clock.told) * time.Millisecond, Jumps: int(s.clock.jumps)})
	}
}
