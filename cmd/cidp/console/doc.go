// Package console is the HTTP side of the platform: one live page, the health checks, the metrics, and JSON.
//
//	GET /                                    the page, for the controller on duty and for who just ran the demo
//	GET /healthz                             200 "ok" while the process is alive
//	GET /readyz                              200, or 503, with the reasons as JSON
//	GET /metrics                             what the given registry gathers
//	GET /api/v1/summary                      Summary
//	GET /api/v1/assets                       every asset with its sensors
//	GET /api/v1/alerts?limit=N               newest alerts
//	GET /api/v1/quarantine?limit=N           newest refused windows and messages, with the evidence; ?state= ?reason= ?place= ?since= ?of= narrow it
//	GET /api/v1/quarantine/{id}              one piece of evidence, and what people did with it
//	POST /api/v1/quarantine/release          puts evidence back through the line
//	GET /api/v1/sensors/{site}/{asset}/{sensor}?limit=N
//	GET /api/v1/stream                       server-sent events: the whole Snapshot at once, then what changed
//
// It promises: nothing it serves can change anything (only GET and HEAD are answered) but a release from quarantine,
// which a page of another site cannot ask for; however many viewers there are, the source is asked for one snapshot a period, and for none while nobody looks; a viewer that does not keep up is cut off and slows nobody;
// the page needs nothing from outside the binary; stale data never looks live, because the page counts the age of what it
// shows; after Serve has returned nil, nothing of this package asks the source any more.
//
// It refuses: what a browser was tricked into asking (a foreign Host on a loopback address, a request from another site);
// markup in names (the page writes text only, and its Content-Security-Policy forbids inline script and style); and to know
// SQL or MQTT: what it shows comes through Source.
//
// # The stream
//
// The first event is "snapshot": a Snapshot. Each later one is "change": the same object, but "assets" holds only those that
// differ from the event before, and "removed" names those that are gone. Both carry "every_ms", the time to the next event.
// "fault" comes instead of a change when no snapshot could be taken.
// An event follows every Refresh, so silence means that the connection is lost. A page that falls behind is disconnected
// and starts again with a whole snapshot: no event is ever left out in between.
//
// # Who owns what
//
// One goroutine, the poller, asks the source while anyone watches the stream. The first viewer starts it; the last one stops it
// and waits for its end. board.turn serialises the poller with the JSON routes. Each viewer's own request goroutine
// writes to its connection; the poller only puts frames into its bounded queue.
//
// The page's script is longer than a file of ours should be: one file needs no bundler and no order of loading.
package console
