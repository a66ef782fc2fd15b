//! Content codings: replies are compressed for whoever takes that.
//!
//! Knows nothing of what is sent; which replies are never compressed is said where they are made.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT_ENCODING, AcceptEncoding, Encoding, Header as _};
use actix_web::middleware::Next;

/// Stands around the compression, which would answer 406 in a form of its own to a caller who refuses every
/// coding, the absence of one (`identity;q=0`) too. Such a wish is disregarded: the reply leaves as it is.
pub(crate) async fn lenient(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let known = [Encoding::identity(), Encoding::gzip(), Encoding::deflate()];
    if AcceptEncoding::parse(&request).is_ok_and(|accepted| accepted.negotiate(known.iter()).is_none()) {
        request.headers_mut().remove(ACCEPT_ENCODING);
    }
    next.call(request).await
}
