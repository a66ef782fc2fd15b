//! Texts from people and devices, made fit to be stored.
