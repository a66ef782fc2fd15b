-- What happened to the nodes of a cluster, and which leader wrote last.

CREATE TABLE leadership (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL
);
INSERT INTO leadership (epoch) VALUES (0);
COMMENT ON TABLE leadership IS 'The highest epoch under which a leader wrote: what an older one still writes is refused';

CREATE TABLE node_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    node text NOT NULL,
    incarnation bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('joined', 'lost', 'left', 'draining', 'drained', 'undrained')),
    epoch bigint NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX node_event_at_idx ON node_event (at);
-- A node joins and is lost once in each of its lives, however often a leader says so.
CREATE UNIQUE INDEX node_event_once_idx ON node_event (node, incarnation, kind) WHERE kind IN ('joined', 'lost', 'left');
COMMENT ON COLUMN node_event.incarnation IS 'Which life of the node''s process';
COMMENT ON COLUMN node_event.epoch IS 'Whose word it is: the leader''s epoch';
