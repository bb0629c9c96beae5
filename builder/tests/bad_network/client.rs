//! The plainest client of the function.

use crate::FUNCTION;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// A number of the function's metrics.
pub(crate) fn metric(name: &str) -> u64 {
    let (_, text) = get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
}

/// The status and the body of what the function has at `path`.
pub(crate) fn get(path: &str) -> (u16, String) {
    let begin = Instant::now();
    // Loss may cost a connection its time, but not all of them.
    loop {
        let answer = try_get(path);
        match answer {
            Ok(answer) => return answer,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(120), "{path}: {error}"),
        }
    }
}

fn try_get(path: &str) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let patience = Duration::from_secs(60);
    let mut stream = TcpStream::connect_timeout(&FUNCTION.into(), patience).map_err(text)?;
    stream.set_read_timeout(Some(patience)).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: f\r\nconnection: close\r\n\r\n").map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}
