//! Logging in and out, and one's own account.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use model::Permission;

use crate::account::Account;

/// Who wants to log in.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's name.
    #[schema(example = "admin", max_length = 64)]
    pub account: String,
    /// Its password.
    #[schema(max_length = 256, format = Password)]
    pub password: String,
}

/// A refresh token, to be exchanged or ended.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// As the log-in or the last refresh gave it.
    #[schema(max_length = 256)]
    pub refresh_token: String,
}

/// What a log-in gives.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// For the header `Authorization: Bearer …`.
    pub access_token: String,
    /// How long the access token is valid, seconds.
    #[schema(example = 900)]
    pub expires_in_s: i64,
    /// Exchanged, once, at `/auth/refresh`.
    pub refresh_token: String,
    /// The password must be changed (`/me/password`) before anything else.
    pub must_change_password: bool,
}

/// Who one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account.
    pub account: Account,
    /// What it may do.
    pub permissions: Vec<Permission>,
}

/// A change of one's own password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now.
    #[schema(max_length = 256, format = Password)]
    pub old: String,
    /// The password from now on, 8 to 256 bytes.
    #[schema(min_length = 8, max_length = 256, format = Password)]
    pub new: String,
}
