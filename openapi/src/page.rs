//! Lists come in pages: a limit, and a cursor that only the server understands.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Asks for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<R, T: From<R>> From<db::Paged<R>> for Page<T> {
    fn from(page: db::Paged<R>) -> Self {
        let db::Paged { items, next_cursor } = page.map(T::from);
        Self { items, next_cursor }
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}
