//! The tables, as diesel knows them.
