package stream

import "math"

// source finds or makes what a topic means. Refused topics are not kept: a stranger could name ever new ones.
func (w *Windower) source(topic string) *source {
	if src := w.ahead.take(topic); src != nil {
		return src
	}
	if src := w.sources.find(w.sources.hash(topic), topic); src != nil {
		return src
	}
	a, what, reason, detail := parseTopic(topic)
	src := &source{address: a, what: what, reason: reason, detail: detail}
	if reason == "" {
		src.asset = w.byName[[2]string{a.site, a.asset}]
	}
	return src
}

// assetOf finds or makes the asset that a topic names.
func (w *Windower) assetOf(src *source, ts int64) *assetState {
	if src.asset != nil {
		return src.asset
	}
	name := [2]string{src.site, src.address.asset}
	a := w.byName[name]
	if a == nil {
		a = &assetState{Asset: Asset{ID: int64(len(w.assets) + 1), Site: src.site, Name: src.address.asset, FirstSeen: ts}}
		w.addAsset(a)
		asset := a.Asset
		w.batch.Assets = append(w.batch.Assets, &asset)
	}
	src.asset = a
	return a
}

func (w *Windower) addAsset(a *assetState) {
	w.assets = append(w.assets, a)
	w.byName[[2]string{a.Site, a.Name}] = a
	a.newest = math.MinInt64 / 2
	a.hush.site = w.siteOf(a)
	a.step = w.base
	a.context.mark = math.MinInt64
	a.context.cut = math.MinInt64
}

func (w *Windower) newSensor(src *source, ts int64) *sensorState {
	a := w.assetOf(src, ts)
	s := &sensorState{Sensor: &Sensor{
		ID: int64(len(w.sensors) + 1), AssetID: a.ID, Site: a.Site, Asset: a.Name, Name: src.address.sensor, FirstSeen: ts,
	}}
	w.addSensor(s, a)
	w.batch.Sensors = append(w.batch.Sensors, s.Sensor)
	if s.period > 0 {
		w.batch.Changed = append(w.batch.Changed, SensorChange{Sensor: s.Sensor, PeriodMs: s.period})
	}
	src.sensor = s
	return s
}

// addSensor links a sensor, new or restored, to its asset, its topic and its configuration.
func (w *Windower) addSensor(s *sensorState, a *assetState) {
	w.configure(s)
	s.asset, s.id = a, s.ID
	s.mark, s.edge, s.frontier, s.last, s.made = math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64
	w.sensors = append(w.sensors, s)
	a.sensors = append(a.sensors, s)
	a.waits = waits{}
	w.setStep(a)
	s.source = &source{topic: TelemetryTopic(s.Site, s.Asset, s.Name), address: address{s.Site, s.Asset, s.Name}, sensor: s, asset: a}
	w.sources.add(s.source)
}
