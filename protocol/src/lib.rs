//! Bytes to messages and back: JT/T 808, JT/T 1078, media containers.
//!
//! Sans-I/O: no sockets, no clocks, no tasks; time comes in as an argument. Knows no vehicles, no SQL.
//! Device input never panics here: every read goes through [`reader`], the one module that indexes.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod aac;
pub mod adpcm;
pub mod flv;
pub mod fmp4;
pub mod g711;
pub mod jt1078;
pub mod jt808;
pub mod media;
pub mod mpegts;
pub mod nal;
pub mod reader;
