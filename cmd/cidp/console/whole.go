package console

import "slices"

// A list or a map that is empty is [] or {} in JSON, never null, so that a reader needs no special case. The functions here see
// to it, in copies: what the source gave is not touched.

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func orEmptyMap(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

func wholeSummary(s Summary) Summary {
	s.Status.Reasons = orEmpty(s.Status.Reasons)
	s.Ledger.RefusedByReason = orEmptyMap(s.Ledger.RefusedByReason)
	s.Alerts = wholeAlerts(s.Alerts)
	s.Quarantine = wholeQuarantine(s.Quarantine)
	return s
}

func wholeQuarantine(q Quarantine) Quarantine {
	return Quarantine{orEmptyMap(q.WindowsByReason), orEmptyMap(q.MessagesByReason)}
}

func wholeAlerts(alerts []Alert) []Alert {
	out := orEmpty(slices.Clone(alerts))
	for i := range out {
		out[i].Explanation = orEmpty(out[i].Explanation)
	}
	return out
}

func wholeAsset(a Asset) Asset {
	a.Sensors = orEmpty(slices.Clone(a.Sensors))
	for i := range a.Sensors {
		a.Sensors[i].Reasons = orEmpty(a.Sensors[i].Reasons)
	}
	return a
}

func wholePage(p QuarantinePage) QuarantinePage {
	p.Quarantine = wholeQuarantine(p.Quarantine)
	p.Windows = orEmpty(slices.Clone(p.Windows))
	for i := range p.Windows {
		p.Windows[i].Reasons = orEmpty(p.Windows[i].Reasons)
	}
	p.Messages = orEmpty(p.Messages)
	p.Matching.Quarantine = wholeQuarantine(p.Matching.Quarantine)
	return p
}

func wholeDetail(d SensorDetail) SensorDetail {
	if d.Registry.Limits == nil {
		d.Registry.Limits = map[string]any{}
	}
	if d.Registry.From == nil {
		d.Registry.From = map[string]string{}
	}
	d.Windows = orEmpty(slices.Clone(d.Windows))
	for i := range d.Windows {
		d.Windows[i].Reasons = orEmpty(d.Windows[i].Reasons)
		d.Windows[i].Missing = orEmpty(d.Windows[i].Missing)
		d.Windows[i].Explanation = orEmpty(d.Windows[i].Explanation)
	}
	return d
}
