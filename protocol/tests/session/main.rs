//! The two sides of a JT/T 808 link against each other, in virtual time: one file per behaviour.

mod authentication;
mod bad_input;
mod command;
mod hostile;
mod idle;
mod lent_code;
mod pair;
mod registration;
mod report;
mod resend;
mod retransmission;
mod split;
mod told;
