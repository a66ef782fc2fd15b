//! Terminals' signalling, positions and alarms.
