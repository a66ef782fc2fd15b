//! Running many random schedules on all processors, and one again by its seed.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Random;

/// What broke in a schedule.
pub type Broken = String;

/// Tries `count` schedules. Prints the seed of the first one; each is told the seed that it is made of.
///
/// `MOTORCADE_SEED=<seed>` tries that one schedule alone; `MOTORCADE_SCHEDULES=<count>` another number of them.
///
/// # Panics
/// Where one breaks, with its seed; it has been run again by then with `is_told` set, to print what happens in it.
pub fn try_schedules<T: Default + Send>(
    count: u64,
    schedule: impl Fn(u64, bool) -> Result<T, Broken> + Sync,
    add: impl Fn(&mut T, T) + Sync,
) -> T {
    let number = |name: &str| -> Option<u64> {
        env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    if let Some(seed) = number("MOTORCADE_SEED") {
        println!("seed: {seed}");
        return schedule(seed, true).unwrap_or_else(|broken| panic!("{broken}"));
    }
    let count = number("MOTORCADE_SCHEDULES").unwrap_or(count);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    // Below 2^32, so that a seed is quickly typed.
    let first = Random::of(u64::from(clock.subsec_nanos()) ^ clock.as_secs()).next() >> 32;
    println!("seed: {first} and the {} after it", count - 1);
    match seeds(first, count, &schedule, &add) {
        Ok(sum) => sum,
        Err((seed, broken)) => {
            let again = schedule(seed, true).err();
            assert_eq!(again.as_ref(), Some(&broken), "a schedule goes the same way every time");
            panic!("{broken}\nagain: MOTORCADE_SEED={seed}");
        }
    }
}

/// Tries the schedules of `count` seeds from `first` on; gives the lowest of the seeds that broke, as far as they came.
pub fn seeds<T: Default + Send>(
    first: u64,
    count: u64,
    schedule: &(impl Fn(u64, bool) -> Result<T, Broken> + Sync),
    add: &(impl Fn(&mut T, T) + Sync),
) -> Result<T, (u64, Broken)> {
    let next = AtomicU64::new(first);
    let is_broken = AtomicBool::new(false);
    let sum = Mutex::new(Ok(T::default()));
    let one_processor = || {
        let mut own = T::default();
        while !is_broken.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            match schedule(seed, false) {
                Ok(result) => add(&mut own, result),
                Err(broken) => {
                    is_broken.store(true, Ordering::Relaxed);
                    let mut sum = sum.lock().expect("nobody panics");
                    if sum.as_ref().err().is_none_or(|(earlier, _)| seed < *earlier) {
                        *sum = Err((seed, broken));
                    }
                    return;
                }
            }
        }
        if let Ok(sum) = sum.lock().expect("nobody panics").as_mut() {
            add(sum, own);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(one_processor);
        }
    });
    sum.into_inner().expect("nobody panics")
}
