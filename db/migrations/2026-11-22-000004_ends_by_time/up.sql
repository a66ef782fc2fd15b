-- What is dropped by age is found by age.

SET LOCAL lock_timeout = '5s';
CREATE INDEX alarm_ended_idx ON alarm (end_at) WHERE end_at IS NOT NULL;
CREATE INDEX audit_at_idx ON audit (at);
