//! 0x0800, 0x0801 and 0x0802: photos, sound and video that a terminal took by itself, with where it took them.

use crate::jt808::{Edition, LocationReport, location::LOCATION_BYTES};
use crate::reader::{Reader, Truncated};

/// 0x0800, and the beginning of 0x0801: what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaEvent {
    /// The terminal's id of the recording.
    pub id: u32,
    /// 0 image, 1 sound, 2 video.
    pub kind: u8,
    /// 0 JPEG, 1 TIF, 2 MP3, 3 WAV, 4 WMV.
    pub format: u8,
    /// Why: 0 platform's command, 1 timed, 2 robbery, 3 collision or rollover; 2013 on: 4 to 7.
    pub event: u8,
    /// Channel.
    pub channel: u8,
}

impl MediaEvent {
    /// Reads the body of 0x0800.
    pub fn decode(body: &[u8], _edition: Edition) -> Result<Self, Truncated> {
        Self::read(&mut Reader::new(body))
    }

    /// Appends the body of 0x0800.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        self.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            id: reader.u32()?,
            kind: reader.u8()?,
            format: reader.u8()?,
            event: reader.u8()?,
            channel: reader.u8()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[self.kind, self.format, self.event, self.channel]);
    }
}

/// 0x0801: a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaData<'a> {
    /// What was recorded.
    pub media: MediaEvent,
    /// Where; the 2011 body has none.
    pub location: Option<LocationReport<'a>>,
    /// The recording.
    pub data: &'a [u8],
}

impl<'a> MediaData<'a> {
    /// Reads a whole body (its first package alone has these fields). A JPEG right behind the event marks the
    /// 2011 layout, as does a body too short for a location.
    pub fn decode(body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let media = MediaEvent::read(&mut reader)?;
        let old = reader.left() < LOCATION_BYTES || reader.rest().starts_with(&[0xff, 0xd8]);
        let location = match old {
            true => None,
            false => Some(LocationReport::decode(reader.bytes(LOCATION_BYTES)?, edition)?),
        };
        Ok(Self { media, location, data: reader.rest() })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        self.media.write(out);
        if let Some(location) = &self.location {
            location.encode(out, edition);
        }
        out.extend_from_slice(self.data);
    }
}

/// 0x0802: the recordings that a search (0x8802) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaList<'a> {
    /// Serial number of the search.
    pub serial: u16,
    /// How many there are, by the terminal's count.
    pub total: u16,
    /// The entries of this message, as sent.
    pub entries: &'a [u8],
}

/// An entry of a [`MediaList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaListItem<'a> {
    /// The terminal's id of the recording; 2011 has none, which reads 0.
    pub id: u32,
    /// 0 image, 1 sound, 2 video.
    pub kind: u8,
    /// Channel.
    pub channel: u8,
    /// Why, as in [`MediaEvent::event`].
    pub event: u8,
    /// Where.
    pub location: LocationReport<'a>,
}

impl<'a> MediaList<'a> {
    const ITEM_BYTES: usize = 7 + LOCATION_BYTES;
    const ITEM_BYTES_2011: usize = 3 + LOCATION_BYTES;

    /// Reads the body.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        Ok(Self { serial: reader.u16()?, total: reader.u16()?, entries: reader.rest() })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(self.entries);
    }

    /// The entries, up to one that is cut. They are of 2011 (without id) where only 31 bytes each divide them.
    pub fn items(&self) -> impl Iterator<Item = MediaListItem<'a>> {
        let len = self.entries.len();
        let old = !len.is_multiple_of(Self::ITEM_BYTES) && len.is_multiple_of(Self::ITEM_BYTES_2011);
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || Self::item(&mut reader, old).ok())
    }

    fn item(reader: &mut Reader<'a>, old: bool) -> Result<MediaListItem<'a>, Truncated> {
        Ok(MediaListItem {
            id: if old { 0 } else { reader.u32()? },
            kind: reader.u8()?,
            channel: reader.u8()?,
            event: reader.u8()?,
            location: LocationReport::decode(reader.bytes(LOCATION_BYTES)?, Edition::V2013)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_photo_of_2011_without_a_location() {
        let body = [&[0, 0, 0, 9, 0, 0, 1, 2, 0xff, 0xd8][..], &[7; 100]].concat();
        let message = MediaData::decode(&body, Edition::V2013).unwrap();
        assert_eq!((message.location, message.data.len(), message.media.channel), (None, 102, 2));
    }

    #[test]
    fn list_entries_with_and_without_an_id() {
        for (entry_bytes, id) in [(MediaList::ITEM_BYTES, 0x0101_0101), (MediaList::ITEM_BYTES_2011, 0)] {
            let body = vec![1; 4 + 3 * entry_bytes];
            let list = MediaList::decode(&body, Edition::V2013).unwrap();
            assert_eq!(list.items().map(|item| item.id).collect::<Vec<_>>(), [id; 3]);
        }
    }

    proptest! {
        #[test]
        fn any_body_that_is_read_is_written_back(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut again = Vec::new();
            match MediaData::decode(&body, Edition::V2013) {
                Ok(message) => message.encode(&mut again, Edition::V2013),
                Err(_) => again.clone_from(&body),
            }
            prop_assert_eq!(&again, &body);
            again.clear();
            match MediaList::decode(&body, Edition::V2013) {
                Ok(message) => {
                    prop_assert!(message.items().count() <= body.len());
                    message.encode(&mut again, Edition::V2013);
                }
                Err(_) => again.clone_from(&body),
            }
            prop_assert_eq!(again, body);
        }
    }
}
