-- Retention asks who still refers to a window or an alert: these answer without reading whole tables.

CREATE INDEX alert_event_window ON alert_event (window_id, revision);
CREATE INDEX alert_window ON alert (window_id);
CREATE INDEX ai_telemetry_predictions_hold ON ai_telemetry_predictions (hold_alert) WHERE hold_alert <> '';

-- A start, and the page's head, ask which alerts stand.
CREATE INDEX alert_standing ON alert (alert_id) WHERE state <> 'cleared';
