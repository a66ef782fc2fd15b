//! What every reply has, and how lists are paged.

use serde::Serialize;

/// Success: `result` 0 with the reply's own keys beside it.
#[derive(Clone, Debug, Serialize)]
pub struct Success<T> {
    /// 0.
    pub result: u8,
    /// The rest.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Success<T> {
    /// With this body.
    pub fn new(body: T) -> Self {
        Self { result: 0, body }
    }
}

/// A reply of `result` alone.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Empty {}

/// Why it did not work. The HTTP status is 200 all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The code, never negative (one client decodes it unsigned).
    pub result: u8,
    /// For people.
    pub message: String,
}

/// The `result` codes of the web tier that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: account or password wrong.
    WrongPassword,
    /// 3: account disabled.
    Disabled,
    /// 4: account expired.
    Expired,
    /// 5: session missing or expired.
    NoSession,
    /// 6: internal exception (busy and unavailable too: there is no code for these).
    Internal,
    /// 7: bad or missing parameter.
    Parameter,
    /// 9: start later than end.
    Backwards,
    /// 10: time span too long.
    TooLong,
    /// 13: no right to the operation.
    Forbidden,
    /// 18: no such vehicle.
    NoVehicle,
    /// 19: no such device.
    NoDevice,
}

impl Code {
    /// As sent.
    pub fn number(self) -> u8 {
        match self {
            Self::WrongPassword => 1,
            Self::Disabled => 3,
            Self::Expired => 4,
            Self::NoSession => 5,
            Self::Internal => 6,
            Self::Parameter => 7,
            Self::Backwards => 9,
            Self::TooLong => 10,
            Self::Forbidden => 13,
            Self::NoVehicle => 18,
            Self::NoDevice => 19,
        }
    }
}

/// Which page of how many. Clients go by `hasNextPage`, by `totalPages`, or until an empty list: all is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// How many pages there are; at least 1.
    pub total_pages: usize,
    /// This one, from 1.
    pub current_page: usize,
    /// Records a page.
    pub page_records: usize,
    /// Records in all.
    pub total_records: usize,
    /// Whether a page follows.
    pub has_next_page: bool,
    /// Whether a page precedes.
    pub has_previous_page: bool,
    /// The page after, or the last.
    pub next_page: usize,
    /// The page before, or 1.
    pub previous_page: usize,
    /// Offset of the first record.
    pub start_record: usize,
    /// Offset after the last record.
    pub end_record: usize,
    /// Always null.
    pub sort_params: Option<()>,
    /// Always false.
    pub direct_query: bool,
    /// Always `id`.
    pub primary_key: &'static str,
}

impl Pagination {
    /// Page `current` (from 1) of `total` records, `records` a page; with a page number beyond the end, the
    /// page is empty.
    pub fn new(total: usize, current: usize, records: usize) -> Self {
        let (current, records) = (current.max(1), records.max(1));
        let pages = total.div_ceil(records).max(1);
        let start = (current - 1).saturating_mul(records).min(total);
        Self {
            total_pages: pages,
            current_page: current,
            page_records: records,
            total_records: total,
            has_next_page: current < pages,
            has_previous_page: current > 1,
            next_page: current.saturating_add(1).min(pages),
            previous_page: (current - 1).clamp(1, pages),
            start_record: start,
            end_record: start.saturating_add(records).min(total),
            sort_params: None,
            direct_query: false,
            primary_key: "id",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one_and_stay_inside() {
        let first = Pagination::new(5, 1, 2);
        assert_eq!((first.total_pages, first.start_record, first.end_record), (3, 0, 2));
        assert!(first.has_next_page && !first.has_previous_page);
        assert_eq!((first.previous_page, first.next_page), (1, 2));
        let last = Pagination::new(5, 3, 2);
        assert_eq!((last.start_record, last.end_record, last.next_page), (4, 5, 3));
        assert!(!last.has_next_page);
        let beyond = Pagination::new(5, 9, 2);
        assert_eq!((beyond.start_record, beyond.end_record, beyond.previous_page), (5, 5, 3));
        assert_eq!(Pagination::new(0, 1, 10).total_pages, 1);
        let huge = Pagination::new(5, usize::MAX, usize::MAX);
        assert_eq!((huge.start_record, huge.end_record), (5, 5));
    }
}
