//! QEMU's firmware configuration device: what QEMU was told for the guest, as files.
//!
//! Source: `docs/specs/fw_cfg.rst` of QEMU. The selector is IO port 0x510, the data port 0x511, the DMA
//! register port 0x514; numbers in the directory and of DMA have the most significant byte first.

use crate::{
    cap::IoPort,
    error::{Error, Result},
    memory::Memory,
    vspace::{Mapping, PAGE},
};
use core::{ptr, sync::atomic};

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DMA: u16 = 0x514;
const SIGNATURE: u16 = 0x00;
const FEATURES: u16 = 0x01;
const KERNEL_SIZE: u16 = 0x08;
const DIRECTORY: u16 = 0x19;
/// Feature: the device reads and writes memory by itself.
const HAS_DMA: u8 = 1 << 1;
/// A DMA command: it failed.
const DMA_ERROR: u32 = 1 << 0;
/// A DMA command: read.
const DMA_READ: u32 = 1 << 1;
/// Bytes of a DMA command: control, length, address.
const DMA_COMMAND: usize = 16;
/// Bytes of a directory entry: size, selector, reserved, name.
const ENTRY: usize = 64;
/// More files than any QEMU has.
const MAX_FILES: u32 = 512;

/// The device, found.
#[derive(Debug)]
pub(crate) struct FwCfg {
    ports: IoPort,
    dma: Option<DmaPage>,
}

/// A page that the device reads commands from and writes data to: two invocations instead of one for each
/// byte.
#[derive(Debug)]
struct DmaPage {
    mapping: Mapping,
    paddr: u64,
}

/// A file of the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    selector: u16,
    size: usize,
}

impl FwCfg {
    /// Finds the device: only QEMU has it.
    pub(crate) fn find(ports: IoPort) -> Option<Self> {
        let device = Self { ports, dma: None };
        let mut signature = [0; 4];
        device.select(SIGNATURE).and_then(|()| device.read(&mut signature)).ok()?;
        (&signature == b"QEMU").then_some(device)
    }

    /// Whether QEMU loaded the kernel itself, and no firmware from a medium.
    pub(crate) fn has_kernel(&self) -> bool {
        let mut size = [0; 4];
        self.select(KERNEL_SIZE).and_then(|()| self.read(&mut size)).is_ok() && size != [0; 4]
    }

    /// Lets the device use memory, if it can.
    pub(crate) fn use_dma(&mut self, memory: &mut Memory) -> Result<()> {
        let mut features = [0; 4];
        self.select(FEATURES)?;
        self.read(&mut features)?;
        if features[0] & HAS_DMA != 0 {
            let mapping = Mapping::new(memory, PAGE)?;
            let paddr = mapping.page(0).ok_or(Error::NoMemory)?.address()?;
            self.dma = Some(DmaPage { mapping, paddr });
        }
        Ok(())
    }

    /// Gives the memory back.
    pub(crate) fn close(self, memory: &mut Memory) -> Result<()> {
        self.dma.map_or(Ok(()), |dma| dma.mapping.unmap(memory))
    }

    /// Finds a file by name.
    pub(crate) fn open(&self, name: &str) -> Option<File> {
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
    pub(crate) fn read_file(&self, file: File, buffer: &mut [u8]) -> Result<()> {
        self.select(file.selector)?;
        let size = file.size.min(buffer.len());
        self.read(&mut buffer[..size])
    }

    fn select(&self, selector: u16) -> Result<()> {
        self.ports.out16(SELECTOR, selector)
    }

    /// Reads on in what was selected.
    fn read(&self, buffer: &mut [u8]) -> Result<()> {
        if let Some(dma) = &self.dma {
            return buffer.chunks_mut(PAGE - DMA_COMMAND).try_for_each(|chunk| dma.read(self.ports, chunk));
        }
        for byte in buffer {
            *byte = self.ports.in8(DATA)?;
        }
        Ok(())
    }
}

impl DmaPage {
    fn read(&self, ports: IoPort, buffer: &mut [u8]) -> Result<()> {
        let command = self.mapping.address() as *mut u32;
        let data = self.paddr + DMA_COMMAND as u64;
        let words = [DMA_READ, buffer.len() as u32, (data >> 32) as u32, data as u32];
        // SAFETY: the page is mapped and used by nothing else but the device, which is done with it when it
        // has written the control word; `buffer` is shorter than the page by a command.
        unsafe {
            for (index, word) in words.iter().enumerate() {
                command.add(index).write_volatile(word.to_be());
            }
            ports.out32(DMA, ((self.paddr >> 32) as u32).to_be())?;
            ports.out32(DMA + 4, (self.paddr as u32).to_be())?;
            loop {
                match u32::from_be(command.read_volatile()) {
                    0 => break,
                    control if control & DMA_ERROR != 0 => return Err(Error::NoDevice),
                    _ => crate::thread::yield_now(),
                }
            }
            // What the device has written is not read before the control word.
            atomic::compiler_fence(atomic::Ordering::Acquire);
            ptr::copy_nonoverlapping(command.byte_add(DMA_COMMAND).cast(), buffer.as_mut_ptr(), buffer.len());
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
