//! Where one is in a trace, as calls between nodes carry it: the `traceparent` of W3C Trace Context, version 00.
//!
//! A plain value: knows no trace's contents.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of one as text: `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
const TEXT_BYTES: usize = 55;

/// A span of a trace, which what follows it names as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Traceparent {
    /// Which trace.
    pub trace: NonZeroU128,
    /// Which span of it.
    pub span: NonZeroU64,
    /// Bit 0: it is recorded.
    pub flags: u8,
}

/// Why a text is no traceparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of version 00")]
pub struct TraceparentError;

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = TraceparentError;

    /// Exactly what [`Display`](fmt::Display) writes: nodes of one cluster speak to each other alone.
    fn from_str(text: &str) -> Result<Self, TraceparentError> {
        let is_of_one = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if text.len() != TEXT_BYTES || !text.bytes().all(is_of_one) {
            return Err(TraceparentError);
        }
        let mut fields = text.split('-');
        let mut field = |digits| fields.next().filter(|field| field.len() == digits).ok_or(TraceparentError);
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        if version != "00" {
            return Err(TraceparentError);
        }
        let trace = u128::from_str_radix(trace, 16).ok().and_then(NonZeroU128::new);
        let span = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new);
        match (trace, span, u8::from_str_radix(flags, 16)) {
            (Some(trace), Some(span), Ok(flags)) => Ok(Self { trace, span, flags }),
            _ => Err(TraceparentError),
        }
    }
}

impl TryFrom<String> for Traceparent {
    type Error = TraceparentError;

    fn try_from(text: String) -> Result<Self, TraceparentError> {
        text.parse()
    }
}

impl From<Traceparent> for String {
    fn from(context: Traceparent) -> Self {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn is_read_back_from_its_text() {
        let context: Traceparent = TEXT.parse().expect("one");
        assert_eq!((context.span.get(), context.flags), (0xb7ad_6b71_6920_3331, 1));
        assert_eq!(context.to_string(), TEXT);
        let json = serde_json::to_string(&context).expect("written");
        assert_eq!(json, format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<Traceparent>(&json).expect("read"), context);
    }

    #[test]
    fn what_is_none_is_refused() {
        let wrong = [
            String::new(),
            TEXT.replace("00-", "01-"),
            TEXT.replace("-01", ""),
            TEXT.to_uppercase(),
            format!("{TEXT}-00"),
            TEXT.replace("b7ad6b7169203331", "0000000000000000"),
            TEXT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            TEXT.replace("b7", "+7"),
            TEXT.replace("b7ad6b7169203331-01", "b7ad6b716920333101-"),
            "é".repeat(TEXT_BYTES / 2) + "0",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Traceparent>(), Err(TraceparentError), "{text}");
        }
        assert!(serde_json::from_str::<Traceparent>("\"00\"").is_err());
    }

    #[test]
    fn every_one_comes_back() {
        for shift in 0..64 {
            let (trace, span) = (u128::MAX >> (2 * shift), u64::MAX >> shift);
            let (trace, span) =
                (NonZeroU128::new(trace).expect("not 0"), NonZeroU64::new(span).expect("not 0"));
            for flags in [0, 1, u8::MAX] {
                let context = Traceparent { trace, span, flags };
                assert_eq!(context.to_string().parse(), Ok(context));
            }
        }
    }
}
