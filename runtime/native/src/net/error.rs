//! What goes wrong between a function and others.

use core::fmt;
use embedded_io_async::ErrorKind;

/// Why a connection is not made, or goes no further.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// It took too long.
    TimedOut,
    /// There is no way to the address.
    NoRoute,
    /// The other side does not take the connection.
    Refused,
    /// The other side has broken the connection off.
    Reset,
    /// The connection has ended where more should have come, or it was ended by the function itself.
    Ended,
    /// As many sockets are open as there may be, 64, or the port is in use.
    TooMany,
    /// A datagram is longer than there is room for.
    TooLong,
    /// What was to be the name of a host cannot be one.
    BadName,
    /// No name server knows the name, or there is no name server.
    NoSuchName,
    /// The two sides do not come to terms in TLS.
    #[cfg(feature = "tls")]
    Tls(selkie_tls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "it took too long",
            Self::NoRoute => "there is no way to this address",
            Self::Refused => "the connection was refused",
            Self::Reset => "the connection was broken off",
            Self::Ended => "the connection has ended",
            Self::TooMany => "too many sockets are open, or the port is in use",
            Self::TooLong => "the datagram is too long",
            Self::BadName => "the name cannot be that of a host",
            Self::NoSuchName => "no name server knows the name",
            #[cfg(feature = "tls")]
            Self::Tls(error) => return write!(f, "TLS: {error}"),
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Refused => ErrorKind::ConnectionRefused,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::Ended => ErrorKind::ConnectionAborted,
            Self::TooMany => ErrorKind::OutOfMemory,
            Self::BadName | Self::TooLong => ErrorKind::InvalidInput,
            Self::NoSuchName => ErrorKind::NotFound,
            Self::NoRoute => ErrorKind::NotConnected,
            #[cfg(feature = "tls")]
            Self::Tls(_) => ErrorKind::InvalidData,
        }
    }
}

#[cfg(feature = "tls")]
impl From<selkie_tls::Error> for Error {
    fn from(error: selkie_tls::Error) -> Self {
        Self::Tls(error)
    }
}

/// Whoever reads or writes all of something says so, too.
impl From<embedded_io_async::ReadExactError<Self>> for Error {
    fn from(error: embedded_io_async::ReadExactError<Self>) -> Self {
        match error {
            embedded_io_async::ReadExactError::UnexpectedEof => Self::Ended,
            embedded_io_async::ReadExactError::Other(error) => error,
        }
    }
}
