package stream

import "strings"

// Topic prefixes of what the line takes in (contract, section 2).
const (
	TelemetryPrefix = "cidp/v1/telemetry/"
	ContextPrefix   = "cidp/v1/context/"
)

// TelemetryTopic names the topic of a sensor's readings.
func TelemetryTopic(site, asset, sensor string) string {
	return TelemetryPrefix + site + "/" + asset + "/" + sensor
}

// ContextTopic names the topic of an asset's context.
func ContextTopic(site, asset string) string { return ContextPrefix + site + "/" + asset }

// address is a parsed input topic. Sensor is empty for a context.
type address struct {
	site, asset, sensor string
}

// parseTopic splits an input topic. reason is empty when the topic is well formed.
func parseTopic(topic string) (a address, context bool, reason Reason, detail string) {
	rest, telemetry := strings.CutPrefix(topic, TelemetryPrefix)
	if !telemetry {
		if rest, context = strings.CutPrefix(topic, ContextPrefix); !context {
			return a, false, UnknownTopic, "the topic is not an input of CIDP: " + TelemetryPrefix + "<site>/<asset>/<sensor> or " + ContextPrefix + "<site>/<asset>"
		}
	}
	var ok bool
	if a.site, rest, ok = strings.Cut(rest, "/"); !ok {
		return a, context, UnknownTopic, "the topic has too few levels"
	}
	if telemetry {
		if a.asset, rest, ok = strings.Cut(rest, "/"); !ok {
			return a, context, UnknownTopic, "the topic has too few levels"
		}
		a.sensor = rest
	} else {
		a.asset = rest
	}
	if strings.Contains(rest, "/") {
		return a, context, UnknownTopic, "the topic has too many levels"
	}
	switch {
	case !ValidName(a.site):
		return a, context, BadName, "the site's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	case !ValidName(a.asset):
		return a, context, BadName, "the asset's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	case telemetry && !ValidName(a.sensor):
		return a, context, BadName, "the sensor's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	}
	return a, context, "", ""
}

// ValidName says whether a site, asset or sensor may be called so: 1 to 64 characters of A-Z a-z 0-9 . _ -
func ValidName(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
