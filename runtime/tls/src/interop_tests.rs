//! Against OpenSSL, on either side.

use crate::{
    Client, Error, Server, Session, Step,
    session_tests::{begin, file, now},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tls");

/// OpenSSL, which ends when the test does.
struct OpenSsl(Child);

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// None, with a word of it, where there is no OpenSSL.
fn openssl(args: &[&str]) -> Option<OpenSsl> {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(FOLDER).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Some(OpenSsl(child)),
        Err(error) => {
            eprintln!("SKIP: openssl: {error}");
            None
        }
    }
}

/// A server of OpenSSL that sends back each line turned around, and its port.
fn reversing(args: &[&str]) -> Option<(OpenSsl, u16)> {
    let mut server =
        openssl(&[&["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-rev"], args].concat())?;
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse().ok());
    Some((server, port.expect("it says where it listens")))
}

/// Reads until there is something in plain text, or the session goes on.
fn read(stream: &mut TcpStream, session: &mut Session) -> Result<Step, Error> {
    let mut piece = [0; 1000];
    loop {
        let step = session.advance();
        let outgoing = core::mem::take(session.outgoing());
        let _ = stream.write_all(&outgoing);
        let step = step?;
        if step != Step::Handshake && (step == Step::Ended || !session.plain().is_empty()) {
            return Ok(step);
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => session.received(&piece[..count]),
            other => panic!("{other:?}"),
        }
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Asks OpenSSL to turn a line around.
fn ask(args: &[&str], roots: &str) -> Option<Result<(), Error>> {
    begin();
    let (_server, port) = reversing(args)?;
    let mut stream = patient(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let mut session = Client::new(&file(roots), now).unwrap().session("fetch.test").unwrap();
    let mut ask = || {
        // The server speaks first only when it has something to say: the handshake is done by then.
        while session.advance()? == Step::Handshake {
            stream.write_all(&core::mem::take(session.outgoing())).unwrap();
            let mut piece = [0; 100];
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "{args:?}: the server has gone");
            session.received(&piece[..count]);
        }
        session.say(b"drawer\n")?;
        read(&mut stream, &mut session)?;
        assert_eq!(session.plain().drain(..).collect::<Vec<_>>(), b"reward\n");
        Ok(())
    };
    Some(ask())
}

#[test]
fn a_client_understands_openssl_with_every_key_cipher_and_group() {
    for (name, roots) in [
        ("server", "root.pem"),
        ("server-p384", "root.pem"),
        ("server-ed25519", "root.pem"),
        ("server-rsa", "root-rsa.pem"),
    ] {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let files = ["-cert", &certificate, "-key", &key];
        for further in [
            ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            ["-ciphersuites", "TLS_AES_128_GCM_SHA256"],
            ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
            ["-groups", "X25519"],
            ["-groups", "P-256"],
        ] {
            let args = [&files[..], &further].concat();
            let Some(outcome) = ask(&args, roots) else { return };
            assert_eq!(outcome, Ok(()), "{args:?}");
        }
    }
    let signatures = ["RSA-PSS+SHA256", "RSA-PSS+SHA384", "RSA-PSS+SHA512"];
    for signature in signatures {
        let args = ["-cert", "server-rsa.pem", "-key", "server-rsa.key", "-sigalgs", signature];
        let Some(outcome) = ask(&args, "root-rsa.pem") else { return };
        assert_eq!(outcome, Ok(()), "{signature}");
    }
}

#[test]
fn a_client_refuses_what_openssl_takes_but_it_does_not() {
    let files = ["-cert", "server.pem", "-key", "server.key"];
    let refused = [
        (&["-tls1_2"][..], "root.pem"),
        (&["-groups", "P-384"], "root.pem"),
        (&[], "stranger.pem"),
        (&[], "root-rsa.pem"),
    ];
    for (further, roots) in refused {
        let Some(outcome) = ask(&[&files[..], further].concat(), roots) else { return };
        assert!(outcome.is_err(), "{further:?}");
    }
}

#[test]
fn openssl_understands_a_server_with_every_key_cipher_and_group() {
    begin();
    for name in ["server", "server-p384", "server-ed25519"] {
        let server = Server::new(&file(&format!("{name}.pem")), &file(&format!("{name}.key"))).unwrap();
        for further in [
            ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            ["-ciphersuites", "TLS_AES_128_GCM_SHA256"],
            ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
            ["-groups", "X25519"],
            ["-groups", "P-256"],
            // What is not offered first is asked for.
            ["-groups", "P-521:P-384:P-256"],
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let strict =
                ["-quiet", "-verify_return_error", "-verify_hostname", "fetch.test", "-CAfile", "root.pem"];
            let args = [&["s_client", "-connect", &address][..], &strict, &further].concat();
            let Some(mut client) = openssl(&args) else { return };
            let mut stream = patient(listener.accept().unwrap().0);
            let mut session = server.session().unwrap();
            client.0.stdin.as_mut().unwrap().write_all(b"ping\n").unwrap();
            assert_eq!(read(&mut stream, &mut session), Ok(Step::Open), "{name} {further:?}");
            assert_eq!(session.plain().drain(..).collect::<Vec<_>>(), b"ping\n");
            session.say(b"pong\n").unwrap();
            session.finish().unwrap();
            stream.write_all(&core::mem::take(session.outgoing())).unwrap();
            drop(client.0.stdin.take());
            let mut said = String::new();
            client.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(said, "pong\n", "{name} {further:?}");
        }
    }
}
