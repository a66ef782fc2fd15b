SET LOCAL lock_timeout = '5s';
COMMENT ON COLUMN opaque_session.token_hash IS 'SHA-256 of the jsession value';
COMMENT ON TABLE opaque_session IS 'Sessions of the CMSV6 face';
ALTER TABLE opaque_session RENAME CONSTRAINT opaque_session_account_id_fkey TO jsession_account_id_fkey;
ALTER INDEX opaque_session_account_idx RENAME TO jsession_account_idx;
ALTER INDEX opaque_session_pkey RENAME TO jsession_pkey;
ALTER TABLE opaque_session RENAME TO jsession;
