//! Framing oddities, each named after what the device does.
