//! Times of the CMSV6 face: text without a zone, in the server's.

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Utc};

/// Years that are taken. The format has four digits; what chrono reads beyond would overflow where a day or a
/// zone is added, and PostgreSQL knows less than chrono.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9998;

/// `YYYY-MM-DD HH:MM:SS` or a date alone, leading zeros optional.
pub(super) fn parse(text: &str, zone: FixedOffset) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok().or_else(|| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(0, 0, 0))
    })?;
    if !YEARS.contains(&local.year()) {
        return None;
    }
    Some(local.and_local_timezone(zone).single()?.to_utc())
}

/// As `YYYY-MM-DD HH:MM:SS`.
pub(super) fn show(time: DateTime<Utc>, zone: FixedOffset) -> String {
    time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_leading_zeros_and_shown_with() {
        let zone = FixedOffset::east_opt(8 * 3600).expect("a zone");
        for text in ["2018-03-05 08:00:00", "2018-3-5 8:0:0", " 2018-03-05 08:00:00 "] {
            let time = parse(text, zone).expect("a time");
            assert_eq!(time.to_rfc3339(), "2018-03-05T00:00:00+00:00");
            assert_eq!(show(time, zone), "2018-03-05 08:00:00");
        }
        assert_eq!(parse("2018-3-5", zone).map(|t| t.to_rfc3339()), Some("2018-03-04T16:00:00+00:00".into()));
        for wrong in [
            "",
            "yesterday",
            "2018-13-01 00:00:00",
            "2018-03-05T08:00:00Z",
            "99999999999-1-1",
            "+262142-12-31",
            "+262142-12-31 23:59:59",
            "-4800-01-01",
            "1969-12-31",
            "0000-00-00",
            "9999-12-31 23:59:59",
        ] {
            assert_eq!(parse(wrong, zone), None, "{wrong}");
        }
    }
}
