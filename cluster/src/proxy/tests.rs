//! Headers byte by byte, laid out by hand from section 2.2 of the PROXY protocol's description; their HMACs were
//! computed by another program (Python's hmac).

use super::*;

const NOW: u64 = 1_795_321_845;

/// 192.0.2.8:40000 dialled 198.51.100.7:6605.
const IPV4: &str = "0d0a0d0a000d0a515549540a 21 11 0047 c0000208 c6336407 9c40 19cd \
    e0 0038 000000006b026ff5 000102030405060708090a0b0c0d0e0f \
    6d1e08e6b10538132993df4b0c1e49fa39bbb64f56f9079c8624733e0cef50b8";
/// [2001:db8::8]:40000 dialled [2001:db8::7]:6605.
const IPV6: &str = "0d0a0d0a000d0a515549540a 21 21 005f 20010db8000000000000000000000008 \
    20010db8000000000000000000000007 9c40 19cd \
    e0 0038 000000006b026ff5 000102030405060708090a0b0c0d0e0f \
    19d3292838f8306f4c54bc3deca017bdbc074e147a97eb65152ca6419451a7a0";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a hexadecimal number")
    };
    digits.chunks(2).map(byte).collect()
}

fn secret() -> ClusterSecret {
    ClusterSecret([7; 32])
}

fn unsealer() -> Unsealer {
    Unsealer::new(secret())
}

fn spliced(source: &str, destination: &str) -> Spliced {
    let address = |text: &str| text.parse().expect("an address");
    Spliced { source: address(source), destination: address(destination) }
}

fn nonce() -> [u8; NONCE_BYTES] {
    std::array::from_fn(|place| u8::try_from(place).expect("small"))
}

/// A header of `head` (version and command, family and protocol), these addresses and TLVs, sealed as ours are.
fn sealed_header(head: [u8; 2], addresses: &[u8], tlvs: &[u8], nonce: u8) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&head);
    let len = addresses.len() + tlvs.len() + TLV_HEAD_BYTES + SEAL_BYTES;
    header.extend_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
    header.extend_from_slice(addresses);
    header.extend_from_slice(tlvs);
    header.extend_from_slice(&[SEAL_TYPE, 0, 56]);
    header.extend_from_slice(&NOW.to_be_bytes());
    header.extend_from_slice(&[nonce; NONCE_BYTES]);
    let mac = mac(&secret(), &header).finalize().into_bytes();
    header.extend_from_slice(&mac);
    header
}

#[test]
fn the_bytes_are_those_of_the_protocol() {
    for (hex, source, destination) in
        [(IPV4, "192.0.2.8:40000", "198.51.100.7:6605"), (IPV6, "[2001:db8::8]:40000", "[2001:db8::7]:6605")]
    {
        let (header, spliced) = (bytes(hex), spliced(source, destination));
        assert_eq!(spliced.encode(&secret(), NOW, nonce()), header);
        assert_eq!(unsealer().read(&header, NOW), Ok(Some((spliced, header.len()))));
    }
}

#[test]
fn addresses_of_both_kinds_are_written_as_ipv6() {
    let mixed = spliced("192.0.2.8:40000", "[2001:db8::7]:6605");
    let header = mixed.encode(&secret(), NOW, nonce());
    assert_eq!(header[13], TCP_OVER_IPV6);
    let (read, _) = unsealer().read(&header, NOW).expect("genuine").expect("whole");
    assert_eq!(read.source.ip().to_canonical(), mixed.source.ip());
    let mapped = spliced("[::ffff:192.0.2.8]:40000", "[::ffff:198.51.100.7]:6605");
    assert_eq!(mapped.encode(&secret(), NOW, nonce()), bytes(IPV4));
}

#[test]
fn a_header_is_read_when_it_is_whole_and_not_before() {
    let header = bytes(IPV4);
    let unsealer = unsealer();
    for end in 0..header.len() {
        assert_eq!(unsealer.read(&header[..end], NOW), Ok(None), "{end} bytes");
    }
    let mut with_more = header.clone();
    with_more.extend_from_slice(&[0x7e; 2_000]);
    let read = unsealer.read(&with_more, NOW).expect("genuine").expect("whole");
    assert_eq!(read.1, header.len());
}

#[test]
fn no_byte_can_be_changed() {
    let header = bytes(IPV4);
    for at in 0..header.len() {
        for bit in [0x01, 0x80] {
            let mut changed = header.clone();
            changed[at] ^= bit;
            let read = unsealer().read(&changed, NOW);
            // A longer length is a header that is not whole yet.
            let is_length = at == 14 || at == 15;
            assert!(read.is_err() || (is_length && read == Ok(None)), "byte {at}: {read:?}");
        }
    }
    let foreign = Unsealer::new(ClusterSecret([8; 32]));
    assert_eq!(foreign.read(&header, NOW), Err(ProxyError::Forged));
}

