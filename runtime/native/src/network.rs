//! The network stack, with the addresses of the run configuration or those of DHCP.

use crate::{
    card::{Card, Port},
    error::{Error, Result},
    executor::Tasks,
    net, random, wake,
};
use alloc::boxed::Box;
use core::{
    cell::UnsafeCell,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};
use embassy_net::{
    Config, ConfigV4, ConfigV6, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, Stack, StackResources,
    StaticConfigV4, StaticConfigV6,
};
use heapless::Vec;
use selkie::{System, alarm::Alarm, cap::Notification, config};
use selkie_drivers::Seed;

/// The most TCP connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 256;
/// Sockets: those of a server's connections, those that the function opens itself, and those of DHCP and DNS.
const SOCKETS: usize = MAX_CONNECTIONS + net::MAX_SOCKETS + 2;

/// A network that works, and the tasks that it is used by.
pub(crate) struct Network {
    pub(crate) stack: Stack<'static>,
    pub(crate) card: &'static Card,
    /// What the function sleeps at.
    pub(crate) wake: Notification,
    pub(crate) tasks: Tasks,
    /// What is left of the random bytes.
    pub(crate) seed: Seed,
}

/// The stack's memory: too large for the function's own stack.
struct Resources(UnsafeCell<StackResources<SOCKETS>>);

// SAFETY: `start` uses it, once.
unsafe impl Sync for Resources {}

static RESOURCES: Resources = Resources(UnsafeCell::new(StackResources::new()));
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Finds the network and starts what serves it.
pub(crate) fn start(sys: &mut System) -> Result<Network> {
    let config = configuration()?;
    if IN_USE.swap(true, Ordering::Relaxed) {
        return Err(Error::InUse);
    }
    let (mut seed, source) = random::seed(sys)?;
    let wake = wake::notification(sys)?;
    let device = selkie_drivers::network(sys, wake).map_err(|error| match error {
        selkie::Error::NoDevice => Error::NoNetwork,
        other => Error::Kernel(other),
    })?;
    let card: &'static Card = Box::leak(Box::new(Card::new(device).ok_or(Error::NoNetwork)?));
    let alarm = Alarm::new(sys, wake).map_err(|_| Error::NoTimer)?;
    wake::add(card)?;
    log::info!("network starts; random bytes from {source}");
    let (first, _) = seed.split_first_chunk_mut::<8>().ok_or(Error::NoEntropy)?;
    let random = u64::from_le_bytes(core::mem::take(first));
    // SAFETY: `IN_USE` has said that nobody else uses it.
    let resources: &'static mut StackResources<SOCKETS> = unsafe { &mut *RESOURCES.0.get() };
    let (stack, mut runner) = embassy_net::new(Port(card), config, resources, random);
    let tasks = Tasks::new(wake, alarm);
    tasks.spawn(async move { card.run(runner.run()).await });
    Ok(Network { stack, card, wake, tasks, seed })
}

/// The addresses that the run configuration names, else DHCP's. One of each version of IP, and one router of each; of the
/// name servers, as many as the network stack has room for.
fn configuration() -> Result<Config> {
    let mut result = Config::default();
    let (mut gateway4, mut gateway6) = (None, None);
    for text in config::net_gateways() {
        match parse(text)? {
            IpAddr::V4(address) => gateway4 = gateway4.or(Some(address)),
            IpAddr::V6(address) => gateway6 = gateway6.or(Some(address)),
        }
    }
    let (dns4, dns6) = name_servers()?;
    let mut any = false;
    for text in config::net_addresses() {
        any = true;
        let bad = || Error::BadAddress(text);
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        match address.parse().map_err(|_| bad())? {
            IpAddr::V4(address) if prefix <= 32 && result.ipv4 == ConfigV4::None => {
                result.ipv4 = ConfigV4::Static(StaticConfigV4 {
                    address: Ipv4Cidr::new(address, prefix),
                    gateway: gateway4,
                    dns_servers: dns4.clone(),
                });
            }
            IpAddr::V6(address) if prefix <= 128 && result.ipv6 == ConfigV6::None => {
                result.ipv6 = ConfigV6::Static(StaticConfigV6 {
                    address: Ipv6Cidr::new(address, prefix),
                    gateway: gateway6,
                    dns_servers: dns6.clone(),
                });
            }
            _ => return Err(bad()),
        }
    }
    Ok(if any { result } else { Config::dhcpv4(Default::default()) })
}

/// Name servers of both versions of IP.
type NameServers = (Vec<Ipv4Address, 3>, Vec<Ipv6Address, 3>);

#[cfg(feature = "dns")]
fn name_servers() -> Result<NameServers> {
    let mut servers = NameServers::default();
    for text in config::net_name_servers() {
        // What there is no room for is left out.
        let _ = match parse(text)? {
            IpAddr::V4(address) => servers.0.push(address).is_ok(),
            IpAddr::V6(address) => servers.1.push(address).is_ok(),
        };
    }
    Ok(servers)
}

#[cfg(not(feature = "dns"))]
fn name_servers() -> Result<NameServers> {
    Ok(Default::default())
}

fn parse(text: &'static str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::BadAddress(text))
}
