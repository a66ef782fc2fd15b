//! Video in, video out.
