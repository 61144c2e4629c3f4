package load

import (
	"encoding/binary"
	"strings"
)

const (
	zeroTime = "0000000000000" // thirteen digits: epoch ms between 2001 and 2286
	fields   = `{"ts":` + zeroTime + `,"temp_c":45.00,"ambient_c":25.5,"speed_kmh":60}`
	toDigits = len(`,"temp_c":45.`) // from the end of the event time to the last two digits of the temperature
)

// payload is what all messages of a load have in common: the readings without their event times and the last digits of their temperatures.
type payload struct {
	bytes []byte
	times []int // where the event times are
}

func encodePayload(batch int) payload {
	text := fields
	if batch > 1 {
		text = "[" + strings.Repeat(fields+",", batch-1) + fields + "]"
	}
	p := payload{bytes: []byte(text)}
	for at := 0; ; {
		i := strings.Index(text[at:], zeroTime)
		if i < 0 {
			return p
		}
		p.times = append(p.times, at+i)
		at += i + len(zeroTime)
	}
}

// encodeHead makes the beginning of a sensor's PUBLISH, up to its payload.
func encodeHead(p *Plan, topic string, size int) []byte {
	remaining := 2 + len(topic) + size
	if p.QoS > 0 {
		remaining += 2
	}
	b := []byte{0x30 | p.QoS<<1}
	b = binary.AppendUvarint(b, uint64(remaining)) // the encoding of MQTT's variable byte integer
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	b = append(b, topic...)
	if p.QoS > 0 {
		b = append(b, 0, 0)
	}
	return b
}

// appendMessage appends message m of a connection whose sensors' heads these are.
func (p *Plan) appendMessage(dst []byte, heads [][]byte, body *payload, m uint64) []byte {
	s, n := p.Place(m)
	dst = append(dst, heads[s]...)
	if p.QoS > 0 {
		binary.BigEndian.PutUint16(dst[len(dst)-2:], packetID(m))
	}
	return p.appendPayload(dst, body, s, n)
}

// Payload gives the payload of message m of a connection.
func (p *Plan) Payload(m uint64) []byte {
	body := encodePayload(p.Batch)
	s, n := p.Place(m)
	return p.appendPayload(nil, &body, s, n)
}

// appendPayload appends the readings of a sensor from its number n on.
func (p *Plan) appendPayload(dst []byte, body *payload, s int, n uint64) []byte {
	at := len(dst)
	dst = append(dst, body.bytes...)
	b := dst[at:]
	for i, t := range body.times {
		putTime(b[t:t+len(zeroTime)], p.TS(n+uint64(i)))
		v := (n + uint64(i) + uint64(s)) * 7 % 13 * 7 // a healthy sensor is never quite still
		digits := b[t+len(zeroTime)+toDigits:]
		digits[0], digits[1] = byte('0'+v/10), byte('0'+v%10)
	}
	return dst
}

// putTime writes thirteen digits.
func putTime(b []byte, ts int64) {
	v := uint64(ts)
	for d := len(zeroTime) - 1; d >= 0; d-- {
		b[d] = byte('0' + v%10)
		v /= 10
	}
}

// Packet ids go round from 1 to 65,535.
func packetID(m uint64) uint16 { return uint16(m%maxInFlight) + 1 }
