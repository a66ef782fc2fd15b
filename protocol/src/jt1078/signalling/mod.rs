//! Bodies of the JT/T 1078-2016 messages that travel inside JT/T 808 frames (section 5).
