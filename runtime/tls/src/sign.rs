//! Private keys of servers: ECDSA and Ed25519. None of RSA, as the crate that verifies its signatures does not make any
//! in constant time (RUSTSEC-2023-0071).

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePublicKey};
use p256::ecdsa::signature::Signer as _;
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    crypto::KeyProvider,
    pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer},
    sign::{Signer, SigningKey},
};

/// Reads private keys.
#[derive(Debug)]
pub(crate) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let key = p256(&key).or_else(|| p384(&key)).or_else(|| ed25519(&key));
        Ok(Arc::new(key.ok_or_else(|| Error::General("it is of no kind that is known".into()))?))
    }
}

/// Signs a message, in the form of its kind.
type Sign = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A private key, and what is done with it.
#[derive(Clone)]
struct Key {
    scheme: SignatureScheme,
    public: SubjectPublicKeyInfoDer<'static>,
    sign: Arc<Sign>,
}

impl Key {
    fn new(
        scheme: SignatureScheme,
        public: &impl EncodePublicKey,
        sign: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Option<Self> {
        let public = public.to_public_key_der().ok()?.into_vec();
        Some(Self { scheme, public: public.into(), sign: Arc::new(sign) })
    }
}

// Both curves' signatures depend on nothing random (RFC 6979).

fn p256(key: &PrivateKeyDer<'_>) -> Option<Key> {
    let secret = match key {
        PrivateKeyDer::Pkcs8(der) => p256::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?,
        PrivateKeyDer::Sec1(der) => p256::SecretKey::from_sec1_der(der.secret_sec1_der()).ok()?,
        _ => return None,
    };
    let (public, secret) = (secret.public_key(), p256::ecdsa::SigningKey::from(secret));
    Key::new(SignatureScheme::ECDSA_NISTP256_SHA256, &public, move |message| {
        let signature: p256::ecdsa::DerSignature = secret.try_sign(message).ok()?;
        Some(signature.as_bytes().to_vec())
    })
}

fn p384(key: &PrivateKeyDer<'_>) -> Option<Key> {
    let secret = match key {
        PrivateKeyDer::Pkcs8(der) => p384::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?,
        PrivateKeyDer::Sec1(der) => p384::SecretKey::from_sec1_der(der.secret_sec1_der()).ok()?,
        _ => return None,
    };
    let (public, secret) = (secret.public_key(), p384::ecdsa::SigningKey::from(secret));
    Key::new(SignatureScheme::ECDSA_NISTP384_SHA384, &public, move |message| {
        let signature: p384::ecdsa::DerSignature = secret.try_sign(message).ok()?;
        Some(signature.as_bytes().to_vec())
    })
}

fn ed25519(key: &PrivateKeyDer<'_>) -> Option<Key> {
    let PrivateKeyDer::Pkcs8(der) = key else { return None };
    let secret = ed25519_dalek::SigningKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?;
    let public = secret.verifying_key();
    Key::new(SignatureScheme::ED25519, &public, move |message| Some(secret.try_sign(message).ok()?.to_vec()))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.scheme {
            SignatureScheme::ED25519 => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        (self.sign)(message).ok_or_else(|| Error::General("it cannot be signed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
