//! Both sides of a connection, beside each other.

use crate::{Client, Error, Now, Server, Session, Step, random};
use rustls::{CertificateError, Error::InvalidCertificate};
use std::time::Duration;

/// A file of the certificates and keys that all tests use.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tls/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// 2026-11-28.
pub(crate) fn now() -> Option<Duration> {
    Some(Duration::from_secs(1_795_898_254))
}

/// Begins what is random, once for all tests: they are in one process.
pub(crate) fn begin() {
    static BEGUN: std::sync::Once = std::sync::Once::new();
    BEGUN.call_once(|| {
        let mut seed = [0; 32];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut seed).unwrap();
        random::begin(seed, || None);
    });
}

fn server(name: &str) -> Result<Server, Error> {
    Server::new(&file(&format!("{name}.pem")), &file(&format!("{name}.key")))
}

fn client(roots: &str, now: Now) -> Client {
    Client::new(&file(roots), now).unwrap()
}

fn pair(name: &str, roots: &str, now: Now, called: &str) -> (Session, Session) {
    begin();
    let client = client(roots, now).session(called).unwrap();
    (client, server(name).unwrap().session().unwrap())
}

/// Hands over what one side has to say, in pieces of `size`.
fn hand_over(from: &mut Session, to: &mut Session, size: usize) -> Result<(), Error> {
    let bytes: Vec<_> = from.outgoing().drain(..).collect();
    for piece in bytes.chunks(size) {
        to.received(piece);
        to.advance()?;
    }
    Ok(())
}

/// Lets both come to terms.
fn shake_hands(client: &mut Session, server: &mut Session, size: usize) -> Result<(), Error> {
    for _ in 0..4 {
        let client_says = client.advance();
        let server_hears = hand_over(client, server, size);
        client_says.and(server_hears)?;
        let server_says = server.advance();
        let client_hears = hand_over(server, client, size);
        server_says.and(client_hears)?;
    }
    assert_eq!((client.advance()?, server.advance()?), (Step::Open, Step::Open));
    Ok(())
}

#[test]
fn both_hear_what_the_other_says_whatever_pieces_it_comes_in() {
    let text: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
    for size in [1, 7, 1460, 100_000] {
        let (mut client, mut server) = pair("server", "root.pem", now, "fetch.test");
        shake_hands(&mut client, &mut server, size).unwrap();
        let mut heard = Vec::new();
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let said = client.say(rest).unwrap();
            rest = &rest[said..];
            let bytes: Vec<_> = client.outgoing().drain(..).collect();
            // Nothing of it is to be seen on the way.
            assert!(said < 32 || !bytes.windows(32).any(|window| window == &text[..32]));
            for piece in bytes.chunks(size) {
                server.received(piece);
                assert_eq!(server.advance().unwrap(), Step::Open);
                heard.append(server.plain());
            }
        }
        assert_eq!(heard, text);
        server.say(b"answer").unwrap();
        server.finish().unwrap();
        let bytes: Vec<_> = server.outgoing().drain(..).collect();
        client.received(&bytes);
        client.advance().unwrap();
        assert_eq!(client.plain().drain(..).collect::<Vec<_>>(), b"answer");
        assert_eq!(client.advance().unwrap(), Step::Ended);
        // The other direction is still open.
        client.say(b"thanks").unwrap();
        client.finish().unwrap();
        assert_eq!(hand_over(&mut client, &mut server, size), Ok(()));
        assert_eq!(server.plain().drain(..).collect::<Vec<_>>(), b"thanks");
        assert_eq!(server.advance().unwrap(), Step::Ended);
        assert!(server.say(b"too late").is_err());
    }
}

#[test]
fn every_kind_of_key_that_a_server_may_have_works() {
    for name in ["server", "server-p384", "server-ed25519"] {
        for called in ["fetch.test", "10.0.2.2"] {
            let (mut client, mut server) = pair(name, "root.pem", now, called);
            shake_hands(&mut client, &mut server, 1460).unwrap();
        }
    }
    let rsa = server("server-rsa").map(drop);
    assert_eq!(rsa, Err(Error::BadKey));
}

