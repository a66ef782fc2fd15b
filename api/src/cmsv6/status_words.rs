//! The status words s1 to s4 out of what a JT/T 808 terminal reports: alarm word, video alarm word, status
//! word. Bits as the "new protocol" variant has them (marked by s2 bits 12-13 = 01).

use model::{AlarmSet, Position};

/// s1 to s4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusWords {
    pub(super) s1: i32,
    pub(super) s2: i32,
    pub(super) s3: i32,
    pub(super) s4: i32,
}

/// Alarm bit (808 alarm word, table 24) to bit of s4.
const ALARM_TO_S4: [(u8, u8); 23] = [
    (0, 3),   // emergency
    (2, 5),   // fatigue
    (3, 6),   // dangerous driving
    (4, 7),   // GNSS fault
    (5, 8),   // antenna open
    (6, 9),   // antenna short
    (9, 10),  // display
    (10, 11), // TTS
    (11, 12), // camera
    (13, 0),  // overspeed warning
    (14, 1),  // fatigue warning
    (18, 13), // day's driving limit
    (19, 14), // parked too long
    (20, 15), // area crossed
    (21, 16), // route crossed
    (22, 17), // section time
    (23, 18), // off route
    (24, 19), // VSS
    (25, 20), // fuel
    (26, 21), // stolen
    (27, 22), // illegal ignition
    (28, 23), // illegal move
    (29, 24), // collision, rollover
];

/// Alarm bit to bit of s2.
const ALARM_TO_S2: [(u8, u8); 8] = [
    (7, 15), // under-voltage
    (8, 16), // main power lost
    (32, 0), // video lost
    (33, 1), // video covered
    (34, 2), // storage fault
    (35, 3), // other video fault
    (37, 4), // abnormal driving
    (38, 5), // alarm recording full
];

/// Status bit (808 status word, table 25) to bit of s2.
const STATUS_TO_S2: [(u8, u8); 5] = [
    (4, 20),  // out of service
    (5, 21),  // coordinates encrypted
    (10, 22), // oil cut
    (11, 23), // circuit cut
    (12, 24), // doors locked
];

/// Status bit to bit of s3.
const STATUS_TO_S3: [(u8, u8); 9] = [
    (13, 21), // door 1
    (14, 22), // door 2
    (15, 23), // door 3
    (16, 24), // door 4
    (17, 25), // door 5
    (18, 26), // GPS used
    (19, 27), // BeiDou used
    (20, 28), // GLONASS used
    (21, 29), // Galileo used
];

/// Alarm bit to bit of s3.
const ALARM_TO_S3: [(u8, u8); 4] = [
    (30, 16), // rollover warning
    (12, 17), // IC card module
    (15, 18), // violation
    (17, 19), // right-turn blind area
];

impl StatusWords {
    pub(super) fn of(position: &Position) -> Self {
        let (status, alarms) = (position.status, position.alarms);
        let mut s1 = bit(status.located(), 0) | bit(status.acc_on(), 1);
        s1 |= bit(!has(alarms, 5), 7); // antenna present
        s1 |= u32::from(network_level(position.signal)) << 10;
        s1 |= bit(position.speed_kmh <= 0.0, 13) | bit(has(alarms, 1), 14);
        // Overload: of passengers, the only kind that JT/T 1078's video alarm word knows.
        s1 |= bit(has(alarms, 36), 18);

        let mut s2 = 1 << 12;
        s2 |= moved(&ALARM_TO_S2, |from| has(alarms, from)) | moved(&STATUS_TO_S2, |from| status.bit(from));
        // Bits 8-9: 0 empty, 1 half, 3 full.
        s2 |= bit(status.bit(8) || status.bit(9), 19);

        let mut s3 = moved(&STATUS_TO_S3, |from| status.bit(from));
        s3 |= moved(&ALARM_TO_S3, |from| has(alarms, from));
        s3 |= bit(status.bit(8) && !status.bit(9), 20);

        let mut s4 = moved(&ALARM_TO_S4, |from| has(alarms, from));
        s4 |= bit(has(alarms, 29), 2) | bit(has(alarms, 30), 24);

        Self { s1: s1.cast_signed(), s2: s2.cast_signed(), s3: s3.cast_signed(), s4: s4.cast_signed() }
    }
}

fn moved(table: &[(u8, u8)], set: impl Fn(u8) -> bool) -> u32 {
    table.iter().fold(0, |word, (from, to)| word | bit(set(*from), *to))
}

fn bit(set: bool, place: u8) -> u32 {
    u32::from(set) << place
}

fn has(alarms: AlarmSet, code: u8) -> bool {
    alarms.0 >> code & 1 == 1
}

