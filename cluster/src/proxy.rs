//! The header that a login server puts before a terminal's bytes when it splices it through to a gateway: PROXY
//! protocol version 2, with a seal by which the gateway knows that a login server of its cluster wrote it.
//!
//! The protocol alone lets whoever reaches the port name any peer address. So one TLV (type 0xE0, of those that the
//! protocol leaves to applications) stands last and carries the time, a nonce, and an HMAC-SHA256 under the cluster's
//! secret over every byte of the header before the HMAC itself.
//!
//! Pure; knows no socket. Only what a login server writes is taken: TCP over IPv4 or IPv6, command PROXY. A LOCAL
//! header or an unspecified address, which would leave the peer to be guessed, is refused.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

/// What every header begins with. No JT/T 808 frame and no HTTP request does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header that is read: the addresses, the seal, and other TLVs that something between may have added.
pub const HEADER_BYTES_MAX: usize = 536;

/// How far the time of a header may be from ours, seconds; 30 s are the clocks' and the network's share.
pub const AGE_MAX_S: u64 = 30;

/// Most nonces that are remembered. A header that finds no room is refused: not to be able to tell whether it is a
/// replay is to be told that it is one.
const NONCES_MAX: usize = 65_536;

/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;
/// Version 2, command PROXY.
const VERSION_AND_PROXY: u8 = 0x21;
/// Version 2, command LOCAL.
const VERSION_AND_LOCAL: u8 = 0x20;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
/// The type of the seal's TLV: PP2_TYPE_MIN_CUSTOM.
const SEAL_TYPE: u8 = 0xe0;
const TLV_HEAD_BYTES: usize = 3;
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// Unix seconds, nonce, HMAC.
const SEAL_BYTES: usize = 8 + NONCE_BYTES + MAC_BYTES;

/// Separates these signatures from any other use of the cluster's secret.
const PURPOSE: &[u8] = b"motorcade proxy header v1";

/// The secret that the nodes of a cluster share.
#[derive(Clone)]
pub struct ClusterSecret(pub [u8; 32]);

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret")
    }
}

/// Who dialled whom, before the splice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spliced {
    /// The terminal, as the login server sees it.
    pub source: SocketAddr,
    /// The login server, as the terminal dialled it.
    pub destination: SocketAddr,
}

/// Why a header is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The bytes do not begin like a header.
    #[error("not a PROXY protocol version 2 header")]
    Signature,
    /// Another version, or a command that does not exist.
    #[error("version and command {0:#04x} of the PROXY protocol are not taken")]
    Version(u8),
    /// LOCAL: the proxy speaks for itself, which a login server never does.
    #[error("a LOCAL header names nobody")]
    Local,
    /// Neither TCP over IPv4 nor over IPv6.
    #[error("family and protocol {0:#04x} are not TCP over IP")]
    Family(u8),
    /// Longer than [`HEADER_BYTES_MAX`].
    #[error("a header of {0} bytes is too long")]
    Oversize(usize),
    /// Addresses or TLVs that do not fill the header exactly.
    #[error("the header's parts do not fill it")]
    Layout,
    /// No seal at its end.
    #[error("the header has no seal")]
    Unsealed,
    /// The seal is not of this cluster's secret.
    #[error("the header's seal is forged")]
    Forged,
    /// Its time is too far from ours.
    #[error("the header is of {0} s before our time")]
    Time(i64),
    /// Its nonce was seen before, or there is no room to tell.
    #[error("the header was seen before")]
    Replayed,
}

