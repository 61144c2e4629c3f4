package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// Risk is the newest prediction of a sensor.
type Risk struct {
	Site          string          `json:"site"`
	Asset         string          `json:"asset"`
	Sensor        string          `json:"sensor"`
	Kind          string          `json:"kind"`
	WindowStartMs int64           `json:"window_start_ms"`
	WindowEndMs   int64           `json:"window_end_ms"`
	Revision      int             `json:"revision"`
	PFailure      float64         `json:"p_failure"`
	Level         string          `json:"level"`
	Source        string          `json:"source"`
	RuleScore     float64         `json:"rule_score"`
	Model         string          `json:"model"`
	Explanation   json.RawMessage `json:"explanation"`
	RawScore      *float64        `json:"raw_score,omitempty"` // before calibration; nil: the model has none
	N             int             `json:"n"`
	Expected      int             `json:"expected"`
	Completeness  float64         `json:"completeness"`
}

// RiskFilter narrows Risks. An empty field means all; Limit 0 means 1000.
type RiskFilter struct {
	Site, Asset, Level string
	Limit              int
}

// orDefault gives a limit its default.
func orDefault(limit, otherwise int) int64 {
	if limit <= 0 {
		return int64(otherwise)
	}
	return int64(limit)
}

// Risks gives the newest prediction of each sensor, the worst first.
func (k *Console) Risks(ctx context.Context, f RiskFilter) (rows []Risk, err error) {
	rows = []Risk{}
	err = k.read(ctx, "risks", func(c *sqlite3.Conn) error {
		return query(c, `SELECT site, asset, sensor, kind, window_start_ms, window_end_ms, revision, p_failure, level, source, rule_score, model_id, explanation,
			raw_score, n, expected, completeness FROM risk_now WHERE (?1 = '' OR site = ?1) AND (?2 = '' OR asset = ?2) AND (?3 = '' OR level = ?3)
			ORDER BY CASE level WHEN 'critical' THEN 0 WHEN 'alarm' THEN 1 WHEN 'watch' THEN 2 ELSE 3 END, p_failure DESC, site, asset, sensor LIMIT ?4`,
			func(s *sqlite3.Stmt) error {
				rows = append(rows, Risk{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3), s.ColumnInt64(4), s.ColumnInt64(5),
					s.ColumnInt(6), s.ColumnFloat(7), s.ColumnText(8), s.ColumnText(9), s.ColumnFloat(10), s.ColumnText(11), rawJSON(s, 12),
					optional(s, 13), s.ColumnInt(14), s.ColumnInt(15), s.ColumnFloat(16)})
				return nil
			}, f.Site, f.Asset, f.Level, orDefault(f.Limit, 1000))
	})
	return rows, err
}

func rawJSON(s *sqlite3.Stmt, col int) json.RawMessage { return json.RawMessage(s.ColumnText(col)) }

// AlertRow is an alert as it stands.
type AlertRow struct {
	AlertID       string          `json:"alert_id"`
	Site          string          `json:"site"`
	Asset         string          `json:"asset"`
	Sensor        string          `json:"sensor"`
	State         string          `json:"state"`
	Severity      string          `json:"severity"`
	RaisedAtMs    int64           `json:"raised_at_ms"`
	UpdatedAtMs   int64           `json:"updated_at_ms"`
	PFailure      *float64        `json:"p_failure"`
	Value         *float64        `json:"value"`
	Rule          string          `json:"rule"`
	Reason        string          `json:"reason"`
	Explanation   json.RawMessage `json:"explanation"`
	Method        string          `json:"explanation_method"` // path, tree_shap, rule, or empty without an explanation
	WindowStartMs int64           `json:"window_start_ms"`
	WindowEndMs   int64           `json:"window_end_ms"`
	Model         string          `json:"model"`
}

