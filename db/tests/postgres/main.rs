//! The crate on a real PostgreSQL: a private server for this process, a database for each test.

mod bounds;
mod connecting;
mod days;
mod durability;
mod node;
mod people;
mod private;
mod schema;
mod scope;
mod storing;
mod support;
mod track;
