//! Days of positions: one partition for each UTC day of device time.
