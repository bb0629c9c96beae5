//! `[devices.net]`, and the addresses in `[run]`

use super::{Check, repeated};
use crate::{
    document::{Step, at},
    net::{TAP_NAME, Tap},
    recipe::{LibOs, NetMode, Protocol, RawNet, RawRunNet},
};
use std::net::IpAddr;

impl Check<'_> {
    pub(super) fn net(&mut self) {
        let run = &self.raw.run;
        let tables = [
            (at!["run", "net"] as &[Step<'_>], &run.net),
            (at!["run", "qemu", "net"], &run.qemu.net),
            (at!["run", "process", "net"], &run.process.net),
            (at!["run", "bare-metal", "net"], &run.bare_metal.net),
        ];
        for (at, table) in tables {
            if let Some(table) = table {
                self.addresses(at, table);
            }
        }
        let task = &self.raw.root_task;
        if task.libos == Some(LibOs::Native) && task.c_sources.is_some() {
            let help = "write a `crate`; or `libos = \"rumprun\"` for a program that expects POSIX; or take `libos` out: the runtime's C \
                        interface has no network";
            self.wrong(at!["root-task", "libos"], "the native libOS is for functions in Rust", help);
        }
        let Some(net) = &self.raw.devices.net else { return };
        if task.prebuilt.is_none() && task.libos.unwrap_or_default() == LibOs::None {
            let help = "write `libos = \"native\"` into [root-task], or take the table out";
            self.findings.key(at!["devices", "net"], "nothing in the function drives a network card", help);
        }
        let message = match net.mode {
            NetMode::User => None,
            NetMode::Tap => {
                Some("a tap device forwards no ports: the function is reached at its own address")
            }
            NetMode::None => Some("no port can be forwarded where there is no card"),
        };
        if let Some(message) = message.filter(|_| !net.forward.is_empty()) {
            let help = "take it out, or write `mode = \"user\"`";
            self.findings.key(at!["devices", "net", "forward"], message, help);
        }
        self.tap(net);
        self.forwarded();
    }

    /// The tap device is there where it is asked for, and has a name that a device can have.
    fn tap(&mut self, net: &RawNet) {
        match (net.mode, &net.tap) {
            (NetMode::Tap, None) => {
                let help = "add the device's name, for instance `tap = \"tap0\"`; `run --net tap:NAME` takes another one";
                self.wrong(
                    at!["devices", "net", "mode"],
                    "`tap` is missing: which tap device is meant",
                    help,
                );
            }
            (NetMode::Tap, Some(name)) if Tap::named(name).is_none() => {
                let message = format!("`{}` is not a name of a tap device", name.escape_debug());
                self.wrong(at!["devices", "net", "tap"], message, format!("write {TAP_NAME}"));
            }
            (NetMode::User | NetMode::None, Some(_)) => {
                let help = "write `mode = \"tap\"`, or take it out";
                self.findings.key(
                    at!["devices", "net", "tap"],
                    "the card is not plugged into a tap device",
                    help,
                );
            }
            _ => {}
        }
    }

    /// No port is there twice.
    fn forwarded(&mut self) {
        let forward = self.raw.devices.net.iter().flat_map(|net| &net.forward);
        let guests: Vec<_> = forward.clone().map(|port| (port.guest, port.protocol)).collect();
        if let Some(i) = repeated(&guests) {
            let (port, protocol) = guests[i];
            let message = format!("the function's port {port} ({protocol}) is forwarded twice");
            self.wrong(at!["devices", "net", "forward", i], message, "keep one of them");
        }
        // 0 stands for any free port: each is another one.
        let hosts: Vec<_> = forward
            .enumerate()
            .map(|(i, port)| (port.host, port.protocol, if port.host == 0 { i } else { 0 }))
            .collect();
        if let Some(i) = repeated(&hosts) {
            let message = format!("the host's port {} ({}) is there twice", hosts[i].0, hosts[i].1);
            let help = "write another port, or 0 for any that is free";
            self.wrong(at!["devices", "net", "forward", i, "host"], message, help);
        }
    }

    fn addresses(&mut self, at: &[Step<'_>], table: &RawRunNet) {
        if self.raw.devices.net.is_none() {
            let help = "add [devices.net], or take the table out";
            return self.findings.key(at, "there is no network card to give an address", help);
        }
        let place = |key: &'static str, i: usize| [at, &[Step::Key(key), i.into()]].concat();
        let mut networks = Vec::new();
        for (i, text) in table.addresses.iter().enumerate() {
            match Network::parse(text) {
                Some(network) => networks.push(network),
                None => {
                    let help = "write the address of a host and the length of its network's prefix, for instance \
                                `\"10.0.2.15/24\"`";
                    self.wrong(&place("addresses", i), format!("`{text}` is not such an address"), help);
                }
            }
        }
        // A target's own table falls back to the common one, key by key.
        let common = self.raw.run.net.iter().flat_map(|net| &net.addresses);
        if table.addresses.is_empty() {
            networks.extend(common.filter_map(|text| Network::parse(text)));
        }
        for (key, list) in [("gateways", &table.gateways), ("dns", &table.dns)] {
            for (i, text) in list.iter().enumerate() {
                let place = place(key, i);
                match text.parse::<IpAddr>() {
                    Err(_) => {
                        let help = "write it without a prefix, for instance `\"10.0.2.2\"`";
                        self.wrong(&place, format!("`{text}` is not an address"), help);
                    }
                    Ok(_) if networks.is_empty() && table.addresses.is_empty() => {
                        let help = "take it out, or write `addresses`";
                        self.wrong(&place, "DHCP tells routers and name servers itself", help);
                    }
                    Ok(gateway) if key == "gateways" && !networks.iter().any(|net| net.reaches(gateway)) => {
                        let message = format!("the router `{gateway}` is in none of the card's networks");
                        self.wrong(&place, message, "write the address that it has in one of them");
                    }
                    Ok(_) => {}
                }
            }
        }
    }

    /// The one port that is forwarded for TCP, when there is only one.
    pub(super) fn only_port(&self) -> Option<u16> {
        let mut ports = self.tcp_ports();
        ports.next().filter(|_| ports.next().is_none())
    }

    /// The function's ports that are forwarded for TCP.
    pub(super) fn tcp_ports(&self) -> impl Iterator<Item = u16> {
        let forward = self.raw.devices.net.iter().flat_map(|net| &net.forward);
        forward.filter(|port| port.protocol == Protocol::Tcp).map(|port| port.guest)
    }
}

/// The address of a host, and how many bits of it are its network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let network = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
        let (number, bits) = number(network.address);
        let most = if bits == 32 { 30 } else { 128 };
        if !(1..=most).contains(&network.prefix)
            || network.address.is_multicast()
            || network.address.is_loopback()
        {
            return None;
        }
        // The first and the last address of an IPv4 network are no host's.
        let hosts = (1u128 << (bits - network.prefix).min(127)) - 1;
        let usable = bits == 128 || (number & hosts != 0 && number & hosts != hosts);
        (usable && !network.address.is_unspecified()).then_some(network)
    }

    /// Whether `gateway` is a neighbour. Routers of IPv6 have link-local addresses, too.
    fn reaches(self, gateway: IpAddr) -> bool {
        let ((one, bits), (other, of)) = (number(self.address), number(gateway));
        let link_local = matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local());
        bits == of && (link_local || (one ^ other) >> (bits - self.prefix).min(127) == 0)
    }
}

/// An address as a number, and its bits.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_host_and_reaches_its_neighbours() {
        let good = |text: &str| Network::parse(text).unwrap();
        assert_eq!(good("10.0.2.15/24").prefix, 24);
        let near = |text: &str, gateway: &str| good(text).reaches(gateway.parse().unwrap());
        assert!(near("10.0.2.15/24", "10.0.2.2") && !near("10.0.2.15/24", "10.0.3.2"));
        assert!(near("fec0::2/64", "fec0::1") && near("fec0::2/64", "fe80::1"));
        assert!(!near("fec0::2/64", "fec1::1") && !near("fec0::2/64", "10.0.2.2"));
        assert!(near("fec0::2/128", "fec0::2"));
        for text in [
            "10.0.2.15",
            "10.0.2.15/",
            "10.0.2.15/0",
            "10.0.2.15/31",
            "10.0.2.15/99",
            "10.0.2.0/24",
            "10.0.2.255/24",
            "127.0.0.1/8",
            "0.0.0.0/8",
            "224.0.0.1/4",
            "x/24",
            "::1/64",
            "::/64",
            "fec0::1/129",
            "fec0::1/0",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
