-- How an alert's explanation was made: path (path contributions), tree_shap (exact Shapley values), rule (what the strongest rule looked at, where no forest is live), '' where there is none. Those of predictions are never tree_shap.
ALTER TABLE alert ADD COLUMN explanation_method TEXT NOT NULL DEFAULT '';
UPDATE alert SET explanation_method = 'path' WHERE explanation <> '[]';

-- What the forest said before its calibration, which the explanation adds up to; NULL: the model is not calibrated, and p_failure is it.
ALTER TABLE alert ADD COLUMN raw_score REAL;
ALTER TABLE ai_telemetry_predictions ADD COLUMN raw_score REAL;