/// 0 none to 5 best, out of the 0 to 31 that modems count.
fn network_level(signal: Option<u8>) -> u8 {
    match signal {
        None | Some(0) => 0,
        Some(strength) => (strength / 6).clamp(1, 5),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use model::{StatusSet, TerminalId};

    use super::*;

    fn words(alarms: u64, status: u32) -> StatusWords {
        StatusWords::of(&Position {
            speed_kmh: 10.0,
            status: StatusSet(status),
            alarms: AlarmSet(alarms),
            signal: Some(26),
            ..Position::blank(TerminalId(1), None, Utc::now())
        })
    }

    #[test]
    fn ignition_and_fix_stand_in_s1() {
        // The reference's sample 805310851 has bits 0, 1, 7 and network level 4 in common with this.
        assert_eq!(words(0, 0b11).s1 & 0b1_1100_1000_0011, 805_310_851 & 0b1_1100_1000_0011);
        assert_eq!(words(0, 0b01).s1 & 0b11, 0b10);
    }

    #[test]
    fn alarms_stand_where_the_reference_says() {
        assert_eq!(words(1, 0).s4, 1 << 3);
        assert_eq!(words(1 << 11, 0).s4, 1 << 12);
        assert_eq!(words(1 << 8, 0).s2, 1 << 12 | 1 << 16);
        assert_eq!(words(1 << 1, 0).s1 >> 14 & 1, 1);
        assert_eq!(words(1 << 32, 0).s2 & 1, 1);
        assert_eq!(words(0, 1 << 10).s2 >> 22 & 1, 1);
        assert_eq!(words(0, 1 << 19).s3, 1 << 27);
    }

    #[test]
    fn overload_violation_and_blind_area_have_their_bits() {
        assert_eq!(words(1 << 36, 0).s1 ^ words(0, 0).s1, 1 << 18);
        assert_eq!(words(1 << 15, 0).s3, 1 << 18);
        assert_eq!(words(1 << 17, 0).s3, 1 << 19);
        // A bit of one table is in no other.
        for alarm in [15, 17, 36] {
            let (with, without) = (words(1 << alarm, 0), words(0, 0));
            assert_eq!((with.s2, with.s4), (without.s2, without.s4), "{alarm}");
        }
    }

    #[test]
    fn every_bit_stands_in_the_word_that_the_reference_gives_it() {
        // Alarm bit, then the bits of s2, s3 and s4 that it sets beside the marker of the new protocol.
        let none = [1 << 12, 0, 0];
        for (alarm, s2, s3, s4) in [
            (0, 0, 0, 1 << 3),            // emergency
            (1, 0, 0, 0),                 // overspeed: s1
            (2, 0, 0, 1 << 5),            // fatigue
            (3, 0, 0, 1 << 6),            // dangerous driving
            (4, 0, 0, 1 << 7),            // GNSS fault
            (5, 0, 0, 1 << 8),            // antenna open
            (6, 0, 0, 1 << 9),            // antenna short
            (7, 1 << 15, 0, 0),           // under-voltage
            (8, 1 << 16, 0, 0),           // main power lost
            (9, 0, 0, 1 << 10),           // LCD
            (10, 0, 0, 1 << 11),          // TTS
            (11, 0, 0, 1 << 12),          // camera
            (12, 0, 1 << 17, 0),          // IC module
            (13, 0, 0, 1),                // overspeed warning
            (14, 0, 0, 1 << 1),           // fatigue warning
            (15, 0, 1 << 18, 0),          // violation
            (16, 0, 0, 0),                // tyre pressure: no bit
            (17, 0, 1 << 19, 0),          // right blind
            (18, 0, 0, 1 << 13),          // day-driving limit
            (19, 0, 0, 1 << 14),          // parked too long
            (20, 0, 0, 1 << 15),          // area
            (21, 0, 0, 1 << 16),          // line
            (22, 0, 0, 1 << 17),          // segment time
            (23, 0, 0, 1 << 18),          // deviation
            (24, 0, 0, 1 << 19),          // VSS
            (25, 0, 0, 1 << 20),          // fuel
            (26, 0, 0, 1 << 21),          // stolen
            (27, 0, 0, 1 << 22),          // illegal ignition
            (28, 0, 0, 1 << 23),          // illegal move
            (29, 0, 0, 1 << 24 | 1 << 2), // collision, and its warning
            (30, 0, 1 << 16, 1 << 24),    // rollover, and its warning
            (31, 0, 0, 0),                // illegal door opening: no bit
            (32, 1, 0, 0),                // video loss
            (33, 1 << 1, 0, 0),           // video cover
            (34, 1 << 2, 0, 0),           // storage fault
            (35, 1 << 3, 0, 0),           // other video fault
            (36, 0, 0, 0),                // overcrowded: s1
            (37, 1 << 4, 0, 0),           // abnormal driving
            (38, 1 << 5, 0, 0),           // record threshold
        ] {
            let StatusWords { s2: is2, s3: is3, s4: is4, .. } = words(1 << alarm, 0);
            assert_eq!([is2, is3, is4], [none[0] | s2, none[1] | s3, none[2] | s4], "alarm bit {alarm}");
        }
        for (status, s2, s3) in [
            (4, 1 << 20, 0),  // out of service
            (5, 1 << 21, 0),  // coordinates encrypted
            (10, 1 << 22, 0), // oil cut
            (11, 1 << 23, 0), // circuit cut
            (12, 1 << 24, 0), // doors locked
            (13, 0, 1 << 21), // doors 1 to 5
            (14, 0, 1 << 22),
            (15, 0, 1 << 23),
            (16, 0, 1 << 24),
            (17, 0, 1 << 25),
            (18, 0, 1 << 26), // GPS, BeiDou, GLONASS, Galileo used
            (19, 0, 1 << 27),
            (20, 0, 1 << 28),
            (21, 0, 1 << 29),
        ] {
            let StatusWords { s2: is2, s3: is3, s4: is4, .. } = words(0, 1 << status);
            assert_eq!([is2, is3, is4], [none[0] | s2, none[1] | s3, none[2]], "status bit {status}");
        }
        // Half loaded is loaded; full is not half.
        for (load, s2, s3) in [(0, 0, 0), (0b01 << 8, 1 << 19, 1 << 20), (0b11 << 8, 1 << 19, 0)] {
            let StatusWords { s2: is2, s3: is3, .. } = words(0, load);
            assert_eq!([is2, is3], [none[0] | s2, none[1] | s3], "load {load:#b}");
        }
        // All that a terminal can say at once, as numbers of 32 bits with a sign.
        let StatusWords { s2, s3, s4, .. } = words(u64::MAX, u32::MAX);
        assert_eq!([s2, s3, s4], [0x01f9_903f, 0x3fef_0000, 0x01ff_ffef]);
    }
}
