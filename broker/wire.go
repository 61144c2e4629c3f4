package broker

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Reason codes of MQTT 5 that the broker writes by itself (MQTT 5, section 2.4).
const (
	reasonNotAuthorized       = 0x87
	reasonShuttingDown        = 0x8B
	reasonTakenOver           = 0x8E
	reasonUnknownPacket       = 0x92
	reasonReceiveMaximum      = 0x93
	reasonImplementation      = 0x83
	reasonQuotaExceeded       = 0x97
	firstFailure              = 0x80 // codes from here on are failures
	protocol5            byte = 5
)

// appendAck appends PUBACK, PUBREC, PUBREL or PUBCOMP. The reason is written for MQTT 5 only, and only when it is not success: success has the
// same four bytes in both versions.
func appendAck(dst []byte, kind, version byte, id uint16, reason byte) []byte {
	first := kind << 4
	if kind == packets.Pubrel {
		first |= 2 // fixed flags, MQTT 5 section 3.6.1
	}
	if version != protocol5 || reason == 0 {
		return append(dst, first, 2, byte(id>>8), byte(id))
	}
	return append(dst, first, 3, byte(id>>8), byte(id), reason)
}

// appendDisconnect appends an MQTT 5 DISCONNECT. MQTT 3.1.1 has none from the server.
func appendDisconnect(dst []byte, reason byte) []byte {
	return append(dst, packets.Disconnect<<4, 2, reason, 0)
}

// outgoing is one message on its way to subscribers, shared by all of them and never written to.
type outgoing struct {
	topic     string
	payload   []byte
	origin    string // client that published it, empty for our own
	props     *packets.Properties
	expires   int64 // epoch milliseconds; 0 = never
	held      int   // bytes of memory it keeps if they are more than its own: the packet it came in
	qos       byte
	retain    bool // as published
	telemetry bool // an input routed on: the first thing a slow subscriber loses, and not kept for an absent one
	stored    bool // a retained message given to a new subscription

	message int64        // id of an output when sessions are kept over restarts, else 0
	holders atomic.Int32 // sessions that hold it
}

// share is how much of the budget messages like this one may fill; 0 means all, at the cost of the heaviest clients.
func (o *outgoing) share() float64 {
	switch {
	case o.telemetry:
		return telemetryShare
	case o.stored:
		return storedShare
	}
	return 0
}

func (o *outgoing) size() int { return max(o.held, len(o.topic)+len(o.payload)) }

func (o *outgoing) expired() bool { return o.expires > 0 && time.Now().UnixMilli() >= o.expires }

// parcel is an outgoing message for one subscriber.
type parcel struct {
	*outgoing
	id     uint16 // packet id; 0 until it is sent
	ids    []int  // subscription identifiers, MQTT 5
	seq    uint64 // order of sending, for resending
	sentOn *conn  // the connection it was sent on last; nil while it waits
	qos    byte
	retain bool
	freed  bool // QoS 2: PUBREC came, PUBREL was sent

	given    *subscription // for which a retained message was given
	owed     bool          // noted as owed
	restored bool          // from before a restart: it may have been sent then
}

// appendPublish appends a parcel as PUBLISH.
func appendPublish(dst []byte, version byte, p *parcel, dup bool) []byte {
	var props []byte
	if version == protocol5 {
		props = publishProps(p)
	}
	remaining := 2 + len(p.topic) + len(props) + len(p.payload)
	if p.qos > 0 {
		remaining += 2
	}
	first := packets.Publish<<4 | p.qos<<1
	if dup {
		first |= 8
	}
	if p.retain {
		first |= 1
	}
	dst = slices.Grow(dst, remaining+5)
	dst = append(dst, first)
	dst = binary.AppendUvarint(dst, uint64(remaining)) // the same encoding as MQTT's variable byte integer
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.topic)))
	dst = append(dst, p.topic...)
	if p.qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.id)
	}
	dst = append(dst, props...)
	return append(dst, p.payload...)
}

// publishSize is an upper bound of what appendPublish appends, but for properties.
func publishSize(p *parcel) int { return p.size() + 9 }

var noProps = []byte{0}

// publishProps gives the property block with its length.
func publishProps(p *parcel) []byte {
	if p.props == nil && len(p.ids) == 0 {
		return noProps
	}
	var props packets.Properties
	if p.props != nil {
		props = *p.props
	}
	if p.expires > 0 { // what is left of it (MQTT 5, section 3.3.2.3.3)
		props.MessageExpiryInterval = uint32(max(1, (p.expires-time.Now().UnixMilli()+999)/1000))
	}
	props.SubscriptionIdentifier = p.ids
	var buf bytes.Buffer
	props.Encode(packets.Publish, packets.Mods{AllowResponseInfo: true}, &buf, 0)
	return buf.Bytes()
}

// forwarded keeps the properties that subscribers must see unaltered (MQTT 5, section 3.3.2.3), nil when there are none.
func forwarded(p *packets.Properties) *packets.Properties {
	if !p.PayloadFormatFlag && p.MessageExpiryInterval == 0 && p.ContentType == "" && p.ResponseTopic == "" &&
		len(p.CorrelationData) == 0 && len(p.User) == 0 {
		return nil
	}
	kept := p.Copy(false)
	return &kept
}

// expiry gives when a message with these properties expires, in epoch milliseconds; 0 = never. Whole seconds would end one of a second at once.
func expiry(p *packets.Properties) int64 {
	if p == nil || p.MessageExpiryInterval == 0 {
		return 0
	}
	return time.Now().UnixMilli() + 1000*int64(p.MessageExpiryInterval)
}
