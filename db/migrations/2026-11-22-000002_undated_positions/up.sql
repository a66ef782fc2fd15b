-- Reports without a possible time get a partition of their own. The default one is locked by whoever makes or
-- drops a day, so that nothing that comes all the time may stand in it.

-- In the order of whoever stores, and before anything is looked at: what waits behind these locks waits a moment only.
SET LOCAL lock_timeout = '5s';
LOCK TABLE latest_position IN EXCLUSIVE MODE;
LOCK TABLE ONLY position IN SHARE UPDATE EXCLUSIVE MODE;
LOCK TABLE position_default IN ACCESS EXCLUSIVE MODE;

CREATE TABLE position_undated (LIKE position INCLUDING ALL);
WITH moved AS (DELETE FROM position_default WHERE device_time = '1970-01-01 00:00:00+00' RETURNING *)
    INSERT INTO position_undated SELECT * FROM moved;
ALTER TABLE position ATTACH PARTITION position_undated
    FOR VALUES FROM ('1970-01-01 00:00:00+00') TO ('1970-01-02 00:00:00+00');
DROP INDEX position_default_undated_idx;
CREATE INDEX position_undated_track_idx ON position_undated (terminal_id, received_at);
COMMENT ON TABLE position_undated IS 'Reports without a possible time, ordered by received_at';
COMMENT ON TABLE position_default IS 'Reports of days without a partition';

-- Which position is the latest: model::Recency. A report from the future is as recent as its arrival.
UPDATE latest_position SET at = least(device_time, received_at) WHERE at IS NOT NULL;
COMMENT ON COLUMN latest_position.at IS 'The earlier of its device time and its arrival; null before the first';