#[test]
fn what_names_nobody_is_refused() {
    let ipv4 = [192, 0, 2, 8, 198, 51, 100, 7, 0x9c, 0x40, 0x19, 0xcd];
    let refused = |head, addresses: &[u8]| {
        unsealer().read(&sealed_header(head, addresses, &[], 0), NOW).expect_err("refused")
    };
    assert_eq!(refused([0x20, 0x00], &[]), ProxyError::Local);
    assert_eq!(refused([0x20, 0x11], &ipv4), ProxyError::Local);
    assert_eq!(refused([0x21, 0x00], &[]), ProxyError::Family(0x00), "AF_UNSPEC");
    assert_eq!(refused([0x21, 0x10], &ipv4), ProxyError::Family(0x10), "unspecified over IPv4");
    assert_eq!(refused([0x21, 0x01], &ipv4), ProxyError::Family(0x01), "TCP over nothing");
    assert_eq!(refused([0x21, 0x12], &ipv4), ProxyError::Family(0x12), "UDP");
    assert_eq!(refused([0x21, 0x31], &[0; 216]), ProxyError::Family(0x31), "a Unix socket");
    assert_eq!(refused([0x11, 0x11], &ipv4), ProxyError::Version(0x11));
    assert_eq!(refused([0x22, 0x11], &ipv4), ProxyError::Version(0x22));
    assert_eq!(unsealer().read(b"PROXY TCP4 192.0.2.8 ", NOW), Err(ProxyError::Signature), "version 1");
    assert_eq!(unsealer().read(&[0x7e, 0x01], NOW), Err(ProxyError::Signature));
}

#[test]
fn the_seal_stands_last_and_nothing_else_fills_the_header() {
    let ipv4 = [192, 0, 2, 8, 198, 51, 100, 7, 0x9c, 0x40, 0x19, 0xcd];
    // PP2_TYPE_NOOP before it is covered by it.
    let with_noop = sealed_header([0x21, 0x11], &ipv4, &[0x04, 0, 2, 0, 0], 1);
    assert!(unsealer().read(&with_noop, NOW).expect("genuine").is_some());

    let set_length = |header: &mut Vec<u8>| {
        let len = u16::try_from(header.len() - FIXED_BYTES).expect("short").to_be_bytes();
        header[14..16].copy_from_slice(&len);
    };
    let mut with_tail = bytes(IPV4);
    with_tail.extend_from_slice(&[0x04, 0, 0]);
    set_length(&mut with_tail);
    assert_eq!(unsealer().read(&with_tail, NOW), Err(ProxyError::Unsealed));
    let mut unsealed = bytes(IPV4);
    unsealed.truncate(28);
    set_length(&mut unsealed);
    assert_eq!(unsealer().read(&unsealed, NOW), Err(ProxyError::Unsealed));
    let mut torn = bytes(IPV4);
    torn.truncate(29);
    set_length(&mut torn);
    assert_eq!(unsealer().read(&torn, NOW), Err(ProxyError::Layout));
    let mut cut = bytes(IPV4);
    cut.truncate(50);
    set_length(&mut cut);
    assert_eq!(unsealer().read(&cut, NOW), Err(ProxyError::Layout), "a TLV that ends outside");
    let few_addresses = [&SIGNATURE[..], &[0x21, 0x21, 0, 12], &ipv4].concat();
    assert_eq!(unsealer().read(&few_addresses, NOW), Err(ProxyError::Layout));
    let endless = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(unsealer().read(&endless, NOW), Err(ProxyError::Oversize(65_551)));
}

#[test]
fn a_header_is_good_once_and_near_its_time() {
    let header = bytes(IPV4);
    for (now, off) in [(NOW + 31, 31), (NOW - 31, -31)] {
        assert_eq!(unsealer().read(&header, now), Err(ProxyError::Time(off)));
    }
    let unsealer = unsealer();
    assert!(unsealer.read(&header, NOW - 30).expect("genuine").is_some(), "as early as it can be");
    for later in [0, 1, 29, 60] {
        assert_eq!(unsealer.read(&header, NOW - 30 + later), Err(ProxyError::Replayed), "{later} s later");
    }
    assert_eq!(unsealer.read(&header, NOW + 31), Err(ProxyError::Time(31)));
    let other = spliced("192.0.2.8:40001", "198.51.100.7:6605").encode(&secret(), NOW, nonce());
    assert_eq!(unsealer.read(&other, NOW), Err(ProxyError::Replayed), "the same nonce for another");
}

#[test]
fn nonces_are_bounded_and_forgotten_with_their_time() {
    let unsealer = unsealer();
    let nonce = |number: usize| {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&(number as u64).to_be_bytes());
        nonce
    };
    for number in 0..NONCES_MAX {
        assert_eq!(unsealer.take(NOW, nonce(number), NOW), Ok(()));
    }
    assert_eq!(unsealer.take(NOW, nonce(NONCES_MAX), NOW), Err(ProxyError::Replayed), "there is no room");
    assert_eq!(unsealer.take(NOW + 61, nonce(0), NOW + 61), Ok(()));
    let seen = unsealer.seen.lock();
    assert_eq!((seen.nonces.len(), seen.until_s.len()), (1, 1));
}

#[test]
fn a_first_byte_tells_a_header_from_a_frame() {
    assert!(may_begin(b"\r\n\r\n") && may_begin(b""));
    assert!(!may_begin(&[0x7e]) && !may_begin(b"GET ") && !may_begin(b"\r\nGET"));
}
