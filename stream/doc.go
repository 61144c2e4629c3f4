// Package stream turns messages into judged windows: it decodes readings, refuses what cannot be used under a named reason, windows the rest by event time,
// cleans it, makes features and gives each window a verdict.
//
// It promises that content is a function of the accepted readings: what a window says does not depend on the order of arrival, the
// batching, a restart or the machine, as long as nothing comes more than Config.Disorder behind the newest of its asset. Waiting and idling decide only when
// a window closes.
//
// It refuses to do I/O (but through Past), to start a goroutine, to read a clock, and to alter a reading: flags stand beside values. It knows nothing of
// MQTT, SQL or models. DESIGN.md says why it is as it is.
package stream
