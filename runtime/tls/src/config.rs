//! Who a function is in TLS, and whom it believes.

use crate::{
    Error,
    provider::provider,
    session::{Session, Side},
};
use alloc::{sync::Arc, vec, vec::Vec};
use core::time::Duration;
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
    client::{Resumption, UnbufferedClientConnection},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::UnbufferedServerConnection,
    time_provider::TimeProvider,
    version::TLS13,
};

/// Says how long it is since 1970-01-01 00:00 UTC, where anybody knows.
pub type Now = fn() -> Option<Duration>;

/// The time of day, for rustls.
#[derive(Debug)]
struct Clock(Now);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        (self.0)().map(UnixTime::since_unix_epoch)
    }
}

/// A server: its certificate and its key.
#[derive(Debug, Clone)]
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// A server with `certificate`, which may be followed by those that lead from it to a root, in PEM, and with its
    /// private key in PEM.
    ///
    /// # Errors
    /// When one of them is none, or they do not belong together.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::BadKey)?;
        // Nothing of a server depends on the time of day, as long as it gives out no tickets.
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock(|| None)))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::OtherKey,
                rustls::Error::General(_) => Error::BadKey,
                rustls::Error::InvalidCertificate(_) => Error::BadCertificate,
                other => other.into(),
            })?;
        // Each connection stands for itself.
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// The server's side of a new connection.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn session(&self) -> Result<Session, Error> {
        Ok(Session::new(Side::Server(UnbufferedServerConnection::new(self.0.clone())?)))
    }
}

/// A client: whom it believes.
#[derive(Debug, Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// A client that believes servers with certificates which lead to one of `roots`, in PEM, one after the other, or
    /// a single one in DER. `now` tells the time of day.
    ///
    /// # Errors
    /// When there is no certificate in `roots`, or something else.
    pub fn new(roots: &[u8], now: Now) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in certificates(roots)? {
            store.add(root).map_err(|_| Error::BadCertificate)?;
        }
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(now)))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(store)
            .with_no_client_auth();
        // Each connection stands for itself.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// The client's side of a new connection to the server that its certificate has to call `name`: a DNS name or an
    /// address.
    ///
    /// # Errors
    /// When `name` is none, or there are no random bytes.
    pub fn session(&self, name: &str) -> Result<Session, Error> {
        let name = ServerName::try_from(name).map_err(|_| Error::BadName)?.to_owned();
        Ok(Session::new(Side::Client(UnbufferedClientConnection::new(self.0.clone(), name)?)))
    }
}

/// Certificates in PEM, or one in DER.
fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    /// What a certificate begins with: a sequence whose length has two bytes.
    const DER: [u8; 2] = [0x30, 0x82];
    if bytes.starts_with(&DER) {
        return Ok(vec![CertificateDer::from(bytes).into_owned()]);
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(Error::BadCertificate)
}
