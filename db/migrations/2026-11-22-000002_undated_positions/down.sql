UPDATE latest_position SET at = coalesce(device_time, received_at) WHERE at IS NOT NULL;
COMMENT ON COLUMN latest_position.at IS 'Device time of the newest position, or received_at where it has none; null before the first';

ALTER TABLE position DETACH PARTITION position_undated;
INSERT INTO position_default SELECT * FROM position_undated;
DROP TABLE position_undated;
CREATE INDEX position_default_undated_idx ON position_default (terminal_id, received_at) WHERE NOT dated;
COMMENT ON TABLE position_default IS 'Reports without a possible time, ordered by received_at, and those of days without a partition';
