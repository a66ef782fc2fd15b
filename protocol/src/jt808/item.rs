//! The additional items of a location body (JT/T 808 table "additional information", JT/T 1078 tables 13, 14).
//!
//! Steps by the length byte, never by the id. An item is read only when its length is one that its table
//! knows; the same id means other things to other makers, so everything else stays raw.

/// Bytes of 0x05: one a wheel.
const TYRES: usize = 30;

/// The items of a location body, as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items<'a>(pub &'a [u8]);

impl<'a> Items<'a> {
    /// The bytes as sent.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Walks the items up to the end, or up to one that is cut short.
    pub fn iter(&self) -> ItemIter<'a> {
        ItemIter { rest: self.0 }
    }

    /// What stands behind the last whole item: nothing, a stray byte, or an item that claims more bytes than
    /// there are.
    pub fn truncated(&self) -> &'a [u8] {
        let mut items = self.iter();
        items.by_ref().for_each(drop);
        items.rest
    }

    /// The first item of `id`.
    pub fn find(&self, id: u8) -> Option<Item<'a>> {
        self.iter().find(|item| item.id == id)
    }
}

impl<'a> IntoIterator for Items<'a> {
    type Item = Item<'a>;
    type IntoIter = ItemIter<'a>;

    fn into_iter(self) -> ItemIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Items`].
#[derive(Clone, Debug)]
pub struct ItemIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ItemIter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let [id, len, rest @ ..] = self.rest else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        self.rest = rest;
        Some(Item { id: *id, value })
    }
}

/// One additional item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its id.
    pub id: u8,
    /// Its value, 0 to 255 bytes.
    pub value: &'a [u8],
}

impl<'a> Item<'a> {
    /// Appends the item. A value over 255 bytes cannot be an item and is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let value = self.value.get(..usize::from(u8::MAX)).unwrap_or(self.value);
        out.extend_from_slice(&[self.id, value.len() as u8]);
        out.extend_from_slice(value);
    }

    /// What the item says by the standard's tables; [`ItemValue::Unknown`] where they do not know its id, or
    /// know it with another length.
    #[inline]
    pub fn read(&self) -> ItemValue<'a> {
        match (self.id, self.value) {
            (0x01, &[a, b, c, d]) => ItemValue::Mileage { mileage_x10: u32::from_be_bytes([a, b, c, d]) },
            (0x02, &[a, b]) => ItemValue::Fuel { fuel_x10: u16::from_be_bytes([a, b]) },
            (0x03, &[a, b]) => ItemValue::RecorderSpeed { speed_x10: u16::from_be_bytes([a, b]) },
            (0x04, &[a, b]) => ItemValue::AlarmEvent(u16::from_be_bytes([a, b])),
            (0x05, tyres) if tyres.len() == TYRES => ItemValue::TyrePressures(tyres),
            (0x06, &[a, b]) => {
                ItemValue::CabinTemperature { temperature_c: sign_and_magnitude(u16::from_be_bytes([a, b])) }
            }
            (0x11, &[place]) => ItemValue::Overspeed { place, id: None },
            (0x11, &[place, a, b, c, d]) => {
                ItemValue::Overspeed { place, id: Some(u32::from_be_bytes([a, b, c, d])) }
            }
            (0x12, &[place, a, b, c, d, direction]) => {
                ItemValue::AreaCrossed { place, id: u32::from_be_bytes([a, b, c, d]), direction }
            }
            (0x13, &[a, b, c, d, e, f, result]) => ItemValue::SectionTime {
                id: u32::from_be_bytes([a, b, c, d]),
                time_s: u16::from_be_bytes([e, f]),
                result,
            },
            (0x14, &[a, b, c, d]) => ItemValue::VideoAlarms(u32::from_be_bytes([a, b, c, d])),
            (0x15, &[a, b, c, d]) => ItemValue::ChannelsLost(u32::from_be_bytes([a, b, c, d])),
            (0x16, &[a, b, c, d]) => ItemValue::ChannelsMasked(u32::from_be_bytes([a, b, c, d])),
            (0x17, &[a, b]) => ItemValue::StorageFaults(u16::from_be_bytes([a, b])),
            (0x18, &[a, b]) => {
                ItemValue::AbnormalDriving { behaviours: u16::from_be_bytes([a, b]), fatigue: None }
            }
            (0x18, &[a, b, fatigue]) => {
                ItemValue::AbnormalDriving { behaviours: u16::from_be_bytes([a, b]), fatigue: Some(fatigue) }
            }
            (0x25, &[a, b, c, d]) => ItemValue::VehicleSignals(u32::from_be_bytes([a, b, c, d])),
            (0x2a, &[a, b]) => ItemValue::Io(u16::from_be_bytes([a, b])),
            (0x2b, &[a, b, c, d]) => ItemValue::Analogue {
                channel_0: u16::from_be_bytes([c, d]),
                channel_1: u16::from_be_bytes([a, b]),
            },
            (0x30, &[strength]) => ItemValue::Signal(strength),
            (0x31, &[satellites]) => ItemValue::Satellites(satellites),
            (0xe0, &[len]) => ItemValue::VendorLength(len),
            _ => ItemValue::Unknown(*self),
        }
    }
}

/// The meaning of an item that the standard's tables know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemValue<'a> {
    /// 0x01: odometer.
    Mileage {
        /// 0.1 km.
        mileage_x10: u32,
    },
    /// 0x02: fuel in the tank.
    Fuel {
        /// 0.1 L.
        fuel_x10: u16,
    },
    /// 0x03: speed by the driving recorder.
    RecorderSpeed {
        /// 0.1 km/h.
        speed_x10: u16,
    },
    /// 0x04: the alarm event that wants a person's confirmation, counted from 1.
    AlarmEvent(u16),
    /// 0x05: tyre pressures, one byte a wheel from the front left to the right, 0xff none; the unit is the
    /// device's own.
    TyrePressures(&'a [u8]),
    /// 0x06: temperature of the cabin.
    CabinTemperature {
        /// Degrees Celsius, -32767 to 32767.
        temperature_c: i16,
    },
    /// 0x11: overspeed.
    Overspeed {
        /// 0 no particular place, 1 circle, 2 rectangle, 3 polygon, 4 section.
        place: u8,
        /// The area's or section's id, where there is a place.
        id: Option<u32>,
    },
    /// 0x12: an area or route was entered or left.
    AreaCrossed {
        /// 1 circle, 2 rectangle, 3 polygon, 4 route.
        place: u8,
        /// The area's or route's id.
        id: u32,
        /// 0 in, 1 out.
        direction: u8,
    },
    /// 0x13: a section was driven too fast or too slowly.
    SectionTime {
        /// The section's id.
        id: u32,
        /// Seconds.
        time_s: u16,
        /// 0 too short, 1 too long.
        result: u8,
    },
    /// 0x14: video alarm bits (JT/T 1078): signal lost, signal masked, storage fault, other video fault,
    /// passenger overload, abnormal driving, special-alarm recording full.
    VideoAlarms(u32),
    /// 0x15: channels whose signal is lost, bit 0 channel 1.
    ChannelsLost(u32),
    /// 0x16: channels whose signal is masked, bit 0 channel 1.
    ChannelsMasked(u32),
    /// 0x17: storage faults: bits 0 to 11 main units 1 to 12, bits 12 to 15 backup units 1 to 4.
    StorageFaults(u16),
    /// 0x18: abnormal driving.
    AbnormalDriving {
        /// 0 fatigue, 1 telephone, 2 smoking, 11 to 15 custom.
        behaviours: u16,
        /// Degree of fatigue, 0 to 100; some devices leave it out.
        fatigue: Option<u8>,
    },
    /// 0x25: vehicle signal bits: lights, turn signals, brake, reverse, horn and so on.
    VehicleSignals(u32),
    /// 0x2a: input and output bits: 0 deep sleep, 1 sleep.
    Io(u16),
    /// 0x2b: two analogue inputs.
    Analogue {
        /// AD0, the low word.
        channel_0: u16,
        /// AD1, the high word.
        channel_1: u16,
    },
    /// 0x30: strength of the mobile network.
    Signal(u8),
    /// 0x31: satellites used.
    Satellites(u8),
    /// 0xe0: length of the vendor's part that follows.
    VendorLength(u8),
    /// An id, or a length of it, that the tables do not know.
    Unknown(Item<'a>),
}

/// 0x06 marks minus by its highest bit (table 27 of the 2019 text), not by two's complement.
fn sign_and_magnitude(word: u16) -> i16 {
    let magnitude = (word & 0x7fff) as i16;
    if word & 0x8000 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u8, value: &[u8]) -> Item<'_> {
        Item { id, value }
    }

    #[test]
    fn every_standard_item_with_its_length() {
        let tyres = [0x20; 30];
        for (id, value, wanted) in [
            (0x01, &[0, 0, 0, 100][..], ItemValue::Mileage { mileage_x10: 100 }),
            (0x02, &[0, 55], ItemValue::Fuel { fuel_x10: 55 }),
            (0x03, &[3, 0xe8], ItemValue::RecorderSpeed { speed_x10: 1000 }),
            (0x04, &[0, 9], ItemValue::AlarmEvent(9)),
            (0x05, &tyres, ItemValue::TyrePressures(&tyres)),
            (0x06, &[0x80, 5], ItemValue::CabinTemperature { temperature_c: -5 }),
            (0x06, &[0xff, 0xff], ItemValue::CabinTemperature { temperature_c: -32767 }),
            (0x11, &[0], ItemValue::Overspeed { place: 0, id: None }),
            (0x11, &[1, 0, 0, 0, 7], ItemValue::Overspeed { place: 1, id: Some(7) }),
            (0x12, &[4, 0, 0, 1, 0, 1], ItemValue::AreaCrossed { place: 4, id: 256, direction: 1 }),
            (0x13, &[0, 0, 0, 2, 0, 90, 1], ItemValue::SectionTime { id: 2, time_s: 90, result: 1 }),
            (0x14, &[0, 0, 0, 4], ItemValue::VideoAlarms(4)),
            (0x15, &[0, 0, 0, 1], ItemValue::ChannelsLost(1)),
            (0x16, &[0, 0, 0, 2], ItemValue::ChannelsMasked(2)),
            (0x17, &[0, 1], ItemValue::StorageFaults(1)),
            (0x18, &[0, 1], ItemValue::AbnormalDriving { behaviours: 1, fatigue: None }),
            (0x18, &[0, 1, 80], ItemValue::AbnormalDriving { behaviours: 1, fatigue: Some(80) }),
            (0x25, &[0, 0, 0, 0x10], ItemValue::VehicleSignals(16)),
            (0x2a, &[0, 2], ItemValue::Io(2)),
            (0x2b, &[0, 1, 0, 2], ItemValue::Analogue { channel_0: 2, channel_1: 1 }),
            (0x30, &[31], ItemValue::Signal(31)),
            (0x31, &[12], ItemValue::Satellites(12)),
            (0xe0, &[8], ItemValue::VendorLength(8)),
        ] {
            assert_eq!(item(id, value).read(), wanted, "{id:#04x}");
        }
    }

    #[test]
    fn known_ids_with_other_lengths_stay_raw() {
        // SmallChi/JTTools issue 4: 0x17 of one byte, 0x18 of four; traccar: 0x06 of one byte is a battery
        for (id, value) in [
            (0x01, &[0; 3][..]),
            (0x06, &[0; 1]),
            (0x17, &[0; 1]),
            (0x18, &[0; 4]),
            (0x2b, &[0; 8]),
            (0x11, &[]),
        ] {
            assert_eq!(item(id, value).read(), ItemValue::Unknown(item(id, value)));
        }
    }

    #[test]
    fn an_item_that_claims_more_than_there_is_stays_as_the_tail() {
        let items = Items(&[0x30, 1, 9, 0xeb, 40, 1, 2, 3]);
        assert_eq!(items.iter().collect::<Vec<_>>(), [item(0x30, &[9])]);
        assert_eq!(items.truncated(), [0xeb, 40, 1, 2, 3]);
    }

    #[test]
    fn a_stray_byte_behind_the_items() {
        let items = Items(&[0x30, 1, 9, 0]);
        assert_eq!(items.iter().count(), 1);
        assert_eq!(items.truncated(), [0]);
        assert_eq!(Items(&[]).truncated(), [0; 0]);
    }

    #[test]
    fn an_item_is_written_as_it_was_read() {
        let bytes = [0x30, 1, 9, 0xeb, 3, 1, 2, 3, 0x51, 0];
        let mut again = Vec::new();
        Items(&bytes).iter().for_each(|item| item.encode(&mut again));
        assert_eq!(again, bytes);
        assert_eq!(Items(&bytes).find(0xeb), Some(item(0xeb, &[1, 2, 3])));
        assert_eq!(Items(&bytes).find(0x01), None);
    }
}
