-- A person's authenticated time is a login; sessions are terminals'. An opaque login is one that a single opaque value
-- stands for: what its clients call that, only their face knows.

SET LOCAL lock_timeout = '5s';
ALTER TABLE login_session RENAME TO login;
ALTER INDEX login_session_pkey RENAME TO login_pkey;
ALTER INDEX login_session_account_idx RENAME TO login_account_idx;
ALTER TABLE login RENAME CONSTRAINT login_session_token_key TO login_token_key;
ALTER TABLE login RENAME CONSTRAINT login_session_account_id_fkey TO login_account_id_fkey;
ALTER TABLE jsession RENAME TO opaque_login;
ALTER INDEX jsession_pkey RENAME TO opaque_login_pkey;
ALTER INDEX jsession_account_idx RENAME TO opaque_login_account_idx;
ALTER TABLE opaque_login RENAME CONSTRAINT jsession_account_id_fkey TO opaque_login_account_id_fkey;
COMMENT ON TABLE opaque_login IS 'Logins that one opaque value stands for: those of the CMSV6 face';
COMMENT ON COLUMN opaque_login.token_hash IS 'SHA-256 of that value';
