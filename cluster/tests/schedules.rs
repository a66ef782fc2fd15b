//! Leases and leader over random schedules: candidates on clocks of their own, an etcd on another, and between them a
//! network that loses, delays and reorders; processes crash, freeze, leave, start twice under one name; etcd goes away.
//!
//! At every simulated instant:
//! - who believes to lead holds the leader's key in etcd, made by the epoch that it believes in; so no two do. Every
//!   clock, etcd's too, runs within 1 % of true time and never stands still; nobody but nodes deletes the leader's key.
//! - a fence that has let an order in lets none in of a lower epoch, and what it refuses is older than what it has seen;
//!   also an order that a leader had in hand when it was frozen, sent after it thawed.
//! - only a life that was told to leave is marked as having left; one that crashes, lapses or is replaced is not.
//!
//! Within a bound after the last fault one node leads and each name has one process, a member.
//!
//! `MOTORCADE_SEED=<seed>` runs one schedule again and prints what happens in it.

mod leadership;
mod simulation;

use leadership::{OFF_PPM, Sums, World, add};
use simulation::schedules::{seeds, try_schedules};

const SCHEDULES: u64 = 100_000;

#[test]
fn one_leader_and_no_old_orders_in_any_schedule() {
    let sums = try_schedules(SCHEDULES, |seed, is_told| World::run(seed, OFF_PPM, is_told), add);
    println!("{sums:?}");
}

/// The same invariants over clocks that run wilder than a node allows for: they can break, and a schedule with each of
/// the faults is among few.
#[test]
fn what_is_assumed_of_clocks_is_needed() {
    let (_, broken) = seeds(0, 20_000, &|seed, is_told| World::run(seed, 5 * OFF_PPM, is_told), &add)
        .expect_err("two leaders by clocks that are 5 % off");
    assert!(broken.contains("believes to lead"), "{broken}");
    let sums = seeds(0, 1_000, &|seed, is_told| World::run(seed, OFF_PPM, is_told), &add).expect("holds");
    let Sums { events: _, elections, refused, refused_after_thaw, replaced, left } = sums;
    assert!(elections > 1_000 && refused > 0 && refused_after_thaw > 0 && replaced > 0 && left > 0);
}
