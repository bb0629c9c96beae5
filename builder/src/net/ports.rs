//! Ports of the host at which a function is reached.

use crate::recipe::{Protocol, RawForward, RawNet};
use serde::Serialize;
use std::{
    fmt, io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    str::FromStr,
};

/// A port of the host, on 127.0.0.1, that leads to one of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Published {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The function's port.
    pub guest: u16,
    /// The host's port.
    pub host: u16,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening on {}:{} ({}", Ipv4Addr::LOCALHOST, self.host, self.protocol)?;
        write!(f, " port {} of the function)", self.guest)
    }
}

impl Published {
    /// The address for a browser.
    pub(crate) fn http(self) -> String {
        format!("listening on http://{}:{}/", Ipv4Addr::LOCALHOST, self.host)
    }
}

/// What a user asks for instead of a recipe's port, or besides: `HOST:GUEST`, or `HOST:GUEST/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortChoice(RawForward);

/// A text is no [`PortChoice`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no pair of ports\n  help: write HOST:GUEST, for instance `8080:80`, or `5353:53/udp`; 0 as HOST is any free port"
)]
pub struct BadPort(String);

crate::exit_code!(BadPort, Usage);

impl FromStr for PortChoice {
    type Err = BadPort;

    fn from_str(text: &str) -> Result<Self, BadPort> {
        let parse = || {
            let (ports, protocol) = match text.split_once('/') {
                None => (text, Protocol::Tcp),
                Some((ports, "tcp")) => (ports, Protocol::Tcp),
                Some((ports, "udp")) => (ports, Protocol::Udp),
                Some(_) => return None,
            };
            let (host, guest) = ports.split_once(':')?;
            let (host, guest) = (host.parse().ok()?, guest.parse().ok().filter(|guest| *guest != 0)?);
            Some(Self(RawForward { guest, host, protocol }))
        };
        parse().ok_or_else(|| BadPort(text.to_owned()))
    }
}

/// Ports that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The function has no card, or one without ports.
    #[error(
        "the recipe has no network whose ports could be forwarded\n  help: add [devices.net] to the recipe, or leave `--port` out"
    )]
    NoNetwork,
    /// There is no card to plug into a device.
    #[error("the recipe has no network card\n  help: add [devices.net] to the recipe, or leave `--net` out")]
    NoCard,
    /// A tap device forwards none.
    #[error(
        "`--port` does not go with a tap device, which forwards no ports\n  help: leave `--port` out, the function is reached at its own address; or add `--net user`"
    )]
    OnTap,
    /// Two of the user's choices are for the same port.
    #[error("`--port` names the function's port {0} twice\n  help: keep one of them")]
    Twice(u16),
    /// Somebody else has it.
    #[error(
        "the host's port {host} ({protocol}) for the function's port {guest} cannot be had: {source}\n  help: `--port 0:{guest}` takes any that is free"
    )]
    Taken {
        /// The host's port.
        host: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The function's port.
        guest: u16,
        /// Why.
        source: io::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Taken { .. } => crate::ExitCode::Failed,
    _ => crate::ExitCode::Usage,
});

/// The ports of a run: those of the recipe, but where `choices` say something else; at a tap device none, whatever the
/// recipe names.
///
/// Each was free a moment ago; QEMU or passt takes it at once.
///
/// # Errors
/// When one is taken, or there is no network.
pub fn publish(net: Option<&RawNet>, choices: &[PortChoice]) -> Result<Vec<Published>, Error> {
    let card = net.filter(|net| net.has_card());
    if card.is_none() && !choices.is_empty() {
        return Err(Error::NoNetwork);
    }
    if card.is_some_and(RawNet::is_at_tap) {
        return if choices.is_empty() { Ok(Vec::new()) } else { Err(Error::OnTap) };
    }
    let same =
        |one: &RawForward, other: &RawForward| (one.guest, one.protocol) == (other.guest, other.protocol);
    for (i, PortChoice(choice)) in choices.iter().enumerate() {
        if choices[..i].iter().any(|PortChoice(other)| same(choice, other)) {
            return Err(Error::Twice(choice.guest));
        }
    }
    let chosen = |port: &RawForward| choices.iter().any(|PortChoice(choice)| same(choice, port));
    let of_recipe = card.iter().flat_map(|net| &net.forward).filter(|port| !chosen(port));
    take(of_recipe.chain(choices.iter().map(|PortChoice(choice)| choice)).copied())
}

