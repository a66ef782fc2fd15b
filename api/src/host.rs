//! The host by which the caller reached this server: what media URLs name where nothing is advertised.

use actix_web::HttpRequest;
use actix_web::http::header::HOST;

/// The host of the request without its port, an IPv6 address without brackets. Anything that is not
/// plainly a host is passed over for the server's own address.
pub(crate) fn host(request: &HttpRequest) -> String {
    let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let named = request.uri().authority().map(|authority| authority.as_str()).or(header);
    match named.and_then(without_port) {
        Some(host) => host.to_owned(),
        None => request.app_config().local_addr().ip().to_string(),
    }
}

fn without_port(authority: &str) -> Option<&str> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(plain)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_without_its_port() {
        assert_eq!(without_port("v.example:8080"), Some("v.example"));
        assert_eq!(without_port("v.example"), Some("v.example"));
        assert_eq!(without_port("[2001:db8::1]:8080"), Some("2001:db8::1"));
        for wrong in ["", ":80", "[2001", "a/b", "a b", "a\"b", "user@host"] {
            assert_eq!(without_port(wrong), None, "{wrong}");
        }
    }
}
