-- A login that one opaque value stands for, by a name of our own: what its clients call it, only their face knows.

SET LOCAL lock_timeout = '5s';
ALTER TABLE jsession RENAME TO opaque_session;
ALTER INDEX jsession_pkey RENAME TO opaque_session_pkey;
ALTER INDEX jsession_account_idx RENAME TO opaque_session_account_idx;
ALTER TABLE opaque_session RENAME CONSTRAINT jsession_account_id_fkey TO opaque_session_account_id_fkey;
COMMENT ON TABLE opaque_session IS 'Logins that one opaque value stands for: sessions of the CMSV6 face';
COMMENT ON COLUMN opaque_session.token_hash IS 'SHA-256 of that value';
