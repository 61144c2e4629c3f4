// Package load is a generator of MQTT load: raw pipelined MQTT 3.1.1 on 1 to some thousand connections, flat out or paced, at QoS 0, 1 or 2, single readings or arrays,
// with valid event times that go on for each sensor.
//
// It promises: a paced load keeps its timetable whatever the server does, and a latency counts from the time that the timetable names, so that a server that stalls
// is not excused for the messages that could not be sent meanwhile (coordinated omission); an acknowledgement that comes out of order, twice or for nothing ends the
// connection with an error; what was sent and what was acknowledged are exact.
//
// It costs little, since it shares the machine with what it measures: messages are copied from one template in which packet id, event times and temperature digits
// are patched, and acknowledgements are counted where they are read. It knows no platform: any MQTT 3.1.1 server will do.
package load
