//! Key exchange: X25519 and P-256.

use crate::random::{self, Source};
use alloc::{boxed::Box, vec::Vec};
use p256::{ecdh::EphemeralSecret, elliptic_curve::Generate};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup},
};
use x25519_dalek::StaticSecret;

const WRONG_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// X25519 (RFC 7748).
#[derive(Debug)]
pub(crate) struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        random::fill(&mut bytes).ok_or(Error::FailedToGetRandomBytes)?;
        let secret = StaticSecret::from(bytes);
        Ok(Box::new(OnX25519 { public: x25519_dalek::PublicKey::from(&secret), secret }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct OnX25519 {
    secret: StaticSecret,
    public: x25519_dalek::PublicKey,
}

impl ActiveKeyExchange for OnX25519 {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        let theirs = <[u8; 32]>::try_from(theirs).map_err(|_| WRONG_SHARE)?;
        let shared = self.secret.diffie_hellman(&theirs.into());
        // A point of small order would make the secret one that anybody knows (RFC 8446, 7.4.2).
        if !shared.was_contributory() {
            return Err(WRONG_SHARE);
        }
        Ok(SharedSecret::from(shared.as_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The curve P-256 (FIPS 186-5).
#[derive(Debug)]
pub(crate) struct P256;

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret =
            EphemeralSecret::try_generate_from_rng(&mut Source).map_err(|_| Error::FailedToGetRandomBytes)?;
        let public = secret.public_key().to_sec1_bytes().into_vec();
        Ok(Box::new(OnP256 { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct OnP256 {
    secret: EphemeralSecret,
    /// The point, not compressed.
    public: Vec<u8>,
}

impl ActiveKeyExchange for OnP256 {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        // The only form of TLS 1.3 (RFC 8446, 4.2.8.2).
        const UNCOMPRESSED: u8 = 4;
        if theirs.first() != Some(&UNCOMPRESSED) {
            return Err(WRONG_SHARE);
        }
        // That the point lies on the curve is checked here.
        let theirs = p256::PublicKey::from_sec1_bytes(theirs).map_err(|_| WRONG_SHARE)?;
        Ok(SharedSecret::from(self.secret.diffie_hellman(&theirs).raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}
