//! Who may watch: what the media server and the login server ask, answered by `access`.

use access::{Access, AccessError, MayView, TicketError};
use async_trait::async_trait;
use media::{Refusal, Viewers};
use model::{AccountId, Channel, Profile, StreamKey, TerminalId};

/// Asks `access`.
pub(crate) struct Rights(pub Access);

#[async_trait]
impl Viewers for Rights {
    async fn open(&self, ticket: &str, stream: &StreamKey) -> Result<AccountId, Refusal> {
        let ticket = self.0.check_ticket(ticket, stream).map_err(|error| match error {
            TicketError::Invalid => Refusal::Invalid,
            TicketError::Expired => Refusal::Expired,
            TicketError::OtherStream => Refusal::OtherStream,
        })?;
        self.recheck(ticket.account, stream.terminal).await?;
        Ok(ticket.account)
    }

    async fn open_by_login(
        &self,
        login: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<(AccountId, StreamKey), Refusal> {
        let principal = self.0.principal_of_opaque_login(login).await.map_err(refusal)?;
        let terminal = self
            .0
            .terminal_by_device_no(&principal, device)
            .await
            .map_err(refusal)?
            .ok_or(Refusal::NotFound)?;
        self.recheck(principal.account.id, terminal).await?;
        Ok((principal.account.id, StreamKey::live(terminal, channel, profile)))
    }

    async fn recheck(&self, account: AccountId, terminal: TerminalId) -> Result<(), Refusal> {
        match self.0.may_view(account, terminal).await.map_err(refusal)? {
            MayView::Yes => Ok(()),
            MayView::NoRight => Err(Refusal::Forbidden),
            MayView::NotVisible => Err(Refusal::NotFound),
        }
    }
}

fn refusal(error: AccessError) -> Refusal {
    match error {
        AccessError::Unauthenticated => Refusal::Invalid,
        _ => Refusal::Unavailable,
    }
}

#[async_trait]
impl login::Clients for Rights {
    async fn stream(
        &self,
        session: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<StreamKey, login::Refusal> {
        let opened = Viewers::open_by_login(self, session, device, channel, profile).await;
        opened.map(|(_, stream)| stream).map_err(|refusal| match refusal {
            Refusal::Forbidden => login::Refusal::Forbidden,
            Refusal::NotFound => login::Refusal::NotFound,
            Refusal::Unavailable => login::Refusal::Unavailable,
            Refusal::Invalid | Refusal::Expired | Refusal::OtherStream => login::Refusal::Invalid,
        })
    }
}