impl Spliced {
    /// The header, sealed at `unix_s` with `nonce`, which must be random.
    pub fn encode(&self, secret: &ClusterSecret, unix_s: u64, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut header = Vec::with_capacity(FIXED_BYTES + IPV6_BYTES + TLV_HEAD_BYTES + SEAL_BYTES);
        header.extend_from_slice(&SIGNATURE);
        header.push(VERSION_AND_PROXY);
        let (source, destination) = (self.source, self.destination);
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header.push(TCP_OVER_IPV4);
                header.extend_from_slice(&length(IPV4_BYTES));
                header.extend_from_slice(&from.octets());
                header.extend_from_slice(&to.octets());
            }
            (from, to) => {
                header.push(TCP_OVER_IPV6);
                header.extend_from_slice(&length(IPV6_BYTES));
                header.extend_from_slice(&mapped(from).octets());
                header.extend_from_slice(&mapped(to).octets());
            }
        }
        header.extend_from_slice(&source.port().to_be_bytes());
        header.extend_from_slice(&destination.port().to_be_bytes());
        header.push(SEAL_TYPE);
        header.extend_from_slice(&(SEAL_BYTES as u16).to_be_bytes());
        header.extend_from_slice(&unix_s.to_be_bytes());
        header.extend_from_slice(&nonce);
        let mac = mac(secret, &header).finalize().into_bytes();
        header.extend_from_slice(&mac);
        header
    }
}

/// The length field of a header whose addresses take `address_bytes`.
fn length(address_bytes: usize) -> [u8; 2] {
    ((address_bytes + TLV_HEAD_BYTES + SEAL_BYTES) as u16).to_be_bytes()
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn mac(secret: &ClusterSecret, signed: &[u8]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes a key of any length");
    hmac.update(PURPOSE);
    hmac.update(signed);
    hmac
}

/// Whether bytes may be a header: they begin with its signature, as far as they go.
pub fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(SIGNATURE).all(|(byte, expected)| *byte == expected)
}

/// Reads sealed headers, and remembers them for as long as their time is good.
#[derive(Debug)]
pub struct Unsealer {
    secret: ClusterSecret,
    seen: Mutex<Seen>,
}

/// The nonces whose headers would still be believed by their time.
#[derive(Debug, Default)]
struct Seen {
    nonces: HashSet<[u8; NONCE_BYTES]>,
    /// Until which second each is to be remembered, in the order in which they came.
    until_s: VecDeque<(u64, [u8; NONCE_BYTES])>,
}

impl Unsealer {
    /// Believes headers under this secret.
    pub fn new(secret: ClusterSecret) -> Self {
        Self { secret, seen: Mutex::default() }
    }

    /// Reads the header that `bytes` begin with: who is spliced, and how many bytes it took. None while more bytes
    /// are needed; never more than [`HEADER_BYTES_MAX`] in all.
    ///
    /// # Errors
    /// [`ProxyError`], as soon as it is certain. The connection is to be closed without an answer.
    pub fn read(&self, bytes: &[u8], now_unix_s: u64) -> Result<Option<(Spliced, usize)>, ProxyError> {
        let Some(header) = whole(bytes)? else { return Ok(None) };
        let (spliced, tlvs) = addresses(header)?;
        let (signed, given) = sealed(header, tlvs)?;
        mac(&self.secret, signed).verify_slice(given).map_err(|_| ProxyError::Forged)?;
        // What was signed ends with the time and the nonce.
        let (rest, nonce) = signed.split_last_chunk::<NONCE_BYTES>().ok_or(ProxyError::Unsealed)?;
        let (_, unix_s) = rest.split_last_chunk::<8>().ok_or(ProxyError::Unsealed)?;
        self.take(u64::from_be_bytes(*unix_s), *nonce, now_unix_s)?;
        Ok(Some((spliced, header.len())))
    }

    /// A genuine header is good once, and near its time.
    fn take(&self, unix_s: u64, nonce: [u8; NONCE_BYTES], now_unix_s: u64) -> Result<(), ProxyError> {
        if now_unix_s.abs_diff(unix_s) > AGE_MAX_S {
            return Err(ProxyError::Time(now_unix_s.cast_signed().wrapping_sub(unix_s.cast_signed())));
        }
        let mut seen = self.seen.lock();
        while seen.until_s.front().is_some_and(|(until_s, _)| *until_s < now_unix_s) {
            if let Some((_, nonce)) = seen.until_s.pop_front() {
                seen.nonces.remove(&nonce);
            }
        }
        if seen.nonces.len() >= NONCES_MAX || !seen.nonces.insert(nonce) {
            return Err(ProxyError::Replayed);
        }
        // The latest second at which any header that came by now is believed: so they end in the order they came.
        seen.until_s.push_back((now_unix_s.saturating_add(2 * AGE_MAX_S), nonce));
        Ok(())
    }
}

