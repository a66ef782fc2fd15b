-- Used refresh tokens are not kept: every token names its login. Databases made since have no such column.

SET LOCAL lock_timeout = '5s';
ALTER TABLE login_session DROP COLUMN IF EXISTS previous_hashes;
