//! Encryption of records (RFC 8446, 5.2).

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{AeadCore, AeadInOut, KeyInit, Nonce as NonceOf, Tag, array::typenum::Unsigned},
};
use alloc::boxed::Box;
use chacha20poly1305::ChaCha20Poly1305;
use core::marker::PhantomData;
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    crypto::cipher::{
        AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
        OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
        UnsupportedOperationError, make_tls13_aad,
    },
};

/// An algorithm, for rustls.
pub(crate) struct Aead<A>(PhantomData<fn() -> A>);

pub(crate) static CHACHA20_POLY1305: Aead<ChaCha20Poly1305> = Aead(PhantomData);
pub(crate) static AES_128_GCM: Aead<Aes128Gcm> = Aead(PhantomData);
pub(crate) static AES_256_GCM: Aead<Aes256Gcm> = Aead(PhantomData);

impl<A: AeadInOut + KeyInit + Send + Sync + 'static> Aead<A> {
    fn sealed(key: &AeadKey, iv: Iv) -> Sealed<A> {
        match A::new_from_slice(key.as_ref()) {
            Ok(cipher) => Sealed { cipher, iv },
            Err(_) => unreachable!("rustls makes keys as long as `key_len` says"),
        }
    }
}

impl<A: AeadInOut + KeyInit + Send + Sync + 'static> Tls13AeadAlgorithm for Aead<A> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Self::sealed(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Self::sealed(&key, iv))
    }

    fn key_len(&self) -> usize {
        A::key_size()
    }

    /// Keys stay where they are.
    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// One direction of a connection.
struct Sealed<A> {
    cipher: A,
    iv: Iv,
}

impl<A: AeadInOut> Sealed<A> {
    const TAG: usize = <A as AeadCore>::TagSize::USIZE;

    fn nonce(&self, number: u64) -> Option<NonceOf<A>> {
        NonceOf::<A>::try_from(Nonce::new(&self.iv, number).0.as_slice()).ok()
    }
}

impl<A: AeadInOut + Send + Sync> MessageEncrypter for Sealed<A> {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let nonce = self.nonce(number).ok_or(Error::EncryptError)?;
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &make_tls13_aad(length), payload.as_mut().into())
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        // The type of what is inside is one byte.
        length + 1 + Self::TAG
    }
}

impl<A: AeadInOut + Send + Sync> MessageDecrypter for Sealed<A> {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let length = payload.len().checked_sub(Self::TAG).ok_or(Error::DecryptError)?;
        let (text, tag) = payload.split_at_mut(length);
        let tag = Tag::<A>::try_from(&*tag).map_err(|_| Error::DecryptError)?;
        let nonce = self.nonce(number).ok_or(Error::DecryptError)?;
        self.cipher
            .decrypt_inout_detached(&nonce, &aad, text.into(), &tag)
            .map_err(|_| Error::DecryptError)?;
        payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}