// Alerts gives the alerts that moved last, open or cleared. Limit 0 means 100.
func (k *Console) Alerts(ctx context.Context, limit int) (rows []AlertRow, err error) {
	rows = []AlertRow{}
	err = k.read(ctx, "alerts", func(c *sqlite3.Conn) error {
		return query(c, `SELECT alert_id, site, asset, sensor, state, severity, raised_at_ms, updated_at_ms, p_failure, value, rule, reason, explanation,
			explanation_method, window_start_ms, window_end_ms, model_id FROM alert ORDER BY updated_at_ms DESC, alert_id LIMIT ?`, func(s *sqlite3.Stmt) error {
			rows = append(rows, AlertRow{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3), s.ColumnText(4), s.ColumnText(5),
				s.ColumnInt64(6), s.ColumnInt64(7), optional(s, 8), optional(s, 9), s.ColumnText(10), s.ColumnText(11), rawJSON(s, 12),
				s.ColumnText(13), s.ColumnInt64(14), s.ColumnInt64(15), s.ColumnText(16)})
			return nil
		}, orDefault(limit, 100))
	})
	return rows, err
}

// Outbox gives at most limit publications with ids in [first, last], in order.
func (k *Console) Outbox(ctx context.Context, first, last int64, limit int) (out []Publication, err error) {
	err = k.read(ctx, "outbox", func(c *sqlite3.Conn) error {
		return query(c, outboxRows+`WHERE o.outbox_id BETWEEN ? AND ? ORDER BY o.outbox_id LIMIT ?`, func(s *sqlite3.Stmt) error {
			o, err := publicationAt(s)
			out = append(out, o)
			return err
		}, first, last, int64(limit))
	})
	return out, err
}

// optional reads a REAL column, NULL as nil.
func optional(s *sqlite3.Stmt, col int) *float64 {
	if isNull(s, col) {
		return nil
	}
	v := s.ColumnFloat(col)
	return &v
}

// HistoryWindow is one closed window of a sensor's history. PFailure and Level are missing in a quarantined one.
type HistoryWindow struct {
	WindowID     int64           `json:"window_id"`
	StartMs      int64           `json:"start_ms"`
	EndMs        int64           `json:"end_ms"`
	Revision     int             `json:"revision"`
	N            int             `json:"n"`
	Expected     int             `json:"expected"`
	Completeness float64         `json:"completeness"`
	Verdict      string          `json:"verdict"`
	ClosedBy     string          `json:"closed_by"`
	MeanC        *float64        `json:"mean_c"`
	MaxC         *float64        `json:"max_c"`
	MinC         *float64        `json:"min_c"`
	AmbientC     *float64        `json:"ambient_mean_c"`
	PFailure     *float64        `json:"p_failure"`
	Level        string          `json:"level,omitempty"`
	Source       string          `json:"source,omitempty"`
	ModelID      string          `json:"model_id,omitempty"`
	Explanation  json.RawMessage `json:"explanation,omitempty"`
	Reasons      json.RawMessage `json:"reasons,omitempty"`
	Detail       string          `json:"detail,omitempty"`
}

// SensorHistory gives the newest windows of a sensor, the newest first. Limit 0 means 240. An unknown sensor has none.
func (k *Console) SensorHistory(ctx context.Context, site, asset, sensor string, limit int) (rows []HistoryWindow, err error) {
	rows = []HistoryWindow{}
	err = k.read(ctx, "sensor history", func(c *sqlite3.Conn) error {
		id, err := queryInt(c, `SELECT s.sensor_id FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
			WHERE a.site = ? AND a.asset = ? AND s.sensor = ?`, site, asset, sensor)
		if err != nil {
			return err
		}
		return query(c, `SELECT w.window_id, w.start_ms, w.end_ms, w.revision, w.n, w.expected, w.completeness, w.verdict, w.closed_by,
			w.mean_c, w.max_c, w.min_c, w.ambient_mean_c, p.p_failure, p.level, p.source, p.explanation, q.reasons, q.detail, p.model_id
			FROM telemetry_window w
			LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
			LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
			WHERE w.sensor_id = ?1 AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision)
			ORDER BY w.start_ms DESC LIMIT ?2`, func(s *sqlite3.Stmt) error {
			h := HistoryWindow{
				WindowID: s.ColumnInt64(0), StartMs: s.ColumnInt64(1), EndMs: s.ColumnInt64(2), Revision: s.ColumnInt(3),
				N: s.ColumnInt(4), Expected: s.ColumnInt(5), Completeness: s.ColumnFloat(6), Verdict: s.ColumnText(7), ClosedBy: s.ColumnText(8),
				MeanC: optional(s, 9), MaxC: optional(s, 10), MinC: optional(s, 11), AmbientC: optional(s, 12),
				PFailure: optional(s, 13), Level: s.ColumnText(14), Source: s.ColumnText(15), ModelID: s.ColumnText(19),
			}
			if !isNull(s, 16) {
				h.Explanation = rawJSON(s, 16)
			}
			if !isNull(s, 17) {
				h.Reasons, h.Detail = rawJSON(s, 17), s.ColumnText(18)
			}
			rows = append(rows, h)
			return nil
		}, id, orDefault(limit, 240))
	})
	return rows, err
}

