//! Wire types of the CMSV6 face, key by key as its clients know them.
//!
//! The names are not ours and stay in here: `devIdno`, `jsession` and their kin mean nothing on any floor
//! below. Which values are text and which are numbers matters: some clients are strictly typed.

pub mod envelope;
pub mod login;
pub mod status;
pub mod vehicle;
