package stream

import "strings"

// Topic prefixes of what the line takes in (contract, section 2).
const (
	TelemetryPrefix = "cidp/v1/telemetry/"
	ContextPrefix   = "cidp/v1/context/"
	VerdictPrefix   = "cidp/v1/verdicts/"
)

// TelemetryTopic names the topic of a sensor's readings.
func TelemetryTopic(site, asset, sensor string) string {
	return TelemetryPrefix + site + "/" + asset + "/" + sensor
}

// ContextTopic names the topic of an asset's context.
func ContextTopic(site, asset string) string { return ContextPrefix + site + "/" + asset }

// VerdictTopic names the topic of what a workshop found at a sensor's component.
func VerdictTopic(site, asset, sensor string) string {
	return VerdictPrefix + site + "/" + asset + "/" + sensor
}

// address is a parsed input topic. Sensor is empty for a context.
type address struct {
	site, asset, sensor string
}

// input is what a topic brings.
type input uint8

const (
	readings input = iota
	contexts
	findings
)

// parseTopic splits an input topic. reason is empty when the topic is well formed.
func parseTopic(topic string) (a address, what input, reason Reason, detail string) {
	rest, ok := strings.CutPrefix(topic, TelemetryPrefix)
	if !ok {
		if rest, ok = strings.CutPrefix(topic, ContextPrefix); ok {
			what = contexts
		} else if rest, ok = strings.CutPrefix(topic, VerdictPrefix); ok {
			what = findings
		} else {
			return a, what, UnknownTopic, "the topic is not an input of CIDP: " + TelemetryPrefix + "<site>/<asset>/<sensor>, " +
				ContextPrefix + "<site>/<asset> or " + VerdictPrefix + "<site>/<asset>/<sensor>"
		}
	}
	if a.site, rest, ok = strings.Cut(rest, "/"); !ok {
		return a, what, UnknownTopic, "the topic has too few levels"
	}
	if what != contexts {
		if a.asset, rest, ok = strings.Cut(rest, "/"); !ok {
			return a, what, UnknownTopic, "the topic has too few levels"
		}
		a.sensor = rest
	} else {
		a.asset = rest
	}
	if strings.Contains(rest, "/") {
		return a, what, UnknownTopic, "the topic has too many levels"
	}
	switch {
	case !ValidName(a.site):
		return a, what, BadName, "the site's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	case !ValidName(a.asset):
		return a, what, BadName, "the asset's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	case what != contexts && !ValidName(a.sensor):
		return a, what, BadName, "the sensor's name is not 1 to 64 characters of A-Z a-z 0-9 . _ -"
	}
	return a, what, "", ""
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
