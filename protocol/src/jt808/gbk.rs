//! Text as devices send it: GBK by the standard, UTF-8 by some makers, padded in several ways.
//!
//! Decoding never fails (what is no GBK becomes U+FFFD); whoever must answer with the same text keeps the bytes.

use std::borrow::Cow;

use encoding_rs::GBK;

/// A STRING field of a message: the raw bytes, and their reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as sent, padding and terminator included.
    pub fn raw(&self) -> &'a [u8] {
        self.0
    }

    /// The bytes without the 0x00 and the spaces that devices pad or end a STRING with.
    pub fn trimmed(&self) -> &'a [u8] {
        trim(self.0)
    }

    /// The text, trimmed; what is neither GBK nor UTF-8 is replaced by U+FFFD.
    pub fn to_str(&self) -> Cow<'a, str> {
        decode(self.trimmed())
    }

    /// Whether nothing but padding is there.
    pub fn is_empty(&self) -> bool {
        self.trimmed().is_empty()
    }
}

/// Reads `bytes` as text: GBK, unless they are UTF-8 whose every non-ASCII character is a CJK ideograph.
///
/// Some makers send plates in UTF-8. `鲁` and `豫` in GBK happen to be valid UTF-8 of two bytes, hence the
/// narrow exception: an ideograph has three bytes in UTF-8, and these three are an unlikely start in GBK.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| c.is_ascii() || ('\u{4e00}'..='\u{9fff}').contains(&c)) => {
            Cow::Borrowed(text)
        }
        _ => GBK.decode_without_bom_handling(bytes).0,
    }
}

/// `text` in GBK; what GBK has no character for becomes `?`, so that no device sees a numeric entity.
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    let (bytes, _, unmappable) = GBK.encode(text);
    if !unmappable {
        return bytes;
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        let mut utf8 = [0; 4];
        match GBK.encode(character.encode_utf8(&mut utf8)) {
            (encoded, _, false) => bytes.extend_from_slice(&encoded),
            _ => bytes.push(b'?'),
        }
    }
    Cow::Owned(bytes)
}

/// `bytes` without trailing 0x00 and spaces.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plate_in_gbk() {
        assert_eq!(Text(b"\xb2\xe2A12345\0\0").to_str(), "测A12345");
        assert_eq!(&*encode("测A12345"), b"\xb2\xe2A12345");
    }

    #[test]
    fn a_plate_in_utf8_from_makers_who_do_so() {
        assert_eq!(Text("京A12345".as_bytes()).to_str(), "京A12345");
    }

    #[test]
    fn every_province_in_gbk_is_read_as_gbk() {
        for province in "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新港澳学警使领".chars()
        {
            let plate = format!("{province}A12345");
            assert_eq!(decode(&encode(&plate)), plate);
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(decode(b"A\xff\xffB"), "A\u{fffd}\u{fffd}B");
        assert_eq!(&*encode("A\u{1f69a}B"), b"A?B");
        assert!(Text(b" \0 ").is_empty());
    }
}
