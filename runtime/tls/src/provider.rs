//! What rustls is given to work with: algorithms of RustCrypto and dalek, none of which asks an operating system for
//! anything.

use crate::{
    aead::{AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305},
    hash::{HMAC_SHA256, HMAC_SHA384, SHA256, SHA384},
    key_exchange::{P256, X25519},
    random::Source,
    sign::Keys,
    verify::ALGORITHMS,
};
use alloc::{sync::Arc, vec};
use rustls::{
    CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite,
    crypto::{CryptoProvider, tls13::HkdfUsingHmac},
};

/// Records of AES-GCM that a key is good for (see rustls's `CipherSuiteCommon`).
const GCM_LIMIT: u64 = 1 << 24;

static CHACHA20_SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: &SHA256,
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&HMAC_SHA256),
    aead_alg: &CHACHA20_POLY1305,
    quic: None,
};

static AES_128_SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &SHA256,
        confidentiality_limit: GCM_LIMIT,
    },
    hkdf_provider: &HkdfUsingHmac(&HMAC_SHA256),
    aead_alg: &AES_128_GCM,
    quic: None,
};

static AES_256_SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
        hash_provider: &SHA384,
        confidentiality_limit: GCM_LIMIT,
    },
    hkdf_provider: &HkdfUsingHmac(&HMAC_SHA384),
    aead_alg: &AES_256_GCM,
    quic: None,
};

/// The algorithms, those first that are fastest without instructions of their own.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            SupportedCipherSuite::Tls13(&CHACHA20_SUITE),
            SupportedCipherSuite::Tls13(&AES_128_SUITE),
            SupportedCipherSuite::Tls13(&AES_256_SUITE),
        ],
        kx_groups: vec![&X25519, &P256],
        signature_verification_algorithms: ALGORITHMS,
        secure_random: &Source,
        key_provider: &Keys,
    })
}
