//! TLS 1.3, as a server and as a client: [rustls](https://docs.rs/rustls) with algorithms of
//! [RustCrypto](https://github.com/RustCrypto) and dalek.
//!
//! Nothing here knows of a network or of a clock, and nothing waits: a [`Session`] takes bytes that came and has bytes
//! that are to be sent. All that is random comes from [`random`], which begins with bytes from outside or not at all.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod aead;
mod config;
mod hash;
mod key_exchange;
mod provider;
pub mod random;
mod session;
mod sign;
mod verify;

pub use config::{Client, Now, Server};
pub use session::{Session, Step};

use core::fmt;
use rustls::CertificateError;

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// What was to be a certificate, or a chain of them, is none.
    BadCertificate,
    /// What was to be a private key is none of a kind that is known: ECDSA with P-256 or P-384, or Ed25519.
    BadKey,
    /// The key is not that of the certificate.
    OtherKey,
    /// What was to be a server's name is none.
    BadName,
    /// There are no random bytes: nobody has begun [`random`].
    NoRandom,
    /// The time of day is not known, so that nobody can say which certificates are valid.
    NoTime,
    /// The other side sends more than is taken before it is understood.
    TooLong,
    /// The two sides do not come to terms, the other side's certificate among them.
    Tls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadCertificate => "the certificate is none: it has to be X.509, in PEM or DER",
            Self::BadKey => "the private key is none of ECDSA (P-256, P-384) or Ed25519, in PEM",
            Self::OtherKey => "the private key is not that of the certificate",
            Self::BadName => "the server's name is neither a DNS name nor an address",
            Self::NoRandom => "there are no random bytes",
            Self::NoTime => "the time of day is not known, and certificates are valid for a time only",
            Self::TooLong => "a message of the handshake is too long",
            // rustls shows the inside of its value where there is no `std`.
            Self::Tls(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                ..
            })) => "invalid peer certificate: not valid for name",
            Self::Tls(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for Error {}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::FailedToGetCurrentTime => Self::NoTime,
            rustls::Error::FailedToGetRandomBytes => Self::NoRandom,
            other => Self::Tls(other),
        }
    }
}

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod session_tests;
