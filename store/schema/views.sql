-- The views. They are made anew whenever this text or the list of features changes.

DROP VIEW IF EXISTS kpi_asset_daily;
DROP VIEW IF EXISTS kpi_data_quality;
DROP VIEW IF EXISTS risk_now;
DROP VIEW IF EXISTS window_now;
DROP VIEW IF EXISTS telemetry;
DROP VIEW IF EXISTS context;
DROP VIEW IF EXISTS verdict_now;

-- key is ts_ms << 20 | sensor_id. near is what an index finds: of a row of "reading" its key, of a packed reading the first key of its row, which is less than 2048 ms before it.
-- WHERE near > (:from - 2048) << 20 AND near < :to << 20 AND ts_ms >= :from reads what lies between two times and little else; a condition on ts_ms alone reads everything.
-- CAST gives the packed ones the affinity of the columns of "reading": else SQLite would not look through the UNION ALL. The flag stands outside of it, so that count(*) never looks it up.
CREATE VIEW telemetry AS
SELECT r.key & 1048575 AS sensor_id,
       r.key >> 20 AS ts_ms,
       r.temp_m / 1000.0 AS temp_c,
       r.ambient_m / 1000.0 AS ambient_c,
       r.speed_m / 1000.0 AS speed_kmh,
       r.load_m / 1000.0 AS load_t,
       r.brake AS brake,
       r.seq AS seq,
       r.key AS key,
       CASE WHEN EXISTS (SELECT 1 FROM conflicted x WHERE x.key = r.key) THEN 3 -- two values for one time: neither feeds a window
            WHEN r.key >> 20 >= (SELECT s.evaluated_ms FROM sensor s WHERE s.sensor_id = r.key & 1048575) THEN 2
            ELSE COALESCE((SELECT f.flag FROM reading_flag f WHERE f.key = r.key), 1) END AS flag,
       r.near AS near
FROM (SELECT key, temp_m, ambient_m, speed_m, load_m, brake, seq, key AS near FROM reading
      UNION ALL
      SELECT CAST(((p.first >> 20) + json_extract(v.value, '$[0]')) << 20 | json_extract(v.value, '$[1]') AS INTEGER),
             CAST(json_extract(v.value, '$[2]') AS INTEGER), CAST(json_extract(v.value, '$[3]') AS INTEGER), CAST(json_extract(v.value, '$[4]') AS INTEGER),
             CAST(json_extract(v.value, '$[5]') AS INTEGER), CAST(json_extract(v.value, '$[6]') AS INTEGER), CAST(json_extract(v.value, '$[7]') AS INTEGER), p.first
      FROM reading_packed p, json_each(p.readings) v) r;

CREATE VIEW context AS
SELECT c.key & 1048575 AS asset_id,
       c.key >> 20 AS ts_ms,
       c.ambient_m / 1000.0 AS ambient_c,
       c.speed_m / 1000.0 AS speed_kmh,
       c.load_m / 1000.0 AS load_t,
       c.brake AS brake,
       c.key AS key -- ts_ms << 20 | asset_id
FROM context_reading c;

CREATE VIEW verdict_now AS
SELECT v.site, v.asset, v.sensor, v.ts_ms, v.revision, v.finding, v.since_ms, v.component, v.found_by, v.note, v.reference, v.recorded_ms
FROM verdict v
WHERE v.finding <> 'withdrawn'
  AND NOT EXISTS (SELECT 1 FROM verdict n WHERE n.site = v.site AND n.asset = v.asset AND n.sensor = v.sensor AND n.ts_ms = v.ts_ms AND n.revision > v.revision);

