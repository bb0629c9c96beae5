//! QEMU's firmware configuration device: what QEMU was told for the guest, as files.
//!
//! Source: `docs/specs/fw_cfg.rst` of QEMU. The selector is IO port 0x510, the data port 0x511; numbers in
//! the directory have the most significant byte first.

use crate::{cap::IoPort, error::Result};

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const SIGNATURE: u16 = 0x00;
const DIRECTORY: u16 = 0x19;
/// Bytes of a directory entry: size, selector, reserved, name.
const ENTRY: usize = 64;
/// More files than any QEMU has.
const MAX_FILES: u32 = 512;

/// The device, found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FwCfg(IoPort);

/// A file of the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    selector: u16,
    size: usize,
}

impl FwCfg {
    /// Finds the device: only QEMU has it.
    pub(crate) fn find(ports: IoPort) -> Option<Self> {
        let device = Self(ports);
        let mut signature = [0; 4];
        device.select(SIGNATURE).and_then(|()| device.read(&mut signature)).ok()?;
        (&signature == b"QEMU").then_some(device)
    }

    /// Finds a file by name.
    pub(crate) fn open(self, name: &str) -> Option<File> {
        self.select(DIRECTORY).ok()?;
        let mut count = [0; 4];
        self.read(&mut count).ok()?;
        let mut entry = [0; ENTRY];
        for _ in 0..u32::from_be_bytes(count).min(MAX_FILES) {
            self.read(&mut entry).ok()?;
            let [a, b, c, d, high, low, _, _, rest @ ..] = entry;
            if rest.split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
                let size = u32::from_be_bytes([a, b, c, d]) as usize;
                return Some(File { selector: u16::from_be_bytes([high, low]), size });
            }
        }
        None
    }

    /// Reads a file from its start, as far as `buffer` reaches.
    pub(crate) fn read_file(self, file: File, buffer: &mut [u8]) -> Result<()> {
        self.select(file.selector)?;
        let size = file.size.min(buffer.len());
        self.read(&mut buffer[..size])
    }

    fn select(self, selector: u16) -> Result<()> {
        self.0.out16(SELECTOR, selector)
    }

    fn read(self, buffer: &mut [u8]) -> Result<()> {
        for byte in buffer {
            *byte = self.0.in8(DATA)?;
        }
        Ok(())
    }
}

impl File {
    /// Its size in bytes.
    pub(crate) fn size(self) -> usize {
        self.size
    }
}
