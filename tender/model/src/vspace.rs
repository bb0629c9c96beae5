//! The address space: invocations of pages, paging structures and ASIDs.
//!
//! There is one address space, the root task's. Other roots can be made, but not be given an ASID: the errors
//! are those of a kernel that has none left.

use crate::{
    Access, Cap, Error, FrameSize, Host, Kernel, Rights,
    paging::{Entry, InitialTables, Level, PageMapping, Place, USER_TOP, VSpace, canonical},
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, Number, param};

/// An IPC buffer's address is a multiple of this.
const IPC_BUFFER_ALIGN: u64 = 512;

impl<H: Host> Kernel<'_, H> {
    /// Takes the initial tables for the root task's address space; their memory is zero.
    pub(crate) fn init_vspace(&mut self, initial: InitialTables) {
        self.vspace = VSpace::new(&self.memory, initial);
    }

    /// Serves an invocation of a page.
    pub(crate) fn invoke_page(&mut self, request: &Request) -> Result<Answer, Error> {
        match request.invocation {
            Some(Invocation::PageMap) => self.map_page(request),
            Some(Invocation::PageRemap) => self.remap_page(request),
            Some(Invocation::PageUnmap) => Ok(self.unmap_page(request)),
            Some(Invocation::PageMapIo) => self.refuse_map_io(request),
            Some(Invocation::PageGetAddress) => {
                let Cap::Frame { address, .. } = request.cap else { return Err(Error::IllegalOperation) };
                Ok(self.answer_word(request, address, self.since(13, 0)))
            }
            _ => Err(Error::IllegalOperation),
        }
    }

    /// Whether a page that is mapped is mapped anew by an operation of its own, not by the one that maps.
    fn has_remap(&self) -> bool {
        self.table.message(Invocation::PageRemap).label != 0
    }

    fn map_page(&mut self, request: &Request) -> Result<Answer, Error> {
        use param::page_map as at;
        let Cap::Frame { size, write, read, mapped, .. } = request.cap else {
            return Err(Error::IllegalOperation);
        };
        request.complete(self)?;
        if mapped.is_some() && self.has_remap() {
            return Err(Error::InvalidCapability(0));
        }
        let (root, asid) = self.vspace_root(request, at::ROOT)?;
        if !self.since(10, 0) {
            self.check_assigned(root, asid)?;
        }
        let address = request.value(self, at::VADDR);
        match mapped {
            Some((mapped_in, _)) if mapped_in != asid => return Err(Error::InvalidCapability(1)),
            Some((_, mapped_at)) if mapped_at != address => return Err(Error::InvalidArgument(0)),
            Some(_) => {}
            None => self.check_user_page(address, size, (root, asid))?,
        }
        self.check_assigned(root, asid)?;
        let rights = Rights::decode(request.value(self, at::RIGHTS));
        let access = access(read, write, rights);
        if !address.is_multiple_of(size.bytes()) {
            return Err(Error::Alignment);
        }
        let place = self.vspace.lookup(&self.memory, root, address, Level::of_page(size))?;
        let entry = self.vspace.entry(&self.memory, place);
        let taken = if self.since(10, 0) { entry.is_table_of(size) } else { entry.is_present() };
        if taken {
            return Err(Error::DeleteFirst);
        }
        let attributes = request.value(self, at::ATTR);
        self.show_page(request, place, (asid, address), access, attributes)
    }

    /// Fails unless a page may be mapped at the address. On seL4 10 the address space is looked at first.
    fn check_user_page(&self, address: u64, size: FrameSize, (root, asid): (u64, u16)) -> Result<(), Error> {
        if self.has_remap() {
            self.check_assigned(root, asid)?;
        }
        let (end, top) = (address.wrapping_add(size.bytes()), self.user_top());
        let beyond = self.since(10, 0) && address > top;
        if beyond || end > top { Err(Error::InvalidArgument(0)) } else { Ok(()) }
    }

    /// Shows the page of the request, whose place is known.
    fn show_page(
        &mut self,
        request: &Request,
        place: Place,
        (asid, address): (u16, u64),
        access: Option<Access>,
        attributes: u64,
    ) -> Result<Answer, Error> {
        let Cap::Frame { address: paddr, size, write, read, device, .. } = request.cap else {
            return Err(Error::IllegalOperation);
        };
        // What the kernel would do and a process cannot.
        if device {
            return Err(Error::IllegalOperation);
        }
        if !self.host.is_free(canonical(address), size.bytes()) {
            return Err(Error::InvalidArgument(0));
        }
        let page = PageMapping { address, paddr, size, access, attributes };
        let mapped = self.vspace.map_page(&self.memory, &mut self.host, place, &page);
        mapped.map_err(|_| Error::NotEnoughMemory(0))?;
        let mapped = Some((asid, address));
        let cap = Cap::Frame { address: paddr, size, write, read, device, mapped };
        request.slot.set_cap(&self.memory, cap);
        Ok(Answer::Empty)
    }

    fn remap_page(&mut self, request: &Request) -> Result<Answer, Error> {
        if self.since(10, 0) {
            request.complete(self)?;
        }
        let Cap::Frame { size, write, read, mapped: Some((mapped_in, address)), .. } = request.cap else {
            return Err(Error::IllegalOperation);
        };
        request.complete(self)?;
        let (root, asid) = self.vspace_root(request, param::page_remap::ROOT)?;
        if mapped_in != asid {
            return Err(Error::InvalidCapability(self.since(10, 0).into()));
        }
        self.check_assigned(root, asid)?;
        let rights = Rights::decode(request.value(self, param::page_remap::RIGHTS));
        let place = self.vspace.lookup(&self.memory, root, address, Level::of_page(size))?;
        if self.vspace.entry(&self.memory, place).is_table_of(size) {
            return Err(Error::DeleteFirst);
        }
        let access = access(read, write, rights);
        let attributes = request.value(self, param::page_remap::ATTR);
        self.show_page(request, place, (asid, address), access, attributes)
    }

    /// A page that is not mapped stays so, and seL4 5.0.0 does not answer: the caller sees its own message.
    fn unmap_page(&mut self, request: &Request) -> Answer {
        let Cap::Frame { address, size, write, read, device, mapped: Some(_) } = request.cap else {
            return if self.since(10, 0) { Answer::Empty } else { Answer::Silent };
        };
        self.unmap_cap(request.cap);
        let cap = Cap::Frame { address, size, write, read, device, mapped: None };
        request.slot.set_cap(&self.memory, cap);
        Answer::Empty
    }

    /// There are no IO spaces, so no capability to one can have been given.
    fn refuse_map_io(&self, request: &Request) -> Result<Answer, Error> {
        request.complete(self)?;
        Err(Error::InvalidCapability(0))
    }

    /// Serves an invocation of a page table, page directory or page-directory pointer table.
    pub(crate) fn invoke_structure(&mut self, request: &Request) -> Result<Answer, Error> {
        let Some(structure) = Structure::of(request.cap) else { return Err(Error::IllegalOperation) };
        match request.invocation {
            Some(invocation) if invocation == structure.operations.unmap => {
                self.unmap_structure(request, structure)
            }
            Some(invocation) if invocation == structure.operations.map => {
                self.map_structure(request, structure)
            }
            _ => Err(Error::IllegalOperation),
        }
    }

    fn map_structure(&mut self, request: &Request, structure: Structure) -> Result<Answer, Error> {
        let Structure { level, paddr, mapped, operations } = structure;
        request.complete(self)?;
        if mapped.is_some() {
            return Err(Error::InvalidCapability(0));
        }
        let bits = level.table_bits();
        let address = request.value(self, operations.address) >> bits << bits;
        let (root, asid) = self.vspace_root(request, operations.root)?;
        let later = self.since(10, 0);
        if address > self.user_top() || !later && address == USER_TOP {
            return Err(Error::InvalidArgument(0));
        }
        if later || level == Level::PageTable {
            self.check_assigned(root, asid)?;
        }
        let place = self.vspace.lookup(&self.memory, root, address, level.above())?;
        if self.vspace.entry(&self.memory, place).is_present() {
            return Err(Error::DeleteFirst);
        }
        let attributes = request.value(self, operations.attributes);
        let entry = Entry::table(paddr, attributes);
        self.vspace.set_entry(&self.memory, place, entry);
        request.slot.set_cap(&self.memory, level.cap(paddr, Some((asid, address))));
        Ok(Answer::Empty)
    }

    fn unmap_structure(&mut self, request: &Request, structure: Structure) -> Result<Answer, Error> {
        if !self.is_last(request.slot) {
            return Err(Error::RevokeFirst);
        }
        if structure.mapped.is_some() {
            self.unmap_cap(request.cap);
            self.vspace.clear_table(&self.memory, structure.paddr);
        }
        request.slot.set_cap(&self.memory, structure.level.cap(structure.paddr, None));
        Ok(Answer::Empty)
    }

    /// Serves an invocation of ASID control or of an ASID pool.
    ///
    /// What is wrong with a request is answered as by the kernel; what is right with `DeleteFirst`, the
    /// kernel's answer when no pool or no ASID is left.
    pub(crate) fn invoke_asid(&mut self, request: &Request) -> Result<Answer, Error> {
        match (request.cap, request.invocation) {
            (Cap::AsidControl, Some(Invocation::AsidControlMakePool)) => {
                request.complete(self)?;
                self.check_pool(request)?;
            }
            (Cap::AsidPool { .. }, Some(Invocation::AsidPoolAssign)) => {
                request.complete(self)?;
                let root = request.cap_slot(self, param::asid_pool_assign::ROOT);
                let root = root.map(|slot| slot.cap(&self.memory));
                if !matches!(root, Some(Cap::Pml4 { asid: 0, .. })) {
                    return Err(Error::InvalidCapability(1));
                }
            }
            _ => return Err(Error::IllegalOperation),
        }
        Err(Error::DeleteFirst)
    }

    fn check_pool(&self, request: &Request) -> Result<(), Error> {
        use param::asid_control_make_pool::{DEPTH, INDEX, ROOT, UNTYPED};
        let (Some(untyped), Some(root)) = (request.cap_slot(self, UNTYPED), request.cap_slot(self, ROOT))
        else {
            return Err(Error::TruncatedMessage);
        };
        let wanted = self.table.number(Number::AsidPoolBits);
        match untyped.cap(&self.memory) {
            Cap::Untyped { bits, device: false, .. } if u64::from(bits) == wanted => {}
            _ => return Err(Error::InvalidCapability(1)),
        }
        self.ensure_no_children(untyped)?;
        let (index, depth) = (request.value(self, INDEX), request.value(self, DEPTH));
        let slot = self.lookup_slot(root.cap(&self.memory), index, depth, false)?;
        self.ensure_empty(slot)
    }

    /// Undoes what the last capability to a page, paging structure, address space or ASID pool stood for.
    pub(crate) fn unmap_cap(&mut self, cap: Cap) {
        let (memory, host) = (&self.memory, &mut self.host);
        match cap {
            Cap::Frame { address, size, mapped: Some(place), .. } => {
                self.vspace.unmap_page(memory, host, place, address, size);
            }
            Cap::Pml4 { address, asid } if asid != 0 => self.vspace.unassign(memory, host, address),
            Cap::AsidPool { .. } => self.vspace.unassign_all(memory, host),
            _ => {
                if let Some(Structure { level, paddr, mapped: Some(place), .. }) = Structure::of(cap) {
                    self.vspace.unmap_table(memory, host, place, paddr, level);
                }
            }
        }
    }

    /// The error code of a page fault, as the processor would give it if the root task's pages were as the kernel
    /// maps them: the host may not have a page in its tables that is there, and lacks one that nobody may use.
    pub(crate) fn page_fault_code(&self, address: u64, code: u64) -> u64 {
        const PRESENT: u64 = 1 << 0;
        if address >= USER_TOP {
            return code;
        }
        code & !PRESENT | if self.vspace.has_page(&self.memory, address) { PRESENT } else { 0 }
    }

    /// Whether the capability is to an address space that threads can run in.
    pub(crate) fn is_vspace(&self, cap: Cap) -> bool {
        matches!(cap, Cap::Pml4 { asid, .. } if asid != 0)
    }

    /// Fails unless `address` can be the IPC buffer in the page `frame`.
    pub(crate) fn check_ipc_buffer(&self, address: u64, frame: Cap) -> Result<(), Error> {
        match frame {
            Cap::Frame { device: false, .. } if address.is_multiple_of(IPC_BUFFER_ALIGN) => Ok(()),
            Cap::Frame { device: false, .. } => Err(Error::Alignment),
            _ => Err(Error::IllegalOperation),
        }
    }

    /// The address space that a parameter is a capability to: its root and its ASID.
    fn vspace_root(&self, request: &Request, param: usize) -> Result<(u64, u16), Error> {
        match request.cap_slot(self, param).map(|slot| slot.cap(&self.memory)) {
            Some(Cap::Pml4 { address, asid }) if asid != 0 => Ok((address, asid)),
            _ => Err(Error::InvalidCapability(1)),
        }
    }

    /// The first address that is not the user's, or the last one that is: for each kernel what it compares with.
    fn user_top(&self) -> u64 {
        /// The last address of the lower half.
        const LOWER_HALF: u64 = 0x7fff_ffff_ffff;
        if self.since(10, 0) { LOWER_HALF } else { USER_TOP }
    }

    /// Fails unless the address space of the ASID is the one with this root.
    fn check_assigned(&self, root: u64, asid: u16) -> Result<(), Error> {
        if self.vspace.find(asid)? == root { Ok(()) } else { Err(Error::InvalidCapability(1)) }
    }
}

