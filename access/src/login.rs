//! Logging in and out: tokens of v1, opaque logins of the CMSV6 face, one's own password.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db::{Account, Credentials, DbError, NewPassword, Rotation};
use model::AccountId;
use tracing::{info, warn};
use uuid::Uuid;

use crate::principal::usable;
use crate::token::{self, Opaque};
use crate::{Access, AccessError, PASSWORD_BYTES_MAX, PasswordHashes, PasswordsBusy, Principal};

/// What a log-in or a refresh gives.
#[derive(Clone)]
pub struct Tokens {
    /// A JWT, valid for [`Tokens::LIFETIME_S`].
    pub access: String,
    /// Exchanged, once, for new tokens; valid for 30 days.
    pub refresh: String,
    /// The password must be changed before anything else.
    pub must_change_password: bool,
}

impl Tokens {
    /// How long an access token is valid, seconds.
    pub const LIFETIME_S: i64 = 15 * 60;
    /// How long a login lasts without a refresh, days.
    pub const REFRESH_DAYS: i64 = 30;
}

/// A person's authenticated time: from a log-in, over its refreshes, to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    account: AccountId,
    id: Uuid,
}

/// How long an opaque login lasts after its last use, hours (cmsv6: 4 h, each use extends it).
const OPAQUE_LOGIN_HOURS: i64 = 4;

/// Longest account name that is looked up, bytes; none is longer than 64 characters.
const NAME_BYTES_MAX: usize = 256;

/// Why a log-in failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such account or wrong password: which, is not told.
    #[error("account or password wrong")]
    Wrong,
    /// The password is right, but the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The password is right, but the account's time is over.
    #[error("the account has expired")]
    Expired,
    /// Too many failures of this account or address.
    #[error("too many attempts")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords are being checked at once.
    #[error("too many log-ins at once")]
    Busy,
    /// The database could not say.
    #[error("the database could not say")]
    Db(#[from] DbError),
}

impl From<PasswordsBusy> for LoginError {
    fn from(_: PasswordsBusy) -> Self {
        Self::Busy
    }
}

impl From<PasswordsBusy> for AccessError {
    fn from(_: PasswordsBusy) -> Self {
        Self::Busy
    }
}

/// An account whose password was compared.
struct Compared {
    account: Account,
    /// What the password was compared with: a login is opened only while the account still has it.
    hash: String,
}

/// In which form a password may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is.
    Clear,
    /// As it is, or its MD5 in hexadecimal digits of either case, as CMSV6 clients do.
    ClearOrMd5,
}

impl Access {
    /// Logs in with account and password from `address`.
    ///
    /// # Errors
    /// [`LoginError`]; unknown accounts take as long as wrong passwords.
    pub async fn login(&self, account: &str, password: &str, address: IpAddr) -> Result<Tokens, LoginError> {
        let Compared { account, hash } =
            self.check_password(account, &[password], Form::Clear, address).await?;
        let login = Uuid::new_v4();
        let refresh = Opaque::refresh(&self.inner.keys.jwt, login);
        let now = Utc::now();
        let opened =
            self.inner.db.open_login(account.id, hash, login, refresh.digest, refresh_end(now)).await;
        opened.map_err(changed_meanwhile)?;
        info!(account.id = %account.id, "account {} logged in", account.id);
        Ok(self.tokens(&account, login, refresh, now))
    }

    /// Whether `password` is right for `account`, as a person: for the documentation's pages, which browsers
    /// ask for with account and password and no login.
    ///
    /// # Errors
    /// As [`Self::login`].
    pub async fn person(
        &self,
        account: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Account, LoginError> {
        Ok(self.check_password(account, &[password], Form::Clear, address).await?.account)
    }

    /// Exchanges a refresh token for new tokens. A token that was exchanged before ends its login, however
    /// long ago that was: somebody holds a copy.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] for a token that is unknown, used, over, or whose account may not be
    /// used. Another error leaves the token good, save that it may have been exchanged where the database
    /// went away during the exchange itself.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, AccessError> {
        let (db, jwt) = (&self.inner.db, &self.inner.keys.jwt);
        let login = token::login_of(jwt, refresh_token).ok_or(AccessError::Unauthenticated)?;
        let now = Utc::now();
        // Everything that can fail comes before the exchange: a caller who is told to try again must not find
        // the token used.
        let account = db.login_holder(login, now).await?.ok_or(AccessError::Unauthenticated)?;
        let principal = self.principal(account).await?;
        let (presented, next) = (token::digest(refresh_token), Opaque::refresh(jwt, login));
        let rotate = || db.rotate_login(login, presented, next.digest, now, refresh_end(now));
        let rotation = match rotate().await {
            Err(DbError::OutcomeUnknown) => rotate().await?,
            outcome => outcome?,
        };
        match rotation {
            Rotation::Rotated => Ok(self.tokens(&principal.account, login, next, now)),
            Rotation::Reused => {
                self.inner.logins.forget();
                warn!(account.id = %account, login = %login, "a refresh token of account {account} came twice: login revoked");
                Err(AccessError::Unauthenticated)
            }
            Rotation::Over => Err(AccessError::Unauthenticated),
        }
    }