/// The header's bytes, when they are all there.
fn whole(bytes: &[u8]) -> Result<Option<&[u8]>, ProxyError> {
    if !may_begin(bytes) {
        return Err(ProxyError::Signature);
    }
    match bytes.get(SIGNATURE.len()) {
        None => return Ok(None),
        Some(&VERSION_AND_PROXY) => {}
        Some(&VERSION_AND_LOCAL) => return Err(ProxyError::Local),
        Some(other) => return Err(ProxyError::Version(*other)),
    }
    match bytes.get(SIGNATURE.len() + 1) {
        None => return Ok(None),
        Some(&(TCP_OVER_IPV4 | TCP_OVER_IPV6)) => {}
        Some(other) => return Err(ProxyError::Family(*other)),
    }
    let Some([.., high, low]) = bytes.get(..FIXED_BYTES) else { return Ok(None) };
    let header_bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if header_bytes > HEADER_BYTES_MAX {
        return Err(ProxyError::Oversize(header_bytes));
    }
    Ok(bytes.get(..header_bytes))
}

/// The addresses of a whole header, and its TLVs.
fn addresses(header: &[u8]) -> Result<(Spliced, &[u8]), ProxyError> {
    let rest = header.get(FIXED_BYTES..).ok_or(ProxyError::Layout)?;
    let port = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    if header.get(SIGNATURE.len() + 1) == Some(&TCP_OVER_IPV4) {
        let (block, tlvs) = rest.split_first_chunk::<IPV4_BYTES>().ok_or(ProxyError::Layout)?;
        let [a, b, c, d, e, f, g, h, ports @ ..] = *block;
        let [source_high, source_low, destination_high, destination_low] = ports;
        let spliced = Spliced {
            source: (Ipv4Addr::new(a, b, c, d), port(source_high, source_low)).into(),
            destination: (Ipv4Addr::new(e, f, g, h), port(destination_high, destination_low)).into(),
        };
        return Ok((spliced, tlvs));
    }
    let (block, tlvs) = rest.split_first_chunk::<IPV6_BYTES>().ok_or(ProxyError::Layout)?;
    let (source, block) = block.split_first_chunk::<16>().ok_or(ProxyError::Layout)?;
    let (destination, ports) = block.split_first_chunk::<16>().ok_or(ProxyError::Layout)?;
    let &[source_high, source_low, destination_high, destination_low] = ports else {
        return Err(ProxyError::Layout);
    };
    let spliced = Spliced {
        source: (Ipv6Addr::from(*source), port(source_high, source_low)).into(),
        destination: (Ipv6Addr::from(*destination), port(destination_high, destination_low)).into(),
    };
    Ok((spliced, tlvs))
}

/// What the seal at the end of `header` covers, and its HMAC. What stands behind it would be covered by nothing.
fn sealed<'a>(header: &'a [u8], mut tlvs: &[u8]) -> Result<(&'a [u8], &'a [u8]), ProxyError> {
    loop {
        let (head, rest) = match tlvs.split_first_chunk::<TLV_HEAD_BYTES>() {
            Some(split) => split,
            None if tlvs.is_empty() => return Err(ProxyError::Unsealed),
            None => return Err(ProxyError::Layout),
        };
        let [kind, high, low] = *head;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (_, behind) = rest.split_at_checked(len).ok_or(ProxyError::Layout)?;
        if kind == SEAL_TYPE {
            return if len == SEAL_BYTES && behind.is_empty() {
                header.split_at_checked(header.len() - MAC_BYTES).ok_or(ProxyError::Layout)
            } else {
                Err(ProxyError::Unsealed)
            };
        }
        tlvs = behind;
    }
}

#[cfg(test)]
mod tests;