#[test]
fn whom_a_client_does_not_believe_it_does_not_talk_to() {
    let early = || Some(Duration::from_secs(1_500_000_000));
    let outcome = |name: &str, roots: &str, now: Now, called: &str| {
        let (mut client, mut server) = pair(name, roots, now, called);
        let outcome = shake_hands(&mut client, &mut server, 1460).unwrap_err();
        // Nothing can be said, and the other side is told.
        assert!(client.say(b"secret").is_err(), "{name}");
        assert!(!client.outgoing().is_empty() || server.advance().is_err(), "{name}");
        outcome
    };
    let because = |error: &Error| match error {
        Error::Tls(InvalidCertificate(error)) => error.clone(),
        other => panic!("{other}"),
    };
    let unknown = outcome("unknown", "root.pem", now, "fetch.test");
    assert_eq!(because(&unknown), CertificateError::UnknownIssuer);
    let expired = outcome("expired", "root.pem", now, "fetch.test");
    assert!(matches!(because(&expired), CertificateError::ExpiredContext { .. }), "{expired}");
    let name = outcome("other-name", "root.pem", now, "fetch.test");
    assert!(matches!(because(&name), CertificateError::NotValidForNameContext { .. }), "{name}");
    let not_yet = outcome("server", "root.pem", early, "fetch.test");
    assert!(matches!(because(&not_yet), CertificateError::NotValidYetContext { .. }), "{not_yet}");
    // A clock that shows nothing.
    assert_eq!(outcome("server", "root.pem", || None, "fetch.test"), Error::NoTime);
}

#[test]
fn what_was_changed_on_the_way_is_never_heard() {
    const SAID: &[u8] = b"the quick brown fox jumps over the lazy dog";
    // The type and the version that a record shows outside mean nothing (RFC 8446, 5.2).
    const OUTSIDE: usize = 3;
    for byte in 0..5 + SAID.len() + 17 {
        let bit = 8 * byte + byte % 8;
        let (mut client, mut server) = pair("server", "root.pem", now, "fetch.test");
        shake_hands(&mut client, &mut server, 1460).unwrap();
        client.say(SAID).unwrap();
        let mut bytes: Vec<_> = client.outgoing().drain(..).collect();
        bytes[bit / 8] ^= 1 << (bit % 8);
        server.received(&bytes);
        let heard = server.advance();
        // A record that became longer may still go on.
        assert!(heard.is_err() || bit / 8 < 5, "{bit}: {heard:?}");
        assert!(server.plain().is_empty() || (bit / 8 < OUTSIDE && server.plain() == SAID), "{bit}");
    }
}

#[test]
fn what_is_no_handshake_is_an_error_and_takes_no_memory() {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..300 {
        let (mut client, mut server) = pair("server", "root.pem", now, "fetch.test");
        client.advance().unwrap();
        let mut hello: Vec<_> = client.outgoing().drain(..).collect();
        for _ in 0..=round % 7 {
            let at = usize::from(next()) % hello.len();
            hello[at] ^= next();
        }
        server.received(&hello);
        // No panic, whatever it makes of it.
        let _ = server.advance();
    }
    // A message that never ends.
    let (_, mut server) = pair("server", "root.pem", now, "fetch.test");
    let record = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    let error = (0..100).find_map(|_| {
        server.received(&record);
        server.advance().err()
    });
    assert!(error.is_some());
}

#[test]
fn what_is_no_certificate_key_or_name_is_told() {
    begin();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let server = |certificate: &[u8], key: &[u8]| Server::new(certificate, key).map(drop);
    assert_eq!(server(&certificate, &key), Ok(()));
    assert_eq!(server(&certificate, &file("expired.key")), Err(Error::OtherKey));
    assert_eq!(server(b"", &key), Err(Error::BadCertificate));
    assert_eq!(server(&key, &key), Err(Error::BadCertificate));
    assert_eq!(server(&certificate, &certificate), Err(Error::BadKey));
    assert_eq!(
        server(&certificate, b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
        Err(Error::BadKey)
    );
    let damaged =
        [b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".as_slice(), &certificate].concat();
    assert!(server(&damaged, &key).is_err());
    let client = |roots: &[u8]| Client::new(roots, now).map(drop);
    assert_eq!(client(&[file("root.pem"), file("stranger.pem")].concat()), Ok(()));
    for roots in [b"".as_slice(), b"\x30\x82", &damaged, b"-----BEGIN CERTIFICATE-----\n!\n"] {
        assert_eq!(client(roots), Err(Error::BadCertificate));
    }
    let client = Client::new(&file("root.pem"), now).unwrap();
    assert_eq!(client.session("not a name").map(drop), Err(Error::BadName));
}