    /// Ends the login of a refresh token, used or not, and with it its access tokens. Unknown tokens are no
    /// error: the login is over either way.
    ///
    /// # Errors
    /// [`AccessError::Db`].
    pub async fn logout(&self, refresh_token: &str) -> Result<(), AccessError> {
        if let Some(login) = token::login_of(&self.inner.keys.jwt, refresh_token) {
            let closed = self.inner.db.close_login(login).await;
            // Where nobody knows whether it was there, too; one that is over is no reason to ask for all others anew.
            if !matches!(closed, Ok(false)) {
                self.inner.logins.forget();
            }
            closed?;
        }
        Ok(())
    }

    /// The person behind an access token.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where it is not ours, over, its login ended, or its account may not be used.
    pub async fn principal_of_token(&self, access_token: &str) -> Result<Principal, AccessError> {
        self.principal_of_login(self.login_of_token(access_token)?).await
    }

    /// The login that an access token is of, for what goes on when the token's own time is over.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where the token is not ours or over.
    pub fn login_of_token(&self, access_token: &str) -> Result<Login, AccessError> {
        let claims = token::verify_access(&self.inner.keys.jwt, access_token, Utc::now());
        let claims = claims.ok_or(AccessError::Unauthenticated)?;
        let account = claims.account().ok_or(AccessError::Unauthenticated)?;
        Ok(Login { account, id: claims.login })
    }

    /// The person of a login, as of [`Principal::AGE_MAX`] ago at most.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where the login ended, or its account may not be used.
    pub async fn principal_of_login(&self, login: Login) -> Result<Principal, AccessError> {
        if !self.login_lasts(login.id, Utc::now()).await? {
            return Err(AccessError::Unauthenticated);
        }
        self.principal(login.account).await
    }

