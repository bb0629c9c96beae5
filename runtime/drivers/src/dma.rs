//! Memory that devices read and write: in one piece, at a physical address that is known.

use selkie::{
    Error, Result, System,
    cap::{Attributes, Page, Pml4, Rights},
    sync::Mutex,
    vspace::{self, PAGE},
};

/// A piece of memory, mapped for ever. It is known to [`physical`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dma {
    pub(crate) address: usize,
    pub(crate) size: usize,
    paddr: u64,
}

/// All pieces there are: one for each driver, and one for the rings that all of them share with their devices.
static PIECES: Mutex<[Option<Dma>; 8]> = Mutex::new([None; 8]);

impl Dma {
    /// Makes a piece of `size` bytes, filled with zeros.
    pub(crate) fn new(sys: &mut System, size: usize) -> Result<Self> {
        let size = size.next_multiple_of(PAGE);
        let pages = sys.memory.create_many::<Page>(size / PAGE)?;
        let (address, paddr) = (vspace::reserve(size, PAGE)?, sys.memory.paddr(&pages));
        for (index, page) in pages.caps().enumerate() {
            let at = address + index * PAGE;
            let (rights, attributes) = (Rights::READ_WRITE, Attributes::WriteBack);
            vspace::map_page(&mut sys.memory, Pml4::OWN, page, at, rights, attributes)?;
        }
        let piece = Self { address, size, paddr };
        let mut pieces = PIECES.lock();
        *pieces.iter_mut().find(|place| place.is_none()).ok_or(Error::NoMemory)? = Some(piece);
        Ok(piece)
    }
}

/// The physical address of memory of one piece.
pub(crate) fn physical(address: usize, size: usize) -> Option<u64> {
    PIECES.lock().iter().flatten().find_map(|piece| {
        let offset = address.checked_sub(piece.address)?;
        (size <= piece.size.checked_sub(offset)?).then(|| piece.paddr + offset as u64)
    })
}
