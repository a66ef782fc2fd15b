//! How a field is read and written, and the macros that make a body out of fields.

use std::fmt;

use encoding_rs::GBK;

use crate::jt808::BcdTime;
use crate::jt1078::PayloadType;
use crate::reader::{Reader, Truncated};

/// Why bytes are no such body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignallingError {
    /// The body ends inside a field.
    #[error(transparent)]
    Truncated(#[from] Truncated),
}

/// A text is too long for its one-byte length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text of {0} bytes does not fit a length byte")]
pub struct TextTooLong(pub usize);

/// A text behind a one-byte length: at most 255 bytes, GBK, kept as it came.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ShortText(Vec<u8>);

impl ShortText {
    /// A text; an error when it takes more than 255 bytes in GBK.
    pub fn new(text: &str) -> Result<Self, TextTooLong> {
        let (bytes, _, _) = GBK.encode(text);
        if bytes.len() > usize::from(u8::MAX) {
            return Err(TextTooLong(bytes.len()));
        }
        Ok(Self(bytes.into_owned()))
    }

    /// The bytes as on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ShortText {
    /// The text; bytes that are no GBK become U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&GBK.decode_without_bom_handling(&self.0).0)
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A type that knows its own way on the wire.
pub(super) trait Field: Sized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError>;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! integer_fields {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
                Ok(reader.$type()?)
            }
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

integer_fields!(u8 u16 u32 u64);

impl Field for PayloadType {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        Ok(Self(reader.u8()?))
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }
}

impl Field for BcdTime {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        Ok(Self(reader.array()?))
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Field for ShortText {
    fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
        let length = usize::from(reader.u8()?);
        Ok(Self(reader.bytes(length)?.to_vec()))
    }
    fn write(&self, out: &mut Vec<u8>) {
        let length = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend_from_slice(self.0.get(..usize::from(length)).unwrap_or(&self.0));
    }
}

/// Declares a body as a list of fields in wire order.
macro_rules! body {
    ($(#[$doc:meta])* pub struct $name:ident = $id:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// The message's number.
            pub const ID: u16 = $id;

            /// Reads the body; bytes behind its last field are ignored.
            pub fn decode(bytes: &[u8]) -> Result<Self, SignallingError> {
                $crate::jt1078::signalling::field::Field::read(&mut Reader::new(bytes))
            }

            /// Appends the body.
            pub fn encode(&self, out: &mut Vec<u8>) {
                $crate::jt1078::signalling::field::Field::write(self, out);
            }
        }

        $crate::jt1078::signalling::field::record_field!($name { $($field),* });
    };
}

/// Makes a struct of fields a field itself.
macro_rules! record_field {
    ($name:ident { $($field:ident),* }) => {
        impl $crate::jt1078::signalling::field::Field for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
                Ok(Self { $($field: $crate::jt1078::signalling::field::Field::read(reader)?,)* })
            }
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::jt1078::signalling::field::Field::write(&self.$field, out);)*
            }
        }
    };
}

/// Declares a byte with named values that keeps every other value too.
macro_rules! code {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$value_doc:meta])* $value:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$value_doc])* pub const $value: Self = Self($number);)*
        }

        impl $crate::jt1078::signalling::field::Field for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, SignallingError> {
                Ok(Self(reader.u8()?))
            }
            fn write(&self, out: &mut Vec<u8>) {
                out.push(self.0);
            }
        }
    };
}

pub(super) use {body, code, record_field};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_gbk_of_at_most_255_bytes() {
        let text = ShortText::new("粤B12345").unwrap();
        assert_eq!(text.as_bytes(), b"\xd4\xc1B12345");
        assert_eq!(text.to_string(), "粤B12345");
        assert_eq!(ShortText::new(&"粤".repeat(128)), Err(TextTooLong(256)));
    }
}
