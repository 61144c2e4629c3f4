package broker

import "github.com/mochi-mqtt/server/v2/packets"

// Message is one PUBLISH (or last will) on an input topic, not yet acknowledged. Topic and Payload are never written to after it was received.
type Message struct {
	Topic    string
	Payload  []byte // the first EvidenceBytes when TooLarge
	Client   string // MQTT client id
	Size     int    // bytes of the payload as published
	QoS      byte
	Retain   bool
	TooLarge bool // the payload is longer than Config.MaxPayload

	crowded bool   // the packet it came in lies beside others in one piece of memory, which go when it goes as a rule
	id      uint16 // MQTT packet id

	Received int64 // receipt by Config.Clock, epoch milliseconds

	conn  *conn               // whom to answer; nil for QoS 0 and wills
	seq   uint64              // position among the messages of conn that get an answer
	props *packets.Properties // MQTT 5 properties that subscribers must see, nil when none

	expires int64 // MQTT 5 message expiry, epoch milliseconds; 0 = never
	held    int   // bytes of memory it keeps: topic, payload and properties are parts of the packet they came in
}

// Outcome is what became of a message.
type Outcome uint8

// The outcomes. MQTT 3.1.1 knows no reasons: there all but Withheld are a plain acknowledgement.
const (
	Accepted       Outcome = iota // success; the message goes to live subscribers
	PayloadInvalid                // MQTT 5: 0x99, payload format invalid
	TopicInvalid                  // MQTT 5: 0x90, topic name invalid
	Withheld                      // no acknowledgement: the connection is closed so that the client sends it again
)

// Ack is a message with its outcome.
type Ack struct {
	Message Message
	Outcome Outcome
}

// reason is the MQTT 5 reason code of an outcome.
func (o Outcome) reason() byte {
	switch o {
	case PayloadInvalid:
		return packets.ErrPayloadFormatInvalid.Code
	case TopicInvalid:
		return packets.ErrTopicNameInvalid.Code
	}
	return 0
}

// cost is what a queued message takes of Config.QueueBytes.
func (m *Message) cost() int { return max(m.held, len(m.Topic)+len(m.Payload)) + messageOverhead }

// messageOverhead is a message's own size and the slack of its buffer, rounded up.
const messageOverhead = 256
