-- Nothing to bring back: the schema before has no such column either.
SELECT 1;