// SensorInfo is what is known of a sensor beside its windows.
type SensorInfo struct {
	SensorID int64  `json:"sensor_id"`
	Kind     string `json:"kind"`
	PeriodMs int64  `json:"period_ms"` // 0 while not known
}

// Sensor finds a sensor by its names, nil when there is none.
func (k *Console) Sensor(ctx context.Context, site, asset, sensor string) (found *SensorInfo, err error) {
	err = k.read(ctx, "sensor", func(c *sqlite3.Conn) error {
		return query(c, `SELECT s.sensor_id, s.kind, s.period_ms FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
			WHERE a.site = ? AND a.asset = ? AND s.sensor = ?`, func(s *sqlite3.Stmt) error {
			found = &SensorInfo{s.ColumnInt64(0), s.ColumnText(1), s.ColumnInt64(2)}
			return nil
		}, site, asset, sensor)
	})
	return found, err
}

// NewestWindow is the newest window of a sensor with its prediction, where it has one.
type NewestWindow struct {
	SensorID       int64
	StartMs, EndMs int64
	Revision       int
	N, Expected    int
	Completeness   float64
	Verdict        string
	Reasons        []string
	MeanC          *float64
	PFailure       *float64
	Level, Source  string
}

// NewestWindows gives the newest window of every sensor that has one, by sensor id.
func (k *Console) NewestWindows(ctx context.Context) (rows []NewestWindow, err error) {
	err = k.read(ctx, "newest windows", func(c *sqlite3.Conn) error {
		return query(c, `SELECT w.sensor_id, w.start_ms, w.end_ms, w.revision, w.n, w.expected, w.completeness, w.verdict, q.reasons, w.mean_c,
			p.p_failure, p.level, p.source
			FROM sensor s
			JOIN telemetry_window w ON w.window_id = (SELECT i.window_id FROM telemetry_window i WHERE i.sensor_id = s.sensor_id ORDER BY i.start_ms DESC, i.revision DESC LIMIT 1)
			 AND w.revision = (SELECT max(i.revision) FROM telemetry_window i WHERE i.window_id = w.window_id)
			LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
			LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
			ORDER BY w.sensor_id`, func(s *sqlite3.Stmt) error {
			n := NewestWindow{
				SensorID: s.ColumnInt64(0), StartMs: s.ColumnInt64(1), EndMs: s.ColumnInt64(2), Revision: s.ColumnInt(3), N: s.ColumnInt(4),
				Expected: s.ColumnInt(5), Completeness: s.ColumnFloat(6), Verdict: s.ColumnText(7), MeanC: optional(s, 9),
				PFailure: optional(s, 10), Level: s.ColumnText(11), Source: s.ColumnText(12),
			}
			if !isNull(s, 8) {
				if err := json.Unmarshal([]byte(s.ColumnText(8)), &n.Reasons); err != nil {
					return fmt.Errorf("read reasons: %w", err)
				}
			}
			rows = append(rows, n)
			return nil
		})
	})
	return rows, err
}
