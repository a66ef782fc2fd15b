//! Paging: every list is read a page at a time, along an opaque cursor.

use serde::Serialize;

use crate::DbError;

/// Where a page begins and how many items it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    cursor: Option<String>,
    limit: i64,
}

impl Page {
    /// Items on a page where the caller does not say.
    pub const LIMIT_DEFAULT: u32 = 50;
    /// Most items on a page: a bound on memory and on the time that one query holds a connection.
    pub const LIMIT_MAX: u32 = 500;
    /// Longest cursor, bytes; ours are far shorter.
    const CURSOR_BYTES_MAX: usize = 128;

    /// The page after `cursor` (None: the first) with at most `limit` items (None: the default).
    ///
    /// # Errors
    /// [`DbError::Invalid`] when `limit` is not 1 to [`Self::LIMIT_MAX`] or `cursor` is longer than any of ours.
    pub fn new(cursor: Option<String>, limit: Option<u32>) -> Result<Self, DbError> {
        let limit = limit.unwrap_or(Self::LIMIT_DEFAULT);
        if !(1..=Self::LIMIT_MAX).contains(&limit) {
            return Err(DbError::Invalid(format!("limit must be from 1 to {}", Self::LIMIT_MAX)));
        }
        if cursor.as_ref().is_some_and(|cursor| cursor.len() > Self::CURSOR_BYTES_MAX) {
            return Err(DbError::Invalid("unknown cursor".into()));
        }
        Ok(Self { cursor, limit: i64::from(limit) })
    }

    /// The first page with [`Self::LIMIT_MAX`] items.
    pub fn largest() -> Self {
        Self { cursor: None, limit: i64::from(Self::LIMIT_MAX) }
    }

    /// The page of the same size that begins at `cursor`.
    pub fn at(&self, cursor: String) -> Self {
        Self { cursor: Some(cursor), limit: self.limit }
    }

    /// Most items.
    pub fn limit(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(Self::LIMIT_MAX)
    }

    /// Rows to ask for: one more than shown tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// The cursor's `N` numbers.
    pub(crate) fn numbers<const N: usize>(&self) -> Result<Option<[i64; N]>, DbError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let unknown = || DbError::Invalid("unknown cursor".into());
        let numbers: Result<Vec<i64>, _> = cursor.split('_').map(str::parse).collect();
        numbers.map_err(|_| unknown())?.try_into().map(Some).map_err(|_| unknown())
    }

    /// Cuts the page out of a list that is kept in memory: `after` gives its items after a key (None: all), by
    /// rising `key`.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from such a list.
    pub fn pick<T, I: Iterator<Item = T>>(
        &self,
        after: impl FnOnce(Option<i64>) -> I,
        key: impl Fn(&T) -> i64,
    ) -> Result<Paged<T>, DbError> {
        let after = after(self.numbers::<1>()?.map(|[key]| key));
        let items = after.take(usize::try_from(self.rows()).unwrap_or(usize::MAX)).collect();
        Ok(self.cut(items, |item| [key(item)]))
    }

    /// Cuts `items` to the page and names the next one by the last shown item's `key`.
    pub(crate) fn cut<T, const N: usize>(&self, mut items: Vec<T>, key: impl Fn(&T) -> [i64; N]) -> Paged<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor =
            items.last().filter(|_| more).map(|last| key(last).map(|number| number.to_string()).join("_"));
        Paged { items, next_cursor }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { cursor: None, limit: i64::from(Self::LIMIT_DEFAULT) }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; None on the last.
    pub next_cursor: Option<String>,
}

impl<T> Paged<T> {
    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Paged<U> {
        Paged { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_memory_is_paged_as_one_of_the_database() {
        let list = [1_i64, 4, 5, 9, 12];
        let (mut seen, mut page) = (Vec::new(), Page::new(None, Some(2)).expect("valid"));
        loop {
            let after =
                |after: Option<i64>| list.into_iter().filter(move |n| after.is_none_or(|after| *n > after));
            let paged = page.pick(after, |n| *n).expect("ours");
            assert!(paged.items.len() <= 2);
            seen.extend(paged.items);
            let Some(next) = paged.next_cursor else { break };
            page = page.at(next);
        }
        assert_eq!(seen, list);
    }

    #[test]
    fn a_cursor_reads_back_and_a_foreign_one_is_refused() {
        let page = Page::new(None, Some(2)).expect("valid");
        let cut = page.cut(vec![1_i64, -2, 3], |n| [*n, 7]);
        assert_eq!(cut.items, [1, -2]);
        let next = page.at(cut.next_cursor.expect("a third item is there"));
        assert_eq!(next.numbers::<2>().expect("ours"), Some([-2, 7]));
        assert!(next.numbers::<1>().is_err());
        assert!(next.pick(|_| [1_i64].into_iter(), |n| *n).is_err());
        assert!(Page::new(Some("x".into()), None).expect("short").numbers::<1>().is_err());
        assert!(Page::new(None, Some(501)).is_err() && Page::new(None, Some(0)).is_err());
    }
}
