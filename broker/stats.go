package broker

import "sync/atomic"

// Stats are figures since Start, and gauges of now: one flat list, for /metrics.
type Stats struct {
	// Gauges.
	Open        int   // TCP connections
	Connected   int64 // clients that had their CONNACK
	Sessions    int   // those of absent clients included
	Queued      int   // messages taken and not yet received
	QueuedBytes int
	Retained    int   // retained messages
	Subscribed  int64 // subscriptions
	Held        int64 // bytes held for clients that are slow or away

	// Counters.
	Connections        int64    // TCP connections taken
	ConnectionsRefused int64    // too many connections or sessions
	AuthFailures       int64    // wrong user or password
	TakenOver          int64    // connections closed because their client connected again
	Received           [3]int64 // messages queued, by QoS, wills included; counted before they can be received
	ReceivedBytes      int64    // bytes of their payloads as published
	Wills              int64    // wills queued
	WillsDropped       int64    // on output topics, or while draining
	Redelivered        int64    // QoS 2 messages sent again and recognised
	Denied             int64    // PUBLISHes on topics that nobody from outside may publish on
	ProtocolErrors     int64    // connections closed for what their client sent: malformed or too large packets, unknown aliases, too many unacknowledged messages
	AcksWritten        int64    // counted before a client can have them
	AcksDropped        int64    // the client was gone
	AcksWithheld       int64
	Published          int64 // calls of Publish
	Routed             int64 // accepted messages that had a subscriber; likewise
	Delivered          int64 // PUBLISHes written to subscribers
	DeliveriesDropped  int64 // not written: the subscriber is too slow, or its packet limit too small
	RetainsRefused     int64 // retained inputs beyond the bound
	FiltersRefused     int64 // subscriptions beyond the bound
	Shed               int64 // clients that lost what was held for them, because too much was held in all
	ClaimsDropped      int64 // messages that a restart would forget, because too many were owed in all
	SessionsLost       int64 // sessions from before the restart that could not be given back
	SlowClosed         int64 // connections closed because they took nothing
	BytesSent          int64
	Panics             int64 // connections ended by a panic of a decoder
}

// counters are written by all goroutines.
type counters struct {
	connected                                    atomic.Int64
	connectionsTotal, connectionsRefused         atomic.Int64
	authFailures, takenOver                      atomic.Int64
	wills, willsDropped                          atomic.Int64
	redelivered, denied, protocolErrors          atomic.Int64
	acksWritten, acksDropped, acksWithheld       atomic.Int64
	published, routed                            atomic.Int64
	delivered, deliveriesDropped, retainsRefused atomic.Int64
	slowClosed, bytesSent, panics                atomic.Int64
	subscriptionsRefused, shed, sessionsLost     atomic.Int64
	claimsDropped                                atomic.Int64
}

// Stats reads all figures. They are not of one instant.
func (b *Broker) Stats() Stats {
	c := &b.counters
	st := Stats{
		Connected:  c.connected.Load(),
		Sessions:   b.registry.len(),
		Retained:   int(b.routing.retained.count.Load()) + b.server.Topics.Retained.Len(), // mochi keeps its own under $SYS
		Held:       b.held.used.Load(),
		Subscribed: atomic.LoadInt64(&b.server.Info.Subscriptions),

		Connections:        c.connectionsTotal.Load(),
		ConnectionsRefused: c.connectionsRefused.Load(),
		AuthFailures:       c.authFailures.Load(),
		TakenOver:          c.takenOver.Load(),
		Wills:              c.wills.Load(),
		WillsDropped:       c.willsDropped.Load(),
		Redelivered:        c.redelivered.Load(),
		Denied:             c.denied.Load(),
		ProtocolErrors:     c.protocolErrors.Load(),
		AcksWritten:        c.acksWritten.Load(),
		AcksDropped:        c.acksDropped.Load(),
		AcksWithheld:       c.acksWithheld.Load(),
		Published:          c.published.Load(),
		Routed:             c.routed.Load(),
		Delivered:          c.delivered.Load(),
		DeliveriesDropped:  c.deliveriesDropped.Load(),
		RetainsRefused:     c.retainsRefused.Load(),
		FiltersRefused:     c.subscriptionsRefused.Load(),
		Shed:               c.shed.Load(),
		ClaimsDropped:      c.claimsDropped.Load(),
		SessionsLost:       c.sessionsLost.Load(),
		SlowClosed:         c.slowClosed.Load(),
		BytesSent:          c.bytesSent.Load(),
		Panics:             c.panics.Load(),
	}
	b.queue.figures(&st)
	st.Open = b.open.len()
	return st
}
