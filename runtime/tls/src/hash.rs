//! Hashes, and keys made with them.

use alloc::boxed::Box;
use core::marker::PhantomData;
use hmac::{
    KeyInit, Mac, SimpleHmac,
    digest::{Digest, block_api::BlockSizeUser},
};
use rustls::crypto::{hash, hmac as keyed};
use sha2::{Sha256, Sha384};

/// A hash function, for rustls.
pub(crate) struct Hash<D>(hash::HashAlgorithm, PhantomData<fn() -> D>);

pub(crate) static SHA256: Hash<Sha256> = Hash(hash::HashAlgorithm::SHA256, PhantomData);
pub(crate) static SHA384: Hash<Sha384> = Hash(hash::HashAlgorithm::SHA384, PhantomData);

impl<D: Digest + Clone + Send + Sync + 'static> hash::Hash for Hash<D> {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Context(D::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        self.0
    }
}

struct Context<D>(D);

impl<D: Digest + Clone + Send + Sync + 'static> hash::Context for Context<D> {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

/// HMAC with a hash function.
pub(crate) struct Hmac<D>(PhantomData<fn() -> D>);

pub(crate) static HMAC_SHA256: Hmac<Sha256> = Hmac(PhantomData);
pub(crate) static HMAC_SHA384: Hmac<Sha384> = Hmac(PhantomData);

impl<D: Digest + BlockSizeUser + Clone + Send + Sync + 'static> keyed::Hmac for Hmac<D> {
    fn with_key(&self, key: &[u8]) -> Box<dyn keyed::Key> {
        match SimpleHmac::<D>::new_from_slice(key) {
            Ok(mac) => Box::new(Key(mac)),
            Err(_) => unreachable!("keys of HMAC have any length"),
        }
    }

    fn hash_output_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}

struct Key<D: Digest + BlockSizeUser>(SimpleHmac<D>);

impl<D: Digest + BlockSizeUser + Clone + Send + Sync> keyed::Key for Key<D> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> keyed::Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        middle.iter().for_each(|part| mac.update(part));
        mac.update(last);
        keyed::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}
