//! What a connection is read from and written to: TCP, or TLS over it.

use embassy_net::tcp::{Error, TcpReader, TcpWriter};

pub(super) use channel::Channel;

/// What the client sends.
pub(super) struct Reader<'s> {
    tcp: TcpReader<'s>,
    channel: Option<&'s Channel>,
}

/// What the client gets.
pub(super) struct Writer<'s> {
    tcp: TcpWriter<'s>,
    channel: Option<&'s Channel>,
}

/// Both directions of a connection, once the two have come to terms in TLS where `channel` is there. None where they do
/// not: the client has been told.
pub(super) async fn open<'s>(
    mut tcp: (TcpReader<'s>, TcpWriter<'s>),
    channel: Option<&'s Channel>,
) -> Option<(Reader<'s>, Writer<'s>)> {
    if let Some(channel) = channel {
        channel.shake_hands(&mut tcp.0, &mut tcp.1).await?;
    }
    Some((Reader { tcp: tcp.0, channel }, Writer { tcp: tcp.1, channel }))
}

impl Reader<'_> {
    /// Bytes that can be read at once.
    pub(super) fn recv_queue(&self) -> usize {
        self.channel.map_or_else(|| self.tcp.recv_queue(), Channel::received)
    }

    /// Reads what `take` takes: it says how much, and returns something.
    pub(super) async fn read_with<R>(
        &mut self,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        match self.channel {
            None => self.tcp.read_with(take).await,
            Some(channel) => {
                channel.receive(&mut self.tcp).await;
                Ok(channel.take(take))
            }
        }
    }
}

impl Writer<'_> {
    /// Writes some of `bytes`, and says how many.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match self.channel {
            None => self.tcp.write(bytes).await,
            Some(channel) => channel.write(&mut self.tcp, bytes).await,
        }
    }

    /// Says that nothing more will be written.
    pub(super) async fn finish(&mut self) {
        if let Some(channel) = self.channel {
            channel.finish(&mut self.tcp).await;
        }
    }
}

#[cfg(feature = "tls")]
mod channel {
    use super::{Error, TcpReader, TcpWriter};
    use core::cell::RefCell;
    use selkie_tls::{Session, Step};

    /// TLS between the two directions. It is borrowed for moments only, while nobody waits.
    pub(in super::super) struct Channel(RefCell<Session>);

    impl Channel {
        pub(in super::super) fn new(session: Session) -> Self {
            Self(RefCell::new(session))
        }

        pub(super) async fn shake_hands(
            &self,
            reader: &mut TcpReader<'_>,
            writer: &mut TcpWriter<'_>,
        ) -> Option<()> {
            loop {
                let step = self.0.borrow_mut().advance();
                // What tells the client why it fails is sent, too.
                let sent = self.send(writer).await;
                match step {
                    Ok(Step::Handshake) => sent.ok()?,
                    Ok(_) => return sent.ok(),
                    Err(error) => {
                        log::info!("no connection in TLS: {error}");
                        return None;
                    }
                }
                self.read(reader).await?;
            }
        }

        /// Reads some bytes; none at the end.
        async fn read(&self, reader: &mut TcpReader<'_>) -> Option<()> {
            let read = reader.read_with(|bytes| {
                self.0.borrow_mut().received(bytes);
                (bytes.len(), bytes.len())
            });
            read.await.ok().filter(|count| *count > 0).map(drop)
        }

        pub(super) async fn receive(&self, reader: &mut TcpReader<'_>) {
            while self.received() == 0 {
                let step = self.0.borrow_mut().advance();
                if self.received() > 0 || step != Ok(Step::Open) || self.read(reader).await.is_none() {
                    break;
                }
            }
        }

        pub(super) fn received(&self) -> usize {
            self.0.borrow_mut().plain().len()
        }

        pub(super) fn take<R>(&self, take: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
            let mut session = self.0.borrow_mut();
            let plain = session.plain();
            let (count, result) = take(plain);
            plain.drain(..count);
            result
        }

        pub(super) async fn write(&self, writer: &mut TcpWriter<'_>, bytes: &[u8]) -> Result<usize, Error> {
            let said = self.0.borrow_mut().say(bytes).map_err(|_| Error::ConnectionReset)?;
            self.send(writer).await?;
            Ok(said)
        }

        pub(super) async fn finish(&self, writer: &mut TcpWriter<'_>) {
            if self.0.borrow_mut().finish().is_ok() {
                // Whether the client takes it makes no difference any more.
                let _ = self.send(writer).await;
            }
        }

        /// Sends all that is to be sent. Who gives up while this waits must not go on: a part of a record is gone.
        async fn send(&self, writer: &mut TcpWriter<'_>) -> Result<(), Error> {
            let bytes = core::mem::take(self.0.borrow_mut().outgoing());
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                match writer.write(rest).await? {
                    0 => return Err(Error::ConnectionReset),
                    count => rest = &rest[count..],
                }
            }
            Ok(())
        }
    }
}

#[cfg(not(feature = "tls"))]
mod channel {
    use super::{Error, TcpReader, TcpWriter};

    /// There is none.
    pub(in super::super) enum Channel {}

    impl Channel {
        pub(super) async fn shake_hands(&self, _: &mut TcpReader<'_>, _: &mut TcpWriter<'_>) -> Option<()> {
            match *self {}
        }

        pub(super) async fn receive(&self, _: &mut TcpReader<'_>) {
            match *self {}
        }

        pub(super) fn received(&self) -> usize {
            match *self {}
        }

        pub(super) fn take<R>(&self, _: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
            match *self {}
        }

        pub(super) async fn write(&self, _: &mut TcpWriter<'_>, _: &[u8]) -> Result<usize, Error> {
            match *self {}
        }

        pub(super) async fn finish(&self, _: &mut TcpWriter<'_>) {
            match *self {}
        }
    }
}
