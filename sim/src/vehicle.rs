//! One simulated vehicle: where it is at a moment, and the report that its terminal makes of that.

use chrono::{DateTime, Datelike, Timelike, Utc};
use protocol::jt808::terminal::Location;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Settings;
use crate::route::Route;

/// The vendor item in which every report carries the terminal's index and the report's number, each a DWORD.
pub const SEQUENCE_ITEM: u8 = 0xf9;
/// The alarm bits that come and go: overspeed, fatigue, undervoltage, power lost. All of them last as long as their
/// condition does (JT/T 808 table of alarm bits), so each change is one edge.
pub const ALARM_BITS: [u8; 4] = [1, 2, 7, 8];

const ACC_ON: u32 = 1;
const LOCATED: u32 = 1 << 1;
const BEIJING_S: i64 = 8 * 3600;

/// A vehicle on its road.
#[derive(Debug)]
pub(crate) struct Vehicle {
    index: u32,
    route: &'static Route,
    start: DateTime<Utc>,
    offset_m: f64,
    speed_kmh: f64,
    alarm_period_s: u32,
    poison_permille: u32,
    rng: StdRng,
    sequence: u32,
    alarm_bits: u32,
}

/// One report, ready to be given to a terminal session.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) sequence: u32,
    pub(crate) location: Location,
    pub(crate) time: DateTime<Utc>,
    pub(crate) poison: bool,
    /// Alarm bits that changed since the report before.
    pub(crate) changed: u32,
}

impl Vehicle {
    pub(crate) fn new(index: u32, start: DateTime<Utc>, settings: &Settings) -> Self {
        let mut rng = StdRng::seed_from_u64(settings.seed ^ u64::from(index) << 32);
        let routes = Route::all();
        let route = &routes[index as usize % routes.len()];
        Self {
            index,
            route,
            start,
            offset_m: rng.random_range(0.0..20_000.0),
            speed_kmh: route.limit_kmh * rng.random_range(0.7..1.0),
            alarm_period_s: settings.alarm_period_s,
            poison_permille: settings.poison_permille,
            rng,
            sequence: 0,
            alarm_bits: 0,
        }
    }

    /// The next report, made at `now`.
    pub(crate) fn report(&mut self, now: DateTime<Utc>) -> Made {
        let alarm = self.alarms_at(now);
        let changed = alarm ^ self.alarm_bits;
        self.alarm_bits = alarm;
        // An edge keeps its true time, or nobody could say afterwards when it was.
        let poison = changed == 0 && self.rng.random_range(0..1_000) < self.poison_permille;
        let time = if poison { self.poison_time(now) } else { bcd(now) };
        let sequence = self.sequence;
        self.sequence += 1;
        let mut location = self.location(now);
        location.alarm = alarm;
        location.time = time;
        let number = [self.index.to_be_bytes(), sequence.to_be_bytes()].concat();
        location.items.push((SEQUENCE_ITEM, number));
        Made { sequence, location, time: now, poison, changed }
    }

    /// Where it is, without making a report.
    pub(crate) fn location(&self, now: DateTime<Utc>) -> Location {
        let seconds = (now - self.start).num_milliseconds() as f64 / 1_000.0;
        let metres = self.offset_m + seconds * self.speed_kmh / 3.6;
        let place = self.route.place_at(metres);
        // A little slower and faster, so that the speeds of a track are not one straight line.
        let speed_kmh = self.speed_kmh * (1.0 + 0.05 * (seconds / 7.0).sin());
        let mileage_x10 = (metres / 100.0) as u32;
        Location {
            alarm: 0,
            status: ACC_ON | LOCATED,
            latitude_e6: (place.latitude * 1e6) as i32,
            longitude_e6: (place.longitude * 1e6) as i32,
            altitude_m: 20 + (self.index % 30) as i16,
            speed_x10: (speed_kmh * 10.0) as u16,
            direction_deg: place.direction_deg,
            time: bcd(now),
            items: vec![(0x01, mileage_x10.to_be_bytes().to_vec()), (0x30, vec![28]), (0x31, vec![14])],
        }
    }

    /// Conditions follow the second of the clock, so that all reports of one second agree: the time of a report has
    /// no finer resolution, and an edge within a second could not be put in order.
    fn alarms_at(&self, now: DateTime<Utc>) -> u32 {
        if self.alarm_period_s == 0 {
            return 0;
        }
        let period = i64::from(self.alarm_period_s);
        ALARM_BITS
            .into_iter()
            .zip(0i64..)
            .filter(|(_, place)| {
                let phase = i64::from(self.index) * 3 + place * 7;
                (now.timestamp() + phase).div_euclid(period) % 2 == 1
            })
            .fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    fn poison_time(&mut self, now: DateTime<Utc>) -> [u8; 6] {
        match self.rng.random_range(0..5) {
            0 => [0; 6],
            1 => [0xff; 6],
            2 => [0x08, 0x01, 0x01, 0x00, 0x00, 0x00],
            3 => bcd(now + chrono::TimeDelta::days(400)),
            _ => [0x26, 0x13, 0x32, 0x25, 0x61, 0x61],
        }
    }
}

/// YY MM DD hh mm ss of `time` in GMT+8.
pub(crate) fn bcd(time: DateTime<Utc>) -> [u8; 6] {
    let time = time.naive_utc() + chrono::TimeDelta::seconds(BEIJING_S);
    let fields =
        [(time.year() % 100) as u32, time.month(), time.day(), time.hour(), time.minute(), time.second()];
    fields.map(|field| (((field / 10) << 4) | (field % 10)) as u8)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn settings() -> Settings {
        Settings { alarm_period_s: 4, poison_permille: 100, ..Settings::default() }
    }

    #[test]
    fn the_same_seed_makes_the_same_reports() {
        let start = DateTime::from_timestamp(1_795_321_800, 0).unwrap();
        let run = || {
            let mut vehicle = Vehicle::new(3, start, &settings());
            (0..500)
                .map(|n| vehicle.report(start + TimeDelta::milliseconds(100 * n)).location.encode())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn edges_come_with_the_first_report_of_a_second_and_never_with_a_poison_time() {
        let start = DateTime::from_timestamp(1_795_321_800, 0).unwrap();
        let mut vehicle = Vehicle::new(3, start, &settings());
        let (mut edges, mut poison) = (0, 0);
        for n in 0..1_000 {
            let made = vehicle.report(start + TimeDelta::milliseconds(100 * n));
            assert_eq!(made.sequence as i64, n);
            if made.changed != 0 && n > 0 {
                assert_eq!(n % 10, 0);
                assert!(!made.poison);
                edges += made.changed.count_ones();
            }
            poison += u32::from(made.poison);
        }
        assert!((90..=104).contains(&edges), "{edges} edges of 4 conditions in 100 s, 4 s each");
        assert!((50..=150).contains(&poison), "{poison} poison times");
    }

    #[test]
    fn times_are_in_gmt_plus_8() {
        let time = DateTime::from_timestamp(1_795_321_845, 0).unwrap();
        assert_eq!(bcd(time), [0x26, 0x11, 0x22, 0x12, 0x30, 0x45]);
    }
}
