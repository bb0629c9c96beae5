//! passt: the network of a process. It takes frames at a socket, as QEMU's user networking does inside of QEMU, and
//! makes connections of its own of what is in them. It needs no rights.

use super::{NetError, Published};
use crate::{
    qemu::{Group, beside},
    recipe::{NetMode, Protocol, RawNet},
};
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
    time::Duration,
};

/// The program.
const PROGRAM: &str = "passt";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// A passt that runs; it is ended with this.
#[derive(Debug)]
pub(crate) struct Passt {
    group: Group,
}

impl Passt {
    /// Starts a network for a function whose `ports` the host hands connections over to, and gives the socket that takes
    /// its frames; none for a function whose card is plugged into something else.
    ///
    /// # Errors
    /// When there is no passt, or it does not start: it has said why.
    pub(crate) fn serve(
        net: Option<&RawNet>,
        ports: &[Published],
    ) -> Result<Option<(Self, OwnedFd)>, NetError> {
        if !net.is_some_and(|net| net.mode == NetMode::User) {
            return Ok(None);
        }
        let (mut ours, theirs) = UnixStream::pair().map_err(NetError::Socket)?;
        let mut command = Command::new(PROGRAM);
        command.args(arguments(theirs.as_raw_fd(), ports)).stdout(Stdio::null());
        let group = beside(PROGRAM, command, vec![theirs.into()])?;
        let mut passt = Self { group };
        match answers(&mut ours) {
            Ok(()) => Ok(Some((passt, ours.into()))),
            Err(error) => {
                let said = passt.end().unwrap_or_default();
                Err(NetError::Passt(if said.is_empty() {
                    format!("it does not answer: {error}")
                } else {
                    said
                }))
            }
        }
    }

    /// What it said, when it has ended already and not by itself at its client's end.
    pub(crate) fn failure(&mut self) -> Option<String> {
        if !self.group.exited().unwrap_or(true) {
            return None;
        }
        let status = self.group.end().ok()?;
        let said = self.said();
        (!status.success()).then(|| format!("`{PROGRAM}` ended with {status}: {said}"))
    }

    /// Whether it has ended, and not because its client has.
    pub(crate) fn has_failed(&self) -> bool {
        self.group.failed().unwrap_or(true)
    }

    /// Ends it; what it said.
    fn end(&mut self) -> io::Result<String> {
        self.group.end()?;
        Ok(self.said())
    }

    fn said(&mut self) -> String {
        let text = self.group.said();
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("to syslog"));
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// The network is the one that QEMU's user networking has, so that a function finds the same on both targets.
fn arguments(socket: i32, ports: &[Published]) -> Vec<String> {
    let fixed = "--foreground --quiet --stderr --ipv4-only --address 10.0.2.15 --netmask 24 --gateway 10.0.2.2 --mtu 1500";
    let mut arguments: Vec<_> = fixed.split(' ').map(str::to_owned).collect();
    arguments.extend(["--fd".to_owned(), socket.to_string()]);
    for port in ports {
        let option = match port.protocol {
            Protocol::Tcp => "--tcp-ports",
            Protocol::Udp => "--udp-ports",
        };
        // From the host's own address only.
        arguments.extend([option.to_owned(), format!("127.0.0.1/{}:{}", port.host, port.guest)]);
    }
    arguments
}

/// Asks who has the router's address (RFC 826), and waits for the answer: then all ports are open.
fn answers(socket: &mut UnixStream) -> io::Result<()> {
    /// Ethernet: to all, from the function's card, ARP. Then Ethernet, IPv4, their lengths, a request.
    const HEAD: &[u8] =
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    /// From the function's card and address to the router's.
    const BODY: &[u8] = &[0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2];
    let size = (HEAD.len() + BODY.len()) as u32;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(&[&size.to_be_bytes(), HEAD, BODY].concat())?;
    let mut size = [0; 4];
    socket.read_exact(&mut size)?;
    // Whatever frame it is: passt has begun.
    let size = u32::from_be_bytes(size).min(64 << 10).into();
    io::copy(&mut socket.take(size), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exec, net::publish_anywhere, recipe::RawForward};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn ports_are_open_on_the_hosts_own_address_only() {
        let port = |protocol, host, guest| Published { protocol, host, guest };
        let arguments =
            arguments(7, &[port(Protocol::Tcp, 4711, 80), port(Protocol::Udp, 53, 5353)]).join(" ");
        assert!(
            arguments.ends_with("--fd 7 --tcp-ports 127.0.0.1/4711:80 --udp-ports 127.0.0.1/53:5353"),
            "{arguments}"
        );
    }

    /// Whether there is a passt here; `cargo xtask doctor` asks for one.
    fn is_there() -> bool {
        let there = exec::which(PROGRAM.as_ref()).is_some();
        if !there {
            eprintln!("SKIP: there is no passt");
        }
        there
    }

    #[test]
    fn passt_has_opened_its_ports_when_it_is_handed_over_and_is_gone_when_it_is_dropped() {
        if !is_there() {
            return;
        }
        let net =
            RawNet { forward: vec![RawForward { guest: 80, host: 0, protocol: Protocol::Tcp }], ..net() };
        let ports = publish_anywhere(Some(&net)).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", ports[0].host));
        let (mut passt, socket) = Passt::serve(Some(&net), &ports).unwrap().unwrap();
        assert!(connect().is_ok());
        assert!(!passt.has_failed() && passt.failure().is_none());
        drop(passt);
        assert!(connect().is_err());
        // What ends because its client has is no failure.
        drop(socket);
        let (mut passt, socket) = Passt::serve(Some(&net), &ports).unwrap().unwrap();
        drop(socket);
        while !passt.group.exited().unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!passt.has_failed() && passt.failure().is_none());
    }

    #[test]
    fn a_port_that_is_taken_is_told_at_once() {
        if !is_there() {
            return;
        }
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = taken.local_addr().unwrap().port();
        let ports = [Published { protocol: Protocol::Tcp, host, guest: 80 }];
        let error = Passt::serve(Some(&net()), &ports).unwrap_err();
        assert!(matches!(error, NetError::Passt(_)), "{error}");
        assert!(error.to_string().contains("help: "), "{error}");
    }

    fn net() -> RawNet {
        RawNet::default()
    }

    #[test]
    fn a_function_without_a_card_needs_no_passt() {
        assert!(Passt::serve(None, &[]).unwrap().is_none());
    }
}
