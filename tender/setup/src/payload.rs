//! The tender's own payload, as Linux has mapped it.

use crate::{Error, Process, elf::own_segment};
use selkie_tender_table::{
    Table,
    payload::{Header, Part},
};
use sha2::{Digest, Sha256};

/// What the builder put into the executable.
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    /// The payload's header.
    pub header: &'static Header,
    /// All of the payload.
    pub bytes: &'static [u8],
}

impl Payload {
    /// Finds the payload of the running executable. `header` is where the linker put it.
    ///
    /// # Safety
    /// The segment that `header` lies in is read-only.
    pub unsafe fn find(process: Process, header: *const Header) -> Result<Self, Error> {
        let segment = process.program_headers().and_then(|headers| own_segment(headers, header as u64));
        let segment = segment.ok_or(Error::Payload("no program header covers its payload"))?;
        let before = header as u64 - segment.address;
        // SAFETY: Linux has mapped all of this segment, and nobody writes to it.
        let bytes = unsafe {
            core::slice::from_raw_parts(header.cast::<u8>(), (segment.file_size - before) as usize)
        };
        Self::read(bytes)
    }

    /// Reads a payload.
    pub fn read(bytes: &'static [u8]) -> Result<Self, Error> {
        let header = Header::read(bytes).ok_or(Error::Payload("its payload has no valid header"))?;
        let payload = Self { header, bytes };
        payload.tables()?;
        Ok(payload)
    }

    /// Whether this is the tender that an operator installs: it comes without a root task.
    pub fn is_operator(&self) -> bool {
        self.header.root_task.size == 0
    }

    /// The interface tables.
    pub fn tables(&self) -> Result<&'static [Table], Error> {
        self.header.tables(self.bytes).ok_or(Error::Payload("its interface tables are cut off"))
    }

    /// The table of an interface, by its digest; that of the named kernel config when several have it.
    pub(crate) fn table(&self, digest: &[u8; 32], config: &[u8]) -> Result<Option<&'static Table>, Error> {
        let tables = self.tables()?;
        let named =
            tables.iter().find(|table| table.digest == *digest && table.config().as_bytes() == config);
        Ok(named.or_else(|| tables.iter().find(|table| table.digest == *digest)))
    }

    /// The root task's bytes.
    pub(crate) fn root_task(&self) -> &'static [u8] {
        self.header.root_task.of(self.bytes).unwrap_or_default()
    }

    /// Compares the digests of what is in the payload with its header.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        let matches = |part: &Part| {
            let digest = part.of(self.bytes).map(Sha256::digest);
            digest.is_some_and(|digest| digest[..] == part.sha256)
        };
        if !matches(&self.header.tables) {
            return Err(Error::Digest("set of interface tables"));
        }
        if !self.is_operator() && !matches(&self.header.root_task) {
            return Err(Error::Digest("root task"));
        }
        Ok(())
    }
}