    /// Opens an opaque login where one of `readings` of what was sent is the password or its MD5; all of them are one
    /// attempt. Gives the value that stands for it: 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn open_opaque_login(
        &self,
        account: &str,
        readings: &[&str],
        address: IpAddr,
    ) -> Result<(String, Principal), LoginError> {
        let Compared { account, hash } =
            self.check_password(account, readings, Form::ClearOrMd5, address).await?;
        let principal = match self.principal(account.id).await {
            Ok(principal) => principal,
            Err(AccessError::Unauthenticated) => return Err(LoginError::Wrong),
            Err(AccessError::Busy) => return Err(LoginError::Busy),
            Err(AccessError::Db(error)) => return Err(error.into()),
        };
        let login = Opaque::login();
        let end = opaque_login_end(Utc::now());
        let opened = self.inner.db.open_opaque_login(account.id, hash, login.digest, end).await;
        opened.map_err(changed_meanwhile)?;
        info!(account.id = %account.id, "account {} logged in by the CMSV6 face", account.id);
        Ok((login.text, principal))
    }

    /// The person of the opaque login that `value` stands for, as of [`Principal::AGE_MAX`] ago at most; each use
    /// extends it to four hours from now, give or take a minute.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where it is unknown or over, or its account may not be used.
    pub async fn principal_of_opaque_login(&self, value: &str) -> Result<Principal, AccessError> {
        if value.len() != 32 || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(AccessError::Unauthenticated);
        }
        let digest = token::digest(&value.to_ascii_lowercase());
        let logins = &self.inner.opaque_logins;
        if let Some(account) = logins.lasted(&digest, Instant::now()) {
            return self.principal(account).await;
        }
        let (ends, now) = (logins.ends(), Utc::now());
        let account = self.inner.db.opaque_login_holder(digest, now, opaque_login_end(now)).await?;
        let account = account.ok_or(AccessError::Unauthenticated)?;
        logins.keep(digest, account, ends, Instant::now());
        self.principal(account).await
    }

    /// Ends the opaque login that `value` stands for; an unknown one is no error.
    ///
    /// # Errors
    /// [`AccessError::Db`].
    pub async fn close_opaque_login(&self, value: &str) -> Result<(), AccessError> {
        let closed = self.inner.db.close_opaque_login(token::digest(&value.to_ascii_lowercase())).await;
        // Where nobody knows whether it was there, too; one that never was is no reason to ask for all others anew.
        if !matches!(closed, Ok(false)) {
            self.inner.opaque_logins.forget();
        }
        closed?;
        Ok(())
    }

    /// Hashes a password for storing.
    ///
    /// # Errors
    /// [`PasswordsBusy`] while too many are being hashed.
    pub async fn hash_password(&self, password: &str) -> Result<PasswordHashes, PasswordsBusy> {
        self.inner.passwords.hash(password.to_owned()).await
    }

    /// Changes one's own password, and ends all one's logins. Attempts with a wrong old password are
    /// throttled like log-ins.
    ///
    /// # Errors
    /// [`LoginError::Wrong`] where the old one is wrong.
    pub async fn change_password(
        &self,
        principal: &Principal,
        old: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<(), LoginError> {
        let Compared { account, hash } =
            self.check_password(&principal.account.name, &[old], Form::Clear, address).await?;
        let PasswordHashes { password, password_md5 } = self.inner.passwords.hash(new.to_owned()).await?;
        let new = NewPassword { password_hash: password, md5_hash: password_md5 };
        let changed = self.inner.db.change_password(&principal.scope, account.id, hash, new).await;
        self.rights_changed();
        // Somebody else changed it since it was compared.
        if !changed? {
            return Err(LoginError::Wrong);
        }
        info!(account.id = %account.id, "account {} changed its password", account.id);
        Ok(())
    }

    async fn check_password(
        &self,
        name: &str,
        readings: &[&str],
        form: Form,
        address: IpAddr,
    ) -> Result<Compared, LoginError> {
        let readings = readings.iter().copied().filter(|reading| reading.len() <= PASSWORD_BYTES_MAX);
        let readings: Vec<&str> = readings.collect();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || readings.is_empty() {
            return Err(LoginError::Wrong);
        }
        let throttle = &self.inner.throttle;
        let throttled = |retry_after| {
            warn!(peer = %address, "log-in from {address} throttled");
            LoginError::Throttled { retry_after }
        };
        // An address that rests costs no query.
        throttle.may_ask(address, Instant::now()).map_err(throttled)?;
        let found = self.inner.db.credentials(name).await?;
        // Counted by the account itself: many spellings of a name find it.
        let counted = match &found {
            Some(Credentials { account, .. }) => account.name.clone(),
            None => name.trim().to_lowercase(),
        };
        throttle.begin(&counted, address, Instant::now()).map_err(throttled)?;
        match self.compare(found, &readings, form).await {
            Ok(Some(compared)) => {
                throttle.take_back(&counted, address, true);
                match usable(&compared.account, Utc::now()) {
                    true => Ok(compared),
                    false if compared.account.enabled => Err(LoginError::Expired),
                    false => Err(LoginError::Disabled),
                }
            }
            Ok(None) => Err(LoginError::Wrong),
            Err(busy) => {
                throttle.take_back(&counted, address, false);
                Err(busy.into())
            }
        }
    }

    /// The account, where one of the readings is its password. The same work is done where there is no such account.
    async fn compare(
        &self,
        found: Option<Credentials>,
        readings: &[&str],
        form: Form,
    ) -> Result<Option<Compared>, PasswordsBusy> {
        let (account, clear, md5) = match found {
            Some(Credentials { account, password_hash, md5_hash }) => {
                (Some(account), Some(password_hash), Some(md5_hash))
            }
            None => (None, None, None),
        };
        let passwords = &self.inner.passwords;
        let mut right = false;
        for password in readings {
            right = right || passwords.matches((*password).to_owned(), clear.clone()).await?;
            let is_md5 = password.len() == 32 && password.bytes().all(|b| b.is_ascii_hexdigit());
            if form == Form::ClearOrMd5 && is_md5 && !right {
                right = passwords.matches(password.to_ascii_lowercase(), md5.clone()).await?;
            }
        }
        let compared = account.zip(clear).map(|(account, hash)| Compared { account, hash });
        Ok(compared.filter(|_| right))
    }

    fn tokens(&self, account: &Account, login: Uuid, refresh: Opaque, now: DateTime<Utc>) -> Tokens {
        Tokens {
            access: token::sign_access(&self.inner.keys.jwt, account.id, login, now),
            refresh: refresh.text,
            must_change_password: account.must_change_password,
        }
    }

    async fn login_lasts(&self, login: Uuid, now: DateTime<Utc>) -> Result<bool, AccessError> {
        if self.inner.logins.lasted(&login, Instant::now()).is_some() {
            return Ok(true);
        }
        let ends = self.inner.logins.ends();
        let lasts = self.inner.db.login_holder(login, now).await?.is_some();
        if lasts {
            self.inner.logins.keep(login, (), ends, Instant::now());
        }
        Ok(lasts)
    }

    /// The account as it may act now, asked of the database at most every [`Principal::AGE_MAX`].
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where it is gone or may not be used.
    pub async fn principal(&self, account: AccountId) -> Result<Principal, AccessError> {
        let principals = &self.inner.principals;
        let now = Instant::now();
        if let Some(principal) = principals.fresh(account, now) {
            return Ok(principal);
        }
        let changes = principals.changes();
        let rights = self.inner.db.rights(account).await?.ok_or(AccessError::Unauthenticated)?;
        principals.admit(rights, changes, now).ok_or(AccessError::Unauthenticated)
    }
}

/// An account that goes while it logs in is an unknown one, and a password that is changed meanwhile a wrong one.
fn changed_meanwhile(error: DbError) -> LoginError {
    match error {
        DbError::NotFound => LoginError::Wrong,
        error => error.into(),
    }
}

fn refresh_end(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::days(Tokens::REFRESH_DAYS)
}

fn opaque_login_end(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::hours(OPAQUE_LOGIN_HOURS)
}
