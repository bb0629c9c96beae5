//! Signatures of certificates and handshakes: ECDSA, Ed25519, and RSA, which most certificates in the world lead to.

use p256::ecdsa::signature::{Verifier, hazmat::PrehashVerifier};
use rsa::{pkcs1::DecodeRsaPublicKey, traits::PublicKeyParts};
use rustls::{
    SignatureScheme,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id},
};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// What is asked of a signature: key, message, signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Option<()>;

/// A kind of key with a kind of signature.
#[derive(Debug)]
struct Algorithm {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify,
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.verify)(key, message, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

const fn algorithm(key: AlgorithmIdentifier, signature: AlgorithmIdentifier, verify: Verify) -> Algorithm {
    Algorithm { key, signature, verify }
}

static P256_SHA256: Algorithm = algorithm(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256, p256::<Sha256>);
static P256_SHA384: Algorithm = algorithm(alg_id::ECDSA_P256, alg_id::ECDSA_SHA384, p256::<Sha384>);
static P384_SHA256: Algorithm = algorithm(alg_id::ECDSA_P384, alg_id::ECDSA_SHA256, p384::<Sha256>);
static P384_SHA384: Algorithm = algorithm(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384, p384::<Sha384>);
static ED25519: Algorithm = algorithm(alg_id::ED25519, alg_id::ED25519, ed25519);
static PKCS1_SHA256: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256, |key, message, signature| {
        pkcs1(rsa::pkcs1v15::VerifyingKey::<Sha256>::new(rsa(key)?), message, signature)
    });
static PKCS1_SHA384: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA384, |key, message, signature| {
        pkcs1(rsa::pkcs1v15::VerifyingKey::<Sha384>::new(rsa(key)?), message, signature)
    });
static PKCS1_SHA512: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA512, |key, message, signature| {
        pkcs1(rsa::pkcs1v15::VerifyingKey::<Sha512>::new(rsa(key)?), message, signature)
    });
static PSS_SHA256: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA256, |key, message, signature| {
        pss(rsa::pss::VerifyingKey::<Sha256>::new(rsa(key)?), message, signature)
    });
static PSS_SHA384: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA384, |key, message, signature| {
        pss(rsa::pss::VerifyingKey::<Sha384>::new(rsa(key)?), message, signature)
    });
static PSS_SHA512: Algorithm =
    algorithm(alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA512, |key, message, signature| {
        pss(rsa::pss::VerifyingKey::<Sha512>::new(rsa(key)?), message, signature)
    });

/// All of them. In a handshake a curve goes with its own hash only (RFC 8446, 4.2.3), in certificates with either.
pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &P256_SHA256,
        &P256_SHA384,
        &P384_SHA256,
        &P384_SHA384,
        &ED25519,
        &PSS_SHA256,
        &PSS_SHA384,
        &PSS_SHA512,
        &PKCS1_SHA256,
        &PKCS1_SHA384,
        &PKCS1_SHA512,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256, &P384_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384, &P256_SHA384]),
        (SignatureScheme::ED25519, &[&ED25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[&PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[&PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[&PSS_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[&PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&PKCS1_SHA512]),
    ],
};

fn p256<D: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn p384<D: Digest>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    key.verify_strict(message, &signature).ok()
}

/// A key of 2048 bits or more; the crate refuses those of more than 4096, which take long.
fn rsa(key: &[u8]) -> Option<rsa::PublicKey> {
    const LEAST: usize = 2048 / 8;
    rsa::PublicKey::from_pkcs1_der(key).ok().filter(|key| key.size() >= LEAST)
}

fn pkcs1<V: Verifier<rsa::pkcs1v15::Signature>>(key: V, message: &[u8], signature: &[u8]) -> Option<()> {
    key.verify(message, &signature.try_into().ok()?).ok()
}

fn pss<V: Verifier<rsa::pss::Signature>>(key: V, message: &[u8], signature: &[u8]) -> Option<()> {
    key.verify(message, &signature.try_into().ok()?).ok()
}
