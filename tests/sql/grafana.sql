-- What Grafana's PostgreSQL data source asks: its health check, its query builder, and panels with their macros
-- filled in. `holds:` is what the answer must contain.

-- holds: 1
SELECT 1;

-- holds: 16
SELECT current_setting('server_version_num')::int/100 as version;

SHOW server_version;

-- holds: incident_versions
SELECT CASE WHEN quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s) THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental') ORDER BY 1;

-- holds: severity
SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns WHERE quote_ident(table_name) = 'incidents';

-- holds: incidents
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public';

SELECT extversion FROM pg_extension WHERE extname = 'timescaledb';

-- holds: metric
SELECT created AS "time", host AS metric, severity AS value FROM incidents WHERE created BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-02T00:00:00Z' ORDER BY 1 LIMIT 10;

-- holds: time
SELECT floor(extract(epoch from created)/3600)*3600 AS "time", count(*) AS value FROM incidents WHERE created BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-02T00:00:00Z' GROUP BY 1 ORDER BY 1;

-- holds: 200
SELECT count(*) FROM (SELECT id FROM incidents LIMIT 1000) AS panel;
