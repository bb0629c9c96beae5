//! Names of hosts.

use super::{CONNECT, Error, Network, PATIENCE, in_time};
use alloc::vec::Vec;
use core::net::IpAddr;
use embassy_net::dns::{self, DnsQueryType};

impl Network {
    /// The addresses of the host `name`, those first that are asked for first: of IPv6 where the function has such an
    /// address, then of IPv4. What is an address already is its own.
    ///
    /// The name servers are those of the run configuration, or DHCP's.
    ///
    /// # Errors
    /// When there is none, or no answer in time.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse() {
            return Ok([address].into());
        }
        in_time(CONNECT, self.stack.wait_config_up()).await?;
        let mut found = Vec::new();
        let mut last = Error::NoSuchName;
        let v6 = self.stack.config_v6().map(|_| DnsQueryType::Aaaa);
        let v4 = self.stack.config_v4().map(|_| DnsQueryType::A);
        for kind in v6.into_iter().chain(v4) {
            match in_time(PATIENCE, self.stack.dns_query(name, kind)).await {
                Ok(Ok(addresses)) => found.extend(addresses.into_iter().map(IpAddr::from)),
                Ok(Err(dns::Error::InvalidName | dns::Error::NameTooLong)) => return Err(Error::BadName),
                Ok(Err(dns::Error::Failed)) => {}
                Err(error) => last = error,
            }
        }
        if found.is_empty() { Err(last) } else { Ok(found) }
    }
}
