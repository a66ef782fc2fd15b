SET LOCAL lock_timeout = '5s';
DROP INDEX audit_at_idx;
DROP INDEX alarm_ended_idx;
