package model

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/camrail/cidp/stream"
)

// Rules of alerts that no score makes. They are persisted: added to, never changed.
const (
	RuleSilence        = "silence"         // of a sensor, an asset or a site: nothing of it is accepted any more
	RuleFailsafe       = "failsafe"        // of an asset: too many of its last windows are quarantined, and none of its windows is scored
	RuleQuarantinedHot = "quarantined_hot" // of a sensor: its last good readings were hot, and its windows are quarantined
)

// Names that stand in place of the narrower ones in an alert of a whole asset or site, in tables, topics and payloads.
const (
	WholeAsset = "_asset" // the sensor of an asset's alert
	WholeSite  = "_site"  // the asset and the sensor of a site's alert
)

// Place is what an alert without a sensor is about.
type Place struct{ Site, Asset, Sensor string }

// AssetPlace is a whole asset, SitePlace a whole site.
func AssetPlace(site, asset string) Place { return Place{site, asset, WholeAsset} }

// SitePlace is a whole site.
func SitePlace(site string) Place { return Place{site, WholeSite, WholeSite} }

// newAlert begins an alert with its first transition. at is when, event time or wall clock, ms.
func newAlert(rule string, sensorID int64, p Place, severity Level, at int64, reason string) (Alert, Transition) {
	a := Alert{
		ID: nameHash("alert", rule, p.Site, p.Asset, p.Sensor, strconv.FormatInt(at, 10)), SensorID: sensorID, State: Active, Severity: severity,
		RaisedAt: at, UpdatedAt: at, PFailure: math.NaN(), Value: math.NaN(), Rule: rule, Reason: reason, Start: at, End: at,
	}
	if sensorID == 0 {
		a.Place = p
	}
	return a, Transition{AlertID: a.ID, SensorID: sensorID, At: at, Kind: KindRaised, From: Normal, To: severity, State: Active, Cause: reason, Actor: ActorLine}
}

// clearAlert ends an alert.
func clearAlert(a Alert, at int64, reason string) (Alert, Transition) {
	at = max(at, a.UpdatedAt) // a clock may have been set back
	t := Transition{AlertID: a.ID, SensorID: a.SensorID, At: at, Kind: KindCleared, From: a.Severity, To: Normal, State: Cleared, Cause: reason, Actor: ActorLine}
	a.State, a.UpdatedAt, a.Reason = Cleared, at, reason
	return a, t
}

// SilencePlace is whom a silence is about.
func SilencePlace(e *stream.Silence) Place {
	switch e.Scope {
	case stream.OfSite:
		return SitePlace(e.Site)
	case stream.OfAsset:
		return AssetPlace(e.Site, e.Asset)
	}
	return Place{e.Site, e.Asset, e.Sensor}
}

// RaiseSilence makes the alert of somebody that fell silent: watch for a sensor and an asset, which may be parked, alarm for a whole site. Its times are wall clock, but for the start of its
// span, which is the event time of the last reading.
func RaiseSilence(e *stream.Silence) (Alert, Transition) {
	severity, reason := Watch, "no reading"
	switch e.Scope {
	case stream.OfAsset:
		reason = fmt.Sprintf("no reading of any of the asset's %d sensors", e.Members)
	case stream.OfSite:
		severity, reason = Alarm, fmt.Sprintf("no reading of any of the site's %d sensors", e.Members)
	}
	reason += fmt.Sprintf(" for %s, limit %s", whole(e.For), whole(e.Limit))
	if e.Last != 0 {
		reason += "; the last one is of " + time.UnixMilli(e.Last).UTC().Format(timeLayout)
	}
	a, t := newAlert(RuleSilence, e.SensorID, SilencePlace(e), severity, e.At, reason)
	if e.Last != 0 {
		a.Start = min(e.Last, e.At)
	}
	return a, t
}

// ClearSilence ends it.
func ClearSilence(a Alert, e *stream.Silence) (Alert, Transition) {
	reason := fmt.Sprintf("readings again for %s, limit %s", whole(e.For), whole(e.Limit))
	if e.Taken {
		reason = "taken over: more than it is silent, and that is told as one"
	}
	return clearAlert(a, e.At, reason)
}

// DropSilence ends the alert of a silence that nobody watches for any more.
func DropSilence(a Alert, at int64) (Alert, Transition) {
	return clearAlert(a, at, "silence is not watched for any more")
}

// whole writes a time to the second, as people do.
func whole(d time.Duration) string {
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.Round(time.Millisecond).String()
}

// RaiseFailsafe makes the alert of an asset whose fail-safe opened. Its times are event time.
func RaiseFailsafe(f *stream.Failsafe) (Alert, Transition) {
	reason := fmt.Sprintf("%d of the asset's last %d windows are quarantined, limit %.0f %%: none of its windows is scored until that is at most %.0f %%",
		f.Quarantined, f.Windows, f.Limit*100, f.Limit*50)
	return newAlert(RuleFailsafe, 0, AssetPlace(f.Site, f.Asset), Alarm, f.At, reason)
}

// ClearFailsafe ends it.
func ClearFailsafe(a Alert, f *stream.Failsafe) (Alert, Transition) {
	a.End = max(a.End, f.At)
	if f.Limit == 0 {
		return clearAlert(a, f.At, "the fail-safe was switched off")
	}
	return clearAlert(a, f.At, fmt.Sprintf("%d of the asset's last %d windows are quarantined, at most %.0f %%: its windows are scored again",
		f.Quarantined, f.Windows, f.Limit*50))
}
