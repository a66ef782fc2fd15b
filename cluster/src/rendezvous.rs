//! Rendezvous hashing: which node is for a thing, as every node comes to it by itself.

use crate::NodeId;

/// How well `node` fits the thing named `key`; the highest is for it, so that a node that goes moves nothing but what
/// was its own. The same in every process: FNV-1a with a final mix (of MurmurHash3).
pub(crate) fn rendezvous(key: &[u8], node: &NodeId) -> u64 {
    let bytes = node.as_str().bytes().chain(key.iter().copied());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
