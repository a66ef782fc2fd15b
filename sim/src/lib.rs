//! Simulated terminals.
