DROP TABLE node_event;
DROP TABLE leadership;