/// The ports of a smoke test: any that are free, so that tests can run side by side.
///
/// # Errors
/// When none is free.
pub fn publish_anywhere(net: Option<&RawNet>) -> Result<Vec<Published>, Error> {
    let forward = net.filter(|net| net.has_card()).into_iter().flat_map(|net| &net.forward);
    take(forward.map(|port| RawForward { host: 0, ..*port }))
}

fn take(ports: impl Iterator<Item = RawForward>) -> Result<Vec<Published>, Error> {
    // All are held until the last is found, so that none is found twice.
    let mut held = Vec::new();
    let mut take = |port: RawForward| {
        let taken =
            |source| Error::Taken { host: port.host, protocol: port.protocol, guest: port.guest, source };
        let socket = Socket::bind(port.protocol, port.host).map_err(taken)?;
        let host = socket.port().map_err(taken)?;
        held.push(socket);
        Ok(Published { protocol: port.protocol, guest: port.guest, host })
    };
    ports.map(&mut take).collect()
}

enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Socket {
    fn bind(protocol: Protocol, port: u16) -> io::Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port);
        match protocol {
            Protocol::Tcp => TcpListener::bind(address).map(Self::Tcp),
            Protocol::Udp => UdpSocket::bind(address).map(Self::Udp),
        }
    }

    fn port(&self) -> io::Result<u16> {
        let address = match self {
            Self::Tcp(socket) => socket.local_addr()?,
            Self::Udp(socket) => socket.local_addr()?,
        };
        Ok(address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::NetMode;

    fn net(forward: &[(u16, u16, Protocol)]) -> RawNet {
        let forward =
            forward.iter().map(|&(host, guest, protocol)| RawForward { guest, host, protocol }).collect();
        RawNet { forward, ..RawNet::default() }
    }

    fn choice(text: &str) -> PortChoice {
        text.parse().unwrap()
    }

    #[test]
    fn pairs_are_read_and_others_are_refused() {
        assert_eq!(choice("0:80").0, RawForward { host: 0, guest: 80, protocol: Protocol::Tcp });
        assert_eq!(choice("53:5353/udp").0, RawForward { host: 53, guest: 5353, protocol: Protocol::Udp });
        for text in ["", "80", ":80", "80:", "80:0", "80:65536", "a:b", "80:80/sctp", "1:2:3"] {
            assert!(text.parse::<PortChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_port_is_another_free_one_and_choices_go_before_the_recipe() {
        let net = net(&[(0, 80, Protocol::Tcp), (0, 443, Protocol::Tcp), (0, 80, Protocol::Udp)]);
        let ports = publish_anywhere(Some(&net)).unwrap();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| port.host != 0));
        assert_ne!(ports[0].host, ports[1].host);
        // A port that somebody listens at.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = taken.local_addr().unwrap().port();
        let error = publish(Some(&net), &[choice(&format!("{host}:80"))]).unwrap_err();
        assert!(error.to_string().contains("--port 0:80"), "{error}");
        drop(taken);
        let ports = publish(Some(&net), &[choice(&format!("{host}:80")), choice("0:9/udp")]).unwrap();
        assert_eq!(ports.len(), 4);
        assert!(ports.contains(&Published { protocol: Protocol::Tcp, guest: 80, host }));
    }

    #[test]
    fn without_a_network_there_are_no_ports() {
        assert!(publish(None, &[]).unwrap().is_empty());
        assert!(matches!(publish(None, &[choice("0:80")]), Err(Error::NoNetwork)));
        let none = RawNet { mode: NetMode::None, ..RawNet::default() };
        assert!(matches!(publish(Some(&none), &[choice("0:80")]), Err(Error::NoNetwork)));
        let tap = RawNet { mode: NetMode::Tap, tap: Some("lo".into()), ..net(&[(0, 80, Protocol::Tcp)]) };
        assert!(matches!(publish(Some(&tap), &[choice("0:80")]), Err(Error::OnTap)));
        assert!(publish(Some(&tap), &[]).unwrap().is_empty());
        let user = RawNet::default();
        assert!(matches!(publish(Some(&user), &[choice("0:80"), choice("1:80")]), Err(Error::Twice(80))));
    }
}