/// What a page's capability and the rights of a request allow together; none where nothing can be read.
fn access(read: bool, write: bool, rights: Rights) -> Option<Access> {
    match (read && rights.read, write && rights.write) {
        (false, _) => None,
        (true, false) => Some(Access::Read),
        (true, true) => Some(Access::ReadWrite),
    }
}

/// A paging structure below the root, and its operations.
#[derive(Debug, Clone, Copy)]
struct Structure {
    level: Level,
    paddr: u64,
    mapped: Option<(u16, u64)>,
    operations: Operations,
}

/// The operations of a kind of paging structure, and the parameters of mapping it.
#[derive(Debug, Clone, Copy)]
struct Operations {
    map: Invocation,
    unmap: Invocation,
    root: usize,
    address: usize,
    attributes: usize,
}

macro_rules! operations {
    ($map:ident $unmap:ident $module:ident) => {
        Operations {
            map: Invocation::$map,
            unmap: Invocation::$unmap,
            root: param::$module::ROOT,
            address: param::$module::VADDR,
            attributes: param::$module::ATTR,
        }
    };
}

impl Structure {
    fn of(cap: Cap) -> Option<Self> {
        let (level, paddr, mapped, operations) = match cap {
            Cap::PageTable { address, mapped } => {
                (Level::PageTable, address, mapped, operations!(PageTableMap PageTableUnmap page_table_map))
            }
            Cap::PageDirectory { address, mapped } => {
                let operations = operations!(PageDirectoryMap PageDirectoryUnmap page_directory_map);
                (Level::PageDirectory, address, mapped, operations)
            }
            Cap::Pdpt { address, mapped } => {
                (Level::Pdpt, address, mapped, operations!(PdptMap PdptUnmap pdpt_map))
            }
            _ => return None,
        };
        Some(Self { level, paddr, mapped, operations })
    }
}

impl Level {
    /// The capability to a table of this level.
    pub(crate) fn cap(self, address: u64, mapped: Option<(u16, u64)>) -> Cap {
        match self {
            Self::PageTable => Cap::PageTable { address, mapped },
            Self::PageDirectory => Cap::PageDirectory { address, mapped },
            Self::Pdpt => Cap::Pdpt { address, mapped },
            Self::Pml4 => Cap::Pml4 { address, asid: mapped.map_or(0, |(asid, _)| asid) },
        }
    }
}