CREATE VIEW window_now AS
SELECT w.window_id, w.revision, w.sensor_id, a.site, a.asset, s.sensor, s.kind,
       w.start_ms, w.end_ms, w.n, w.expected, w.completeness, w.verdict, w.closed_by,
       /*features*/
       w.period_ms, w.last_ms, w.closed_ms,
       p.p_failure, p.level, p.source, p.rule_score, p.model_id, p.explanation, p.raw_score, p.scored_ms,
       q.reasons, q.detail, q.released_ms,
       substr(w.memory, 1, 1) IS x'68' AS hopping -- 1: it overlaps the windows before and after it, and counts in no KPI
FROM telemetry_window w
JOIN sensor s ON s.sensor_id = w.sensor_id
JOIN asset a ON a.asset_id = s.asset_id
LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
WHERE NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision);

CREATE VIEW risk_now AS
SELECT s.sensor_id, a.site, a.asset, s.sensor, s.kind,
       p.window_id, p.revision, p.start_ms AS window_start_ms, p.end_ms AS window_end_ms,
       p.p_failure, p.level, p.source, p.rule_score, p.model_id, p.explanation, p.raw_score, p.scored_ms,
       w.n, w.expected, w.completeness, w.mean_c
FROM sensor s
JOIN asset a ON a.asset_id = s.asset_id
JOIN ai_telemetry_predictions p
  ON p.window_id = (SELECT i.window_id FROM telemetry_window i
                    WHERE i.sensor_id = s.sensor_id AND i.start_ms <= s.scored_ms
                      AND EXISTS (SELECT 1 FROM ai_telemetry_predictions n WHERE n.window_id = i.window_id AND n.revision = i.revision)
                      AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = i.window_id AND n.revision > i.revision) ORDER BY i.start_ms DESC, i.revision DESC LIMIT 1)
 AND p.revision = (SELECT max(i.revision) FROM telemetry_window i WHERE i.window_id = p.window_id)
JOIN telemetry_window w ON w.window_id = p.window_id AND w.revision = p.revision;

-- The two below read every window, in the order of the key, which lies as the windows do: five to ten times as fast as window_now, which SQLite reads sensor by sensor.

CREATE VIEW kpi_asset_daily AS
SELECT a.site, a.asset,
       w.start_ms - w.start_ms % 86400000 AS day_ms,
       date(w.start_ms / 1000, 'unixepoch') AS day,
       count(*) AS windows,
       sum(w.verdict = 'valid') AS valid,
       sum(w.verdict = 'quarantined') AS quarantined,
       avg(w.completeness) AS completeness,
       avg(w.mean_c) AS mean_c,
       max(w.max_c) AS max_c,
       max(p.p_failure) AS p_failure_max,
       sum(COALESCE(p.level IN ('alarm', 'critical'), 0)) AS alarm_windows
FROM telemetry_window w
CROSS JOIN sensor s ON s.sensor_id = w.sensor_id -- CROSS: in this order
CROSS JOIN asset a ON a.asset_id = s.asset_id
LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
WHERE NOT substr(w.memory, 1, 1) IS x'68' -- hopping
  AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision)
GROUP BY a.site, a.asset, day_ms;

CREATE VIEW kpi_data_quality AS
SELECT a.site, a.asset, s.sensor, s.kind, s.period_ms, s.last_seen_ms,
       COALESCE(k.windows, 0) AS windows,
       COALESCE(k.quarantined, 0) AS quarantined,
       k.completeness, k.suspect_share,
       COALESCE(l.late, 0) AS late
FROM sensor s
JOIN asset a ON a.asset_id = s.asset_id
LEFT JOIN (SELECT sensor_id, count(*) AS windows, sum(verdict = 'quarantined') AS quarantined,
                  avg(completeness) AS completeness, avg(suspect_share) AS suspect_share
           FROM telemetry_window w
           WHERE NOT substr(w.memory, 1, 1) IS x'68'
             AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision)
           GROUP BY +sensor_id) k ON k.sensor_id = s.sensor_id
LEFT JOIN (SELECT sensor_id, count(*) AS late FROM late_reading GROUP BY sensor_id) l ON l.sensor_id = s.sensor_id;
