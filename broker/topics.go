package broker

import (
	"strings"
	"unicode/utf8"

	mqtt "github.com/mochi-mqtt/server/v2"
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

// validFilter says whether a topic filter is one (MQTT 5, sections 4.7.1 and 4.8.2). Mochi grants "a+" and "a#", which match nothing.
func validFilter(filter string) bool {
	levels := strings.Split(filter, "/")
	if strings.EqualFold(levels[0], mqtt.SharePrefix) {
		if len(levels) < 3 || levels[1] == "" || strings.ContainsAny(levels[1], "+#") || (len(levels) == 3 && levels[2] == "") {
			return false
		}
		levels = levels[2:]
	}
	for i, level := range levels {
		if strings.ContainsAny(level, "+#") && level != "+" && (level != "#" || i < len(levels)-1) {
			return false
		}
	}
	return filter != ""
}

// Bounds of subscriptions, in what filterCost says.
const (
	maxFilterLevels  = 64
	maxFilterCost    = 256 << 20 // of all sessions
	maxSessionFilter = 32 << 20  // of one
)

// filterCost is about what a subscription takes of memory when it shares no level with another, in bytes: mochi's index has a node for every level.
func filterCost(filter string) int {
	return 1024 + 640*(1+strings.Count(filter, "/")) + 2*len(filter)
}

// admits says whether a session may have another filter, beside those in the same SUBSCRIBE that cost more.
func (b *Broker) admits(s *session, filter string, more int) bool {
	cost := filterCost(filter) + more
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(filter, "/") < maxFilterLevels && s.filterCost+cost <= maxSessionFilter && b.filters.Load()+int64(cost) <= maxFilterCost
}
