package broker

import (
	"strings"
	"unicode/utf8"
)

// outputPrefixes are the topics that only the broker's own side publishes on (contract, section 2). A prefix stands for itself and for all below it.
var outputPrefixes = [...]string{"cidp/v1/risk", "cidp/v1/alerts", "cidp/v1/events"}

// statusTopic is the one output topic with nothing below it.
const statusTopic = "cidp/v1/status"

// reserved says whether nobody from outside may publish on a topic: our outputs, and all that begins with $.
func reserved(topic string) bool {
	if strings.HasPrefix(topic, "$") || topic == statusTopic {
		return true
	}
	for _, prefix := range outputPrefixes {
		if rest, ok := strings.CutPrefix(topic, prefix); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// validTopic says whether a topic name may be published on at all (MQTT 5, sections 1.5.4 and 4.7).
func validTopic(topic string) bool {
	return topic != "" && len(topic) <= 65535 && !strings.ContainsAny(topic, "+#\x00") && utf8.ValidString(topic)
}
