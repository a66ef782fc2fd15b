-- In the order of whoever stores, and before anything is looked at: what waits behind these locks waits a moment only.
SET LOCAL lock_timeout = '5s';
LOCK TABLE latest_position IN EXCLUSIVE MODE;
LOCK TABLE ONLY position IN ACCESS EXCLUSIVE MODE;
LOCK TABLE position_default IN ACCESS EXCLUSIVE MODE;

UPDATE latest_position SET at = coalesce(device_time, received_at) WHERE at IS NOT NULL;
COMMENT ON COLUMN latest_position.at IS 'Device time of the newest position, or received_at where it has none; null before the first';

ALTER TABLE position DETACH PARTITION position_undated;
INSERT INTO position_default SELECT * FROM position_undated;
DROP TABLE position_undated;
CREATE INDEX position_default_undated_idx ON position_default (terminal_id, received_at) WHERE NOT dated;
COMMENT ON TABLE position_default IS 'Reports without a possible time, ordered by received_at, and those of days without a partition';
