//! The types of the operating system and the network: paths, strings, addresses.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::as_conversions
)]

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::value::{Decode, Decoder, Encode, Encoder};

/// The bytes of a string of the operating system, if they can be read back.
fn os_bytes(text: &OsStr) -> Option<&[u8]> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStrExt::as_bytes(text));
    #[cfg(not(unix))]
    return text.to_str().map(str::as_bytes);
}

fn os_string(bytes: &[u8]) -> Option<OsString> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec()));
    #[cfg(not(unix))]
    return std::str::from_utf8(bytes).ok().map(OsString::from);
}

impl Encode for OsStr {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        let bytes = os_bytes(self).ok_or_else(|| {
            let what = "a string of the operating system that is not Unicode cannot be stored here";
            Error::invalid_input(what, "")
        })?;
        to.bytes(bytes)
    }
}

impl Encode for OsString {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        self.as_os_str().encode(to)
    }
}

impl Decode for OsString {
    fn decode(from: &mut Decoder<'_>) -> Result<OsString> {
        let bytes = from.bytes()?;
        os_string(bytes).ok_or_else(|| from.expected("bytes that are UTF-8"))
    }
}

impl Encode for Path {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        self.as_os_str().encode(to)
    }
}

impl Encode for PathBuf {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        self.as_os_str().encode(to)
    }
}

impl Decode for PathBuf {
    fn decode(from: &mut Decoder<'_>) -> Result<PathBuf> {
        OsString::decode(from).map(PathBuf::from)
    }
}

/// Addresses of the internet (RFC 9164, section 3): tags of byte strings.
const IPV4: u64 = 52;
const IPV6: u64 = 54;

impl Encode for IpAddr {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        match self {
            IpAddr::V4(address) => to.tag(IPV4, |to| to.bytes(&address.octets())),
            IpAddr::V6(address) => to.tag(IPV6, |to| to.bytes(&address.octets())),
        }
    }
}

impl Decode for IpAddr {
    fn decode(from: &mut Decoder<'_>) -> Result<IpAddr> {
        match from.next_tag() {
            Some(IPV4) => from.tag(IPV4, <[u8; 4]>::decode).map(IpAddr::from),
            Some(IPV6) => from.tag(IPV6, <[u8; 16]>::decode).map(IpAddr::from),
            _ => {
                from.skip()?;
                Err(from.expected("an address of the internet, tag 52 or 54,"))
            }
        }
    }
}

impl Encode for SocketAddr {
    fn encode(&self, to: &mut Encoder) -> Result<()> {
        match self {
            SocketAddr::V6(v6) if (v6.flowinfo(), v6.scope_id()) != (0, 0) => {
                (self.ip(), self.port(), v6.flowinfo(), v6.scope_id()).encode(to)
            }
            _ => (self.ip(), self.port()).encode(to),
        }
    }
}

impl Decode for SocketAddr {
    fn decode(from: &mut Decoder<'_>) -> Result<SocketAddr> {
        if from.next_array() != Some(4) {
            return <(IpAddr, u16)>::decode(from).map(SocketAddr::from);
        }
        match <(IpAddr, u16, u32, u32)>::decode(from)? {
            (IpAddr::V6(ip), port, flow, scope) if (flow, scope) != (0, 0) => {
                Ok(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => Err(from.expected("a flow or a scope of an address of IPv6")),
        }
    }
}
