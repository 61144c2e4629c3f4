package simulator

import "github.com/camrail/cidp/stream"

// Message is one MQTT publication.
type Message struct {
	Topic    string
	Payload  []byte // JSON: a reading, an array of readings, or a context; never changed once made
	Asset    int    // position of the asset
	Sensor   int    // position in Sensors; -1 for a context
	TS       int64  // event time of its newest reading by the device's clock, ms
	Readings int    // how many readings it holds; 0 for a context
}

// Messages moves the fleet by one tick, like Step, and appends what is sent as messages in order.
func (f *Fleet) Messages(dst []Message) []Message {
	f.samples = f.Step(f.samples[:0])
	return f.Encode(dst, f.samples)
}

// Encode writes samples as messages, joined ones as arrays. The payloads of one call share memory of their own.
func (f *Fleet) Encode(dst []Message, samples []Sample) []Message {
	arena := make([]byte, 0, 120*len(samples))
	for len(samples) > 0 {
		n := 1
		for n < len(samples) && samples[n].Joined {
			n++
		}
		from := len(arena)
		arena = appendSamples(arena, samples[:n])
		s := samples[n-1]
		m := Message{Payload: arena[from:len(arena):len(arena)], Asset: int(s.Asset), Sensor: int(s.Sensor), TS: s.TS}
		if s.Sensor < 0 {
			m.Topic = f.assets[s.Asset].topic
		} else {
			m.Topic, m.Readings = f.info[s.Sensor].topic, n
		}
		dst = append(dst, m)
		samples = samples[n:]
	}
	return dst
}

func appendSamples(dst []byte, samples []Sample) []byte {
	if s := samples[0]; s.Sensor < 0 {
		return stream.AppendContext(dst, stream.Context{TS: s.TS, Conditions: s.Conditions})
	}
	if len(samples) == 1 {
		return stream.AppendReading(dst, samples[0].Reading)
	}
	for i, s := range samples {
		dst = append(dst, "[,"[min(i, 1)])
		dst = stream.AppendReading(dst, s.Reading)
	}
	return append(dst, ']')
}
