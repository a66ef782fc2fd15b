//! How a message becomes the bytes of a gRPC message: JSON, or JSON before bytes that stay as they are.
//!
//! Knows no message by name. The length of one is bounded by whoever reads it, before it comes here.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Something that one node says to another.
pub(crate) trait Message: Sized + Send + Sync + 'static {
    /// Puts its bytes.
    fn write(&self, to: &mut impl BufMut) -> Result<(), Status>;

    /// From all of its bytes.
    fn read(bytes: Bytes) -> Result<Self, Status>;
}

/// A message that is JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Message for Json<T> {
    fn write(&self, to: &mut impl BufMut) -> Result<(), Status> {
        serde_json::to_writer(to.writer(), &self.0).map_err(unwritable)
    }

    fn read(bytes: Bytes) -> Result<Self, Status> {
        serde_json::from_slice(&bytes).map(Self).map_err(unreadable)
    }
}

/// A message with bytes that JSON would swell: the length of a head as `u32` (big-endian), the head as JSON, the bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parcel<H> {
    /// What is said of the bytes.
    pub(crate) head: H,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

impl<H: Serialize + DeserializeOwned + Send + Sync + 'static> Message for Parcel<H> {
    fn write(&self, to: &mut impl BufMut) -> Result<(), Status> {
        let head = serde_json::to_vec(&self.head).map_err(unwritable)?;
        let length = u32::try_from(head.len()).map_err(|_| Status::internal("a head beyond 4 GiB"))?;
        to.put_u32(length);
        to.put_slice(&head);
        to.put_slice(&self.bytes);
        Ok(())
    }

    fn read(mut bytes: Bytes) -> Result<Self, Status> {
        let cut = || Status::invalid_argument("a message is cut short");
        let length = bytes.try_get_u32().map_err(|_| cut())? as usize;
        if length > bytes.len() {
            return Err(cut());
        }
        let head = bytes.split_to(length);
        Ok(Self { head: serde_json::from_slice(&head).map_err(unreadable)?, bytes })
    }
}

/// Writes `E` and reads `D`: what tonic asks of a codec.
pub(crate) struct Wire<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for Wire<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message, D: Message> Codec for Wire<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<E: Message, D> Encoder for Wire<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.write(to)
    }
}

impl<E, D: Message> Decoder for Wire<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::read(from.copy_to_bytes(from.remaining())).map(Some)
    }
}

fn unwritable(error: serde_json::Error) -> Status {
    Status::internal(format!("a message cannot be written: {error}"))
}

fn unreadable(error: serde_json::Error) -> Status {
    Status::invalid_argument(format!("a message cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn written(message: &impl Message) -> Bytes {
        let mut bytes = Vec::new();
        message.write(&mut bytes).expect("written");
        bytes.into()
    }

    #[test]
    fn a_parcel_keeps_its_bytes_as_they_are() {
        let all = Bytes::from_iter(0..=255u8);
        for bytes in [Bytes::new(), all] {
            let parcel = Parcel { head: ("gw1".to_owned(), 7), bytes };
            let wire = written(&parcel);
            assert_eq!(wire.len(), 4 + br#"["gw1",7]"#.len() + parcel.bytes.len());
            assert_eq!(Parcel::read(wire).expect("read"), parcel);
        }
    }

    #[test]
    fn what_is_cut_short_or_swollen_is_refused() {
        let wire = written(&Parcel { head: 7, bytes: Bytes::new() });
        let cut = (0..wire.len()).map(|length| wire.slice(..length));
        let swollen = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, b'7']);
        for bytes in cut.chain([swollen, Bytes::from_static(&[0, 0, 0, 1, b'x'])]) {
            let refused = Parcel::<i32>::read(bytes.clone()).map_err(|status| status.code());
            assert_eq!(refused, Err(Code::InvalidArgument), "{bytes:?}");
        }
        assert!(Json::<i32>::read(Bytes::new()).is_err());
        assert!(Json::<i32>::read(Bytes::from_static(b"7 7")).is_err());
    }

    /// Coordinates come in millionths of a degree, speeds in tenths of a kilometre an hour.
    #[test]
    fn numbers_with_a_fraction_come_back_to_the_last_bit() {
        for units in (0..180_000_000).step_by(7_919) {
            for number in [f64::from(units) / 1e6, -f64::from(units) / 1e6, f64::from(units) / 10.0] {
                let Json(read) = Json::<f64>::read(written(&Json(number))).expect("read");
                assert_eq!(read.to_bits(), number.to_bits());
            }
        }
    }
}
