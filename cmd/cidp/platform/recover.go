package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// recover gives the windower, the holds and the board back what the warehouse knows.
func (p *Platform) recover(rec *store.Recovery) (err error) {
	l := p.line
	past := &patientPast{Past: p.past, ctx: p.ctx, status: p.status, log: p.cfg.Log}
	l.past = past
	if l.windower, err = stream.NewWindower(p.config.Load().stream, past, l.judge); err != nil {
		return err
	}
	l.commitID = rec.LastCommit
	for _, a := range rec.Assets {
		from, ok := rec.ContextsFrom[a.ID]
		if !ok {
			from = math.MinInt64 // it has no context yet
		}
		if err := l.windower.RestoreAsset(*a, from); err != nil {
			return err
		}
	}
	for _, s := range rec.Sensors {
		if h, ok := rec.Holds[s.ID]; ok {
			l.holds.set(s.ID, h)
		}
		w := rec.Windows[s.ID]
		if err := l.windower.RestoreSensor(*s, w.End, w.Memory); err != nil {
			return err
		}
		if err := l.windower.RestorePeriod(s.ID, rec.Periods[s.ID]); err != nil {
			return err
		}
	}
	for f, err := range rec.Feed() {
		p.cfg.Step(StepRecover)
		if err == nil && f.SensorID != 0 {
			err = l.windower.RestoreReading(f.SensorID, f.Reading, f.Conflicted)
		} else if err == nil {
			err = l.windower.RestoreContext(f.AssetID, stream.Context{TS: f.TS, Conditions: f.Conditions}, f.Conflicted)
		}
		if err != nil {
			return fmt.Errorf("recover open windows: %w", err)
		}
	}
	for _, c := range rec.Closed {
		if err := l.windower.RestoreClosed(c.SensorID, c.Start, c.End, c.MeanC, c.Valid, c.Memory); err != nil {
			return err
		}
	}
	if err := l.recallQuality(rec, p.cfg.Stream.SilentAfter); err != nil {
		return err
	}
	l.recordStart(rec.ConfigDigest, p.cfg.SensorsFile)
	l.windower.Settle(0, time.Now().UnixMilli())
	return p.board.restore(context.Background(), rec, p.Warehouse())
}

// standing lays out the retained messages of before, which the broker does not keep. History stays untold.
func (p *Platform) standing(rec *store.Recovery) ([]store.Publication, error) {
	risks, err := p.Warehouse().Risks(context.Background(), store.RiskFilter{Limit: math.MaxInt32})
	if err != nil {
		return nil, err
	}
	oldest := int64(math.MinInt64)
	if h := p.cfg.Stream.HistoryAfter; h > 0 {
		oldest = time.Now().Add(-h).UnixMilli()
	}
	withheld := map[string]bool{}
	for i := range rec.Unsent {
		withheld[rec.Unsent[i].Topic] = withheld[rec.Unsent[i].Topic] || p.line.hold.on.Load() && rec.Unsent[i].Retain
	}
	var out []store.Publication
	for _, r := range risks {
		if r.WindowEndMs < oldest {
			continue
		}
		s := &stream.Sensor{Site: r.Site, Asset: r.Asset, Name: r.Sensor}
		w, pred, err := restoreRisk(s, &r)
		if err != nil {
			return nil, err
		}
		if withheld[sensorTopic(riskPrefix, s)] {
			continue
		}
		out = append(out, store.Publication{Topic: sensorTopic(riskPrefix, s), Payload: model.AppendRisk(nil, w, pred), Retain: true})
	}
	for i := range rec.Alerts {
		a := &rec.Alerts[i]
		if a.End >= oldest || a.Rule == model.RuleSilence { // who is silent stays so
			p.line.note(placeOfAlert(rec, a), a)
		}
	}
	for topic, all := range p.line.shown {
		if withheld[topic] {
			continue
		}
		out = append(out, store.Publication{Topic: topic, Payload: foremost(all).payload, Retain: true})
	}
	return out, nil
}

// restoreRisk rebuilds what the risk's payload is made of.
func restoreRisk(s *stream.Sensor, r *store.Risk) (*stream.Window, *model.Prediction, error) {
	level, err := model.ParseLevel(r.Level)
	if err != nil {
		return nil, nil, err
	}
	p := &model.Prediction{Revision: r.Revision, Start: r.WindowStartMs, End: r.WindowEndMs, PFailure: r.PFailure, Level: level,
		Source: r.Source, RuleScore: r.RuleScore, ModelID: r.Model, Score: r.RawScore}
	if err := json.Unmarshal(r.Explanation, &p.Explanation); err != nil {
		return nil, nil, fmt.Errorf("read explanation: %w", err)
	}
	w := &stream.Window{Sensor: s, Start: r.WindowStartMs, End: r.WindowEndMs, Revision: r.Revision, N: r.N, Expected: r.Expected, Completeness: r.Completeness}
	return w, p, nil
}
