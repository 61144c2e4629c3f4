package load

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Plan says what a load is: connections that publish readings of their own sensors, each sensor one period of event time after the other.
type Plan struct {
	Site      string // of all assets; empty: douala
	Conns     int
	Sensors   int           // of a connection
	AssetSize int           // sensors of an asset; they may be of several connections
	Batch     int           // readings a message; 1: a single reading, more: an array
	QoS       byte          // 0, 1 or 2
	Window    int           // messages a connection has unacknowledged at most, below 65,535
	Rate      float64       // messages a second of all connections together; 0: always more than goes out
	Gather    time.Duration // what a paced connection has due within this time goes out together, as gateways do that poll their sensors; 0: 5 ms
	Abreast   uint64        // flat out: messages a connection may be ahead of the slowest, or their event times drift apart; 0: any
	Overload  bool          // the rate is more than goes out: it only counts what is left behind, and latency counts from the writing
	Begin     int64         // event time of the first reading of each sensor, epoch ms
	Period    time.Duration // event time between two readings of a sensor
}

// maxInFlight is how many packet ids there are.
const maxInFlight = 65_535

// Validate says in a sentence what makes no sense.
func (p *Plan) Validate() error {
	switch {
	case p.Conns < 1 || p.Conns > 10_000:
		return fmt.Errorf("%d connections: it must be 1 to 10,000", p.Conns)
	case p.Sensors < 1 || p.AssetSize < 1:
		return fmt.Errorf("%d sensors a connection, %d an asset: at least one is needed", p.Sensors, p.AssetSize)
	case p.Batch < 1 || p.Batch > 10_000:
		return fmt.Errorf("%d readings a message: it must be 1 to 10,000", p.Batch)
	case p.QoS > 2:
		return fmt.Errorf("QoS %d: it must be 0, 1 or 2", p.QoS)
	case p.Window < 1 || p.Window >= maxInFlight:
		return fmt.Errorf("%d messages in flight: it must be 1 to %d", p.Window, maxInFlight-1)
	case !(p.Rate >= 0 && p.Rate <= 1e9) || p.Rate > 0 && p.Rate < 0.001*float64(p.Conns):
		return fmt.Errorf("%g messages a second: it must be 0, or from one in 1,000 seconds on each connection up to 1e9", p.Rate)
	case p.Gather < 0 || p.Gather > time.Hour:
		return fmt.Errorf("messages gathered for %s: it must be 0 to 1h", p.Gather)
	case p.Period < time.Millisecond || p.Period%time.Millisecond != 0:
		return fmt.Errorf("a period of %s: it must be whole milliseconds", p.Period)
	}
	return nil
}

// Topic is where a connection's sensor s publishes.
func (p *Plan) Topic(conn, s int) string {
	asset, sensor := p.Names(conn, s)
	return "cidp/v1/telemetry/" + cmp.Or(p.Site, "douala") + "/" + asset + "/" + sensor
}

// Names gives the asset and the sensor that a connection's sensor s is.
func (p *Plan) Names(conn, s int) (asset, sensor string) {
	n := conn*p.Sensors + s
	side := [...]string{"left", "right"}[n%p.AssetSize%2]
	return "loco-" + strconv.Itoa(n/p.AssetSize), "axle" + strconv.Itoa(1+n%p.AssetSize/2) + "-" + side
}

// Place says which readings message m of a connection is: a sensor's, from its reading number n on, p.Batch of them.
func (p *Plan) Place(m uint64) (sensor int, n uint64) {
	return int(m % uint64(p.Sensors)), m / uint64(p.Sensors) * uint64(p.Batch)
}

// TS is the event time of a sensor's reading number n, epoch ms.
func (p *Plan) TS(n uint64) int64 { return p.Begin + int64(n)*p.Period.Milliseconds() }

// lastTS is the event time of the last reading of message m.
func (p *Plan) lastTS(m uint64) int64 {
	_, n := p.Place(m)
	return p.TS(n + uint64(p.Batch) - 1)
}

// paced says whether there is a timetable.
func (p *Plan) paced() bool { return p.Rate > 0 && !p.Overload }

// gather is the least time between two writes of a paced connection.
const gather = 5 * time.Millisecond

// timetable says when messages are due.
type timetable struct {
	group uint64        // messages of a connection that are due together
	every time.Duration // between two groups of a connection
	step  time.Duration // between the connections' turns: they do not all send at the same instant
}

func (p *Plan) timetable() timetable {
	each := p.Rate / float64(p.Conns) // messages a second
	group := max(1, uint64(each*cmp.Or(p.Gather, gather).Seconds()))
	every := time.Duration(float64(group) / each * float64(time.Second))
	return timetable{group, every, every / time.Duration(p.Conns)}
}

// due is when message m of a connection is, after the load's start.
func (t *timetable) due(conn int, m uint64) time.Duration {
	return time.Duration(m/t.group)*t.every + time.Duration(conn)*t.step
}

// until is how many messages of a connection are due by a time after the load's start.
func (t *timetable) until(conn int, now time.Duration) uint64 {
	now -= time.Duration(conn) * t.step
	if now < 0 {
		return 0
	}
	return (uint64(now/t.every) + 1) * t.group
}
