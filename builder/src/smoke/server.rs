//! Servers of the host that a function reaches while it is tested.

use crate::{
    qemu::{Group, beside},
    recipe::{Env, Server},
};
use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// The program.
const PROGRAM: &str = "openssl";
/// Where a function finds the host, in QEMU's user networking and with passt.
const HOST: &str = "10.0.2.2";
/// What it says first when it listens.
const LISTENS: &str = "ACCEPT ";

/// A server that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a pipe.
    #[error("the server for `{env}`: {source}")]
    Io {
        /// The variable that would tell its address.
        env: String,
        /// Why.
        source: io::Error,
    },
    /// The program ended.
    #[error(
        "the server for `{env}` does not start: {said}\n  help: `certificate` and `key` in [[smoke.server]] have to belong together, in PEM"
    )]
    Ended {
        /// The variable that would tell its address.
        env: String,
        /// What it said.
        said: String,
    },
}

crate::exit_code!(Error, Failed);

/// A server that runs; it is ended with this.
pub(super) struct Running {
    _group: Group,
    /// What it says, which nobody reads: it must be able to say it.
    _output: BufReader<ChildStdout>,
    /// The folder that it serves.
    _folder: TempDir,
}

/// Starts `servers`, and gives the variables that tell a function of them.
///
/// # Errors
/// When there is no OpenSSL, or it does not start: it has said why.
pub(super) fn start(servers: &[Server]) -> crate::Result<(Vec<Running>, Env)> {
    let mut running = Vec::new();
    let mut env = Env::new();
    for server in servers {
        let (one, port) = serve(server)?;
        running.push(one);
        env.insert(server.env.clone(), format!("https://{HOST}:{port}{}", server.path));
    }
    Ok((running, env))
}

fn serve(server: &Server) -> crate::Result<(Running, u16)> {
    let failed = |source| Error::Io { env: server.env.clone(), source };
    let folder = tempfile::tempdir().map_err(failed)?;
    // A file is the whole answer, with its head.
    let answer = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}",
        server.body.len(),
        server.body
    );
    let name = server.path.trim_start_matches('/');
    fs::write(folder.path().join(name), answer).map_err(failed)?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-HTTP", "-cert"])
        .arg(&server.certificate.path)
        .arg("-key")
        .arg(&server.key.path)
        .current_dir(folder.path())
        .stdout(Stdio::piped());
    let mut group = beside(PROGRAM, command, Vec::new())?;
    let output = group.stdout().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    let mut output = BufReader::new(output);
    // Where it does not start, it ends, and so does what it says.
    let port = loop {
        let mut line = String::new();
        if output.read_line(&mut line).map_err(failed)? == 0 {
            let said = group.said();
            let said = said.lines().next().unwrap_or("it has said nothing").to_owned();
            return Err(Error::Ended { env: server.env.clone(), said }.into());
        }
        let address = line.trim_end().strip_prefix(LISTENS).and_then(|address| address.rsplit_once(':'));
        if let Some(port) = address.and_then(|(_, port)| port.parse().ok()) {
            break port;
        }
    };
    Ok((Running { _group: group, _output: output, _folder: folder }, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exec, recipe::InputPath};
    use std::{net::TcpStream, path::Path};

    fn server(certificate: &str, key: &str) -> Server {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tls");
        let file = |name: &str| InputPath { written: name.into(), path: folder.join(name) };
        Server {
            env: "URL".into(),
            certificate: file(certificate),
            key: file(key),
            path: "/greeting".into(),
            body: "Hello!\n".into(),
        }
    }

    /// Whether there is an OpenSSL here; `cargo xtask doctor` asks for one.
    fn is_there() -> bool {
        let there = exec::which(PROGRAM.as_ref()).is_some();
        if !there {
            eprintln!("SKIP: there is no openssl");
        }
        there
    }

    #[test]
    fn a_server_listens_when_the_function_is_told_of_it_and_is_gone_when_it_is_dropped() {
        if !is_there() {
            return;
        }
        let (running, env) = start(&[server("server.pem", "server.key")]).unwrap();
        let address =
            env["URL"].strip_prefix("https://10.0.2.2:").unwrap().strip_suffix("/greeting").unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", address.parse().unwrap()));
        assert!(connect().is_ok());
        drop(running);
        assert!(connect().is_err());
    }

    #[test]
    fn a_key_of_another_certificate_is_told() {
        if !is_there() {
            return;
        }
        let error = start(&[server("server.pem", "expired.key")]).map(drop).unwrap_err().to_string();
        assert!(error.contains("`URL` does not start") && error.contains("help: "), "{error}");
    }
}
