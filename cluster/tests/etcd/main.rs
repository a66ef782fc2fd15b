//! Nodes and a real etcd: joining, leading, and what goes wrong with either.

mod node;
mod server;

mod away;
mod compaction;
mod leader;
mod member;
mod reach;
