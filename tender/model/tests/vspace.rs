//! The address space: every answer to an invocation of a page, a paging structure or an ASID, and what the host
//! is told to show.

use selkie_tender_model::{
    Access, Cap, Error, Fault, LookupFailure,
    testing::{HOST, IMAGE, Machine, Reply},
};
use selkie_tender_table::{Invocation as I, Kind, Number};

/// Rights: read and write, read.
const RW: u64 = 3;
const R: u64 = 2;
/// Far from everything else: nothing below the root exists here.
const FAR: u64 = 0x7100_0000_0000;
const PAGE: u64 = 0x1000;
const LARGE: u64 = 0x20_0000;

/// A machine with a page, a page table, a page directory and a PDPT in slots from `first` on, and the slot of
/// the address space.
struct Space {
    machine: Machine<'static>,
    root: u64,
    page: u64,
    table: u64,
    directory: u64,
    pdpt: u64,
    free: u64,
}

impl Space {
    fn new() -> Self {
        let mut machine = Machine::with(16 << 20, 12);
        let (untyped, first) = (machine.largest_untyped(), machine.first_empty());
        for (kind, slot) in
            [Kind::Page, Kind::PageTable, Kind::PageDirectory, Kind::Pdpt].into_iter().zip(first..)
        {
            assert_eq!(machine.retype(untyped, kind, 0, slot, 1), Reply::done());
        }
        let root = machine.kernel.table().number(Number::SlotVSpace);
        let [page, table, directory, pdpt] = [first, first + 1, first + 2, first + 3];
        Self { machine, root, page, table, directory, pdpt, free: first + 4 }
    }

    /// One with all structures at [`FAR`].
    fn built() -> Self {
        let mut space = Self::new();
        assert_eq!(space.map_structure(I::PdptMap, space.pdpt, FAR), Reply::done());
        assert_eq!(space.map_structure(I::PageDirectoryMap, space.directory, FAR), Reply::done());
        assert_eq!(space.map_structure(I::PageTableMap, space.table, FAR), Reply::done());
        space
    }

    fn make(&mut self, kind: Kind) -> u64 {
        let (untyped, slot) = (self.machine.largest_untyped(), self.free);
        self.free += 1;
        assert_eq!(self.machine.retype(untyped, kind, 0, slot, 1), Reply::done());
        slot
    }

    fn copy(&mut self, source: u64, rights: u64) -> u64 {
        let cnode = self.machine.kernel.table().number(Number::SlotCNode);
        let dest = self.free;
        self.free += 1;
        let words = [dest, 64, source, 64, rights];
        assert_eq!(self.machine.invoke(cnode, I::CNodeCopy, &words, &[cnode]), Reply::done());
        dest
    }

    fn delete(&mut self, slot: u64) {
        let cnode = self.machine.kernel.table().number(Number::SlotCNode);
        assert_eq!(self.machine.invoke(cnode, I::CNodeDelete, &[slot, 64], &[]), Reply::done());
    }

    fn map_structure(&mut self, map: I, slot: u64, at: u64) -> Reply {
        self.machine.invoke(slot, map, &[at, 0], &[self.root])
    }

    fn map(&mut self, page: u64, at: u64, rights: u64) -> Reply {
        self.machine.invoke(page, I::PageMap, &[at, rights, 0], &[self.root])
    }

    fn remap(&mut self, page: u64, rights: u64) -> Reply {
        self.machine.invoke(page, I::PageRemap, &[rights, 0], &[self.root])
    }

    fn shown(&mut self, at: u64) -> Option<(u64, u64, Access)> {
        self.machine.kernel.host().mapped.get(&at).copied()
    }

    fn paddr(&self, page: u64) -> u64 {
        let Cap::Frame { address, .. } = self.machine.cap(page) else { panic!("no page") };
        address
    }
}

fn missing(bits_left: u64) -> Reply {
    let failure = LookupFailure::MissingCapability { bits_left };
    Error::FailedLookup { source: false, failure }.into()
}

#[test]
fn structures_are_asked_for_from_the_root_down() {
    let mut space = Space::new();
    let (page, table, directory, pdpt) = (space.page, space.table, space.directory, space.pdpt);
    assert_eq!(space.map(page, FAR, RW), missing(39));
    assert_eq!(space.map_structure(I::PageTableMap, table, FAR), missing(39));
    assert_eq!(space.map_structure(I::PageDirectoryMap, directory, FAR), missing(39));
    // The address may be anywhere in what the structure stands for.
    assert_eq!(space.map_structure(I::PdptMap, pdpt, FAR + 0x7f_ffff_f123), Reply::done());
    assert_eq!(space.map(page, FAR, RW), missing(30));
    assert_eq!(space.map_structure(I::PageTableMap, table, FAR), missing(30));
    assert_eq!(space.map_structure(I::PageDirectoryMap, directory, FAR), Reply::done());
    assert_eq!(space.map(page, FAR, RW), missing(21));
    assert_eq!(space.map_structure(I::PageTableMap, table, FAR), Reply::done());
    assert_eq!(space.map(page, FAR, RW), Reply::done());
    let paddr = space.paddr(page);
    assert_eq!(space.shown(FAR), Some((paddr, PAGE, Access::ReadWrite)));
    assert_eq!(
        space.machine.cap(page),
        Cap::Frame {
            address: paddr,
            size: selkie_tender_model::FrameSize::Small,
            write: true,
            read: true,
            device: false,
            mapped: Some((1, FAR)),
        }
    );
}

#[test]
fn structures_refuse_what_the_kernel_refuses() {
    let mut space = Space::built();
    let cases = [
        (I::PdptMap, I::PdptUnmap, space.pdpt, Kind::Pdpt),
        (I::PageDirectoryMap, I::PageDirectoryUnmap, space.directory, Kind::PageDirectory),
        (I::PageTableMap, I::PageTableUnmap, space.table, Kind::PageTable),
    ];
    for (map, unmap, mapped, kind) in cases {
        let fresh = space.make(kind);
        let root = space.root;
        let machine = &mut space.machine;
        let refused = |reply: Reply, error: Error| assert_eq!(reply, Reply::from(error), "{kind:?}");
        refused(machine.invoke(fresh, map, &[FAR], &[root]), Error::TruncatedMessage);
        refused(machine.invoke(fresh, map, &[FAR, 0], &[]), Error::TruncatedMessage);
        refused(machine.invoke(mapped, map, &[FAR, 0], &[root]), Error::InvalidCapability(0));
        refused(machine.invoke(fresh, map, &[FAR, 0], &[fresh]), Error::InvalidCapability(1));
        refused(machine.invoke(fresh, map, &[u64::MAX, 0], &[root]), Error::InvalidArgument(0));
        refused(machine.invoke(fresh, map, &[FAR, 0], &[root]), Error::DeleteFirst);
        refused(machine.invoke(fresh, I::PageMap, &[FAR, 0, 0], &[root]), Error::IllegalOperation);
        assert_eq!(machine.invoke(fresh, unmap, &[], &[]), Reply::done());
        let copy = space.copy(mapped, 7);
        refused(space.machine.invoke(mapped, unmap, &[], &[]), Error::RevokeFirst);
        space.delete(copy);
    }
    let (page, root) = (space.page, space.root);
    let status = space.machine.invoke(space.directory, I::PageDirectoryGetStatusBits, &[FAR], &[root]);
    assert_eq!(status, Error::IllegalOperation.into());
    let root = space.machine.invoke(root, I::PdptMap, &[FAR, 0], &[page]);
    assert_eq!(root, Error::IllegalOperation.into());
}

#[test]
fn an_address_of_the_kernel_is_none_for_users() {
    let mut space = Space::built();
    let page = space.page;
    for address in
        [0xffff_ff80_0000_0000 - PAGE + 1, 0xffff_ff80_0000_0000, 0xffff_ffff_8000_0000, u64::MAX - PAGE]
    {
        assert_eq!(space.map(page, address, RW), Error::InvalidArgument(0).into(), "{address:#x}");
    }
    // Bits that the look-up leaves out lead to the kernel's own tables, or to a user's page.
    assert_eq!(space.map(page, 0xff80_0000_0000, RW), Error::InvalidArgument(0).into());
    let pdpt = space.make(Kind::Pdpt);
    assert_eq!(space.map_structure(I::PdptMap, pdpt, 0xff80_0000_0000), Error::DeleteFirst.into());
    assert_eq!(space.map(page, FAR | 1 << 52, RW), Reply::done());
    assert!(space.shown(FAR).is_some());
}

#[test]
fn a_page_refuses_what_the_kernel_refuses() {
    let mut space = Space::built();
    let (page, root) = (space.page, space.root);
    let other = space.make(Kind::Page);
    let at =
        |space: &mut Space, words: &[u64], caps: &[u64]| space.machine.invoke(other, I::PageMap, words, caps);
    assert_eq!(space.map(page, FAR, RW), Reply::done());
    assert_eq!(at(&mut space, &[FAR, RW], &[root]), Error::TruncatedMessage.into());
    assert_eq!(at(&mut space, &[FAR, RW, 0], &[]), Error::TruncatedMessage.into());
    assert_eq!(at(&mut space, &[FAR, RW, 0], &[page]), Error::InvalidCapability(1).into());
    assert_eq!(at(&mut space, &[FAR + 8, RW, 0], &[root]), Error::Alignment.into());
    assert_eq!(at(&mut space, &[FAR, RW, 0], &[root]), Error::DeleteFirst.into());
    assert_eq!(space.map(page, FAR + PAGE, RW), Error::InvalidCapability(0).into());
    assert_eq!(
        space.machine.invoke(page, I::PageTableMap, &[FAR, 0], &[root]),
        Error::IllegalOperation.into()
    );
    let io = space.machine.invoke(other, I::PageMapIo, &[RW, 0], &[root]);
    assert_eq!(io, Error::InvalidCapability(0).into());
    assert_eq!(space.machine.invoke(other, I::PageMapIo, &[RW], &[root]), Error::TruncatedMessage.into());
}

#[test]
fn what_the_host_cannot_show_is_refused_without_a_trace() {
    let mut space = Space::built();
    let (page, pdpt, directory, table) =
        (space.page, space.make(Kind::Pdpt), space.make(Kind::PageDirectory), space.make(Kind::PageTable));
    assert_eq!(space.map_structure(I::PdptMap, pdpt, HOST), Reply::done());
    assert_eq!(space.map_structure(I::PageDirectoryMap, directory, HOST), Reply::done());
    assert_eq!(space.map_structure(I::PageTableMap, table, HOST), Reply::done());
    assert_eq!(space.map(page, HOST, RW), Error::InvalidArgument(0).into());
    space.machine.kernel.host().full = true;
    assert_eq!(space.map(page, FAR, RW), Error::NotEnoughMemory(0).into());
    space.machine.kernel.host().full = false;
    assert_eq!(space.map(page, FAR, RW), Reply::done());
}

#[test]
fn rights_of_page_and_request_both_count() {
    let mut space = Space::built();
    let page = space.page;
    let read_only = space.copy(page, R);
    let none = space.copy(page, 1);
    for (slot, rights, access) in [
        (page, RW, Some(Access::ReadWrite)),
        (page, R, Some(Access::Read)),
        (page, 1, None),
        (read_only, RW, Some(Access::Read)),
        (none, RW, None),
    ] {
        assert_eq!(space.map(slot, FAR, rights), Reply::done());
        assert_eq!(space.shown(FAR).map(|shown| shown.2), access);
        let other = space.make(Kind::Page);
        assert_eq!(space.map(other, FAR, RW), Error::DeleteFirst.into(), "it is there, whatever it allows");
        assert_eq!(space.machine.invoke(slot, I::PageUnmap, &[], &[]), Reply::done());
        assert_eq!(space.shown(FAR), None);
    }
}

#[test]
fn remap_changes_the_rights_of_a_page_that_is_mapped() {
    let mut space = Space::built();
    let (page, root) = (space.page, space.root);
    assert_eq!(space.remap(page, RW), Error::IllegalOperation.into());
    assert_eq!(space.map(page, FAR, RW), Reply::done());
    assert_eq!(space.remap(page, R), Reply::done());
    assert_eq!(space.shown(FAR).map(|shown| shown.2), Some(Access::Read));
    assert_eq!(space.remap(page, 0), Reply::done());
    assert_eq!(space.shown(FAR), None);
    assert_eq!(space.remap(page, RW), Reply::done());
    assert_eq!(space.shown(FAR).map(|shown| shown.2), Some(Access::ReadWrite));
    assert_eq!(space.machine.invoke(page, I::PageRemap, &[RW], &[root]), Error::TruncatedMessage.into());
    assert_eq!(
        space.machine.invoke(page, I::PageRemap, &[RW, 0], &[page]),
        Error::InvalidCapability(1).into()
    );
    let table = space.table;
    assert_eq!(space.machine.invoke(table, I::PageTableUnmap, &[], &[]), Reply::done());
    assert_eq!(space.remap(page, RW), missing(21));
}

#[test]
fn an_unmapped_page_is_not_answered_when_it_is_unmapped() {
    let mut space = Space::new();
    let label = space.machine.kernel.table().message(I::PageUnmap).label;
    let reply = space.machine.invoke(space.page, I::PageUnmap, &[], &[]);
    assert_eq!(reply, Reply { label: label.into(), words: vec![] });
}

#[test]
fn the_address_of_a_page_is_in_a_register_beside_an_empty_answer() {
    let mut space = Space::new();
    let reply = space.machine.invoke(space.page, I::PageGetAddress, &[], &[]);
    assert_eq!(reply, Reply::done());
    let (memory, thread) = (space.machine.memory(), space.machine.kernel.current());
    let told = thread.register(&memory, selkie_tender_model::Register::R10);
    assert_eq!(told, space.paddr(space.page));
}

#[test]
fn what_a_structure_shows_goes_with_it() {
    for (unmap, structure) in [(I::PageTableUnmap, 1), (I::PageDirectoryUnmap, 2), (I::PdptUnmap, 3)] {
        let mut space = Space::built();
        let (page, other) = (space.page, space.make(Kind::Page));
        assert_eq!(space.map(page, FAR, RW), Reply::done());
        assert_eq!(space.map(other, FAR + 5 * PAGE, RW), Reply::done());
        let slot = space.page + structure;
        assert_eq!(space.machine.invoke(slot, unmap, &[], &[]), Reply::done());
        assert_eq!((space.shown(FAR), space.shown(FAR + 5 * PAGE)), (None, None), "{unmap:?}");
        // The pages think that they are mapped still; to unmap them is no mistake.
        assert_eq!(space.machine.invoke(page, I::PageUnmap, &[], &[]), Reply::done());
        assert!(matches!(
            space.machine.cap(slot),
            Cap::PageTable { mapped: None, .. }
                | Cap::PageDirectory { mapped: None, .. }
                | Cap::Pdpt { mapped: None, .. }
        ));
    }
}

#[test]
fn only_the_last_capability_to_a_page_unmaps_it() {
    let mut space = Space::built();
    let page = space.page;
    let copy = space.copy(page, 7);
    assert_eq!(space.map(page, FAR, RW), Reply::done());
    assert_eq!(space.map(copy, FAR + PAGE, RW), Reply::done());
    space.delete(page);
    assert!(space.shown(FAR).is_some(), "as on seL4 5.0.0");
    space.delete(copy);
    assert!(space.shown(FAR + PAGE).is_none());
    let table = space.table;
    let other = space.make(Kind::Page);
    assert_eq!(space.map(other, FAR + 2 * PAGE, RW), Reply::done());
    space.delete(table);
    assert!(space.shown(FAR + 2 * PAGE).is_none());
}

#[test]
fn large_pages_take_the_place_of_page_tables() {
    let mut space = Space::new();
    let (pdpt, directory, table) = (space.pdpt, space.directory, space.table);
    let (large, small) = (space.make(Kind::LargePage), space.page);
    assert_eq!(space.map_structure(I::PdptMap, pdpt, FAR), Reply::done());
    assert_eq!(space.map(large, FAR, RW), missing(30));
    assert_eq!(space.map_structure(I::PageDirectoryMap, directory, FAR), Reply::done());
    assert_eq!(space.map(large, FAR + PAGE, RW), Error::Alignment.into());
    assert_eq!(space.map(large, FAR, RW), Reply::done());
    let paddr = space.paddr(large);
    assert_eq!(space.shown(FAR), Some((paddr, LARGE, Access::ReadWrite)));
    assert_eq!(space.map_structure(I::PageTableMap, table, FAR), Error::DeleteFirst.into());
    assert_eq!(space.map(small, FAR, RW), missing(21));
    assert_eq!(space.remap(large, R), Reply::done());
    assert_eq!(space.shown(FAR), Some((paddr, LARGE, Access::Read)));
    assert_eq!(space.machine.invoke(large, I::PageUnmap, &[], &[]), Reply::done());
    assert_eq!(space.map_structure(I::PageTableMap, table, FAR), Reply::done());
    assert_eq!(space.map(large, FAR, RW), Error::DeleteFirst.into());
    assert_eq!(space.map(large, FAR + LARGE, RW), Reply::done());
    assert_eq!(space.map(small, FAR, RW), Reply::done());
    assert_eq!(space.machine.invoke(directory, I::PageDirectoryUnmap, &[], &[]), Reply::done());
    assert_eq!((space.shown(FAR), space.shown(FAR + LARGE)), (None, None));
}

/// The root task's own pages, whose tables are computed until one of them changes.
#[test]
fn initial_tables_are_as_good_as_stored_ones() {
    let mut space = Space::new();
    let first = (1..space.machine.slots())
        .find(|slot| matches!(space.machine.cap(*slot), Cap::Frame { mapped: Some((1, at)), .. } if at == IMAGE.start))
        .expect("the image's first page");
    let paddr = space.paddr(first + 3);
    let other = space.page;
    let at = IMAGE.start + 3 * PAGE;
    assert_eq!(space.map(other, at, RW), Error::DeleteFirst.into());
    assert_eq!(space.map(other, IMAGE.start - PAGE, RW), missing(21));
    assert_eq!(space.remap(first + 3, R), Reply::done());
    assert_eq!(space.shown(at), Some((paddr, PAGE, Access::Read)));
    // Its neighbours have not changed by it.
    assert_eq!(space.map(other, at - PAGE, RW), Error::DeleteFirst.into());
    assert_eq!(space.machine.invoke(first + 3, I::PageUnmap, &[], &[]), Reply::done());
    assert_eq!(space.map(other, at, RW), Reply::done());
    assert_eq!(space.map(first + 3, at + LARGE - 0x1000, RW), missing(21));
    let table = space.table;
    assert_eq!(space.map_structure(I::PageTableMap, table, at), Error::DeleteFirst.into());
    assert_eq!(space.map_structure(I::PageTableMap, table, at + LARGE), Reply::done());
    assert_eq!(space.map(first + 3, at + LARGE, RW), Reply::done());
}

#[test]
fn there_is_one_address_space() {
    let mut space = Space::new();
    let (pool, control) = {
        let table = space.machine.kernel.table();
        (table.number(Number::SlotAsidPool), table.number(Number::SlotAsidControl))
    };
    let (other, pdpt, page) = (space.make(Kind::Pml4), space.pdpt, space.page);
    let assign = |space: &mut Space, caps: &[u64]| space.machine.invoke(pool, I::AsidPoolAssign, &[], caps);
    assert_eq!(space.machine.invoke(pdpt, I::PdptMap, &[0, 0], &[other]), Error::InvalidCapability(1).into());
    assert_eq!(
        space.machine.invoke(page, I::PageMap, &[0, 0, 0], &[other]),
        Error::InvalidCapability(1).into()
    );
    assert_eq!(assign(&mut space, &[]), Error::TruncatedMessage.into());
    assert_eq!(assign(&mut space, &[page]), Error::InvalidCapability(1).into());
    let root = space.root;
    assert_eq!(assign(&mut space, &[root]), Error::InvalidCapability(1).into());
    assert_eq!(assign(&mut space, &[other]), Error::DeleteFirst.into());
    let wrong = space.machine.invoke(pool, I::AsidControlMakePool, &[0, 64], &[page, page]);
    assert_eq!(wrong, Error::IllegalOperation.into());

    let cnode = space.machine.kernel.table().number(Number::SlotCNode);
    let (untyped, small, free) = (space.machine.largest_untyped(), space.free, space.free + 1);
    assert_eq!(space.machine.retype(untyped, Kind::Untyped, 12, small, 1), Reply::done());
    let mut make =
        |words: &[u64], caps: &[u64]| space.machine.invoke(control, I::AsidControlMakePool, words, caps);
    assert_eq!(make(&[free], &[small, cnode]), Error::TruncatedMessage.into());
    assert_eq!(make(&[free, 64], &[small]), Error::TruncatedMessage.into());
    assert_eq!(make(&[free, 64], &[page, cnode]), Error::InvalidCapability(1).into());
    assert_eq!(make(&[free, 64], &[untyped, cnode]), Error::InvalidCapability(1).into());
    assert_eq!(make(&[small, 64], &[small, cnode]), Error::DeleteFirst.into());
    assert_eq!(make(&[free, 64], &[small, cnode]), Error::DeleteFirst.into());
}

#[test]
fn without_its_asid_the_address_space_shows_nothing() {
    let mut space = Space::built();
    let page = space.page;
    assert_eq!(space.map(page, FAR, RW), Reply::done());
    let pool = space.machine.kernel.table().number(Number::SlotAsidPool);
    space.delete(pool);
    assert_eq!(space.shown(FAR), None);
    let other = space.make(Kind::Page);
    let failure = LookupFailure::InvalidRoot;
    assert_eq!(space.map(other, FAR, RW), Error::FailedLookup { source: false, failure }.into());
}

/// The host's own tables may lack a page that is there, and have none that nobody may use.
#[test]
fn a_page_fault_tells_whether_there_is_a_page() {
    for (rights, at, told, wanted) in [
        (Some(R), FAR, 6, 7),
        (Some(R), FAR, 7, 7),
        (Some(0), FAR, 4, 5),
        (Some(RW), FAR + PAGE, 5, 4),
        (None, FAR, 6, 6),
        (None, IMAGE.start, 6, 7),
        (None, u64::MAX - 7, 5, 5),
    ] {
        let mut space = Space::built();
        let page = space.page;
        if let Some(rights) = rights {
            assert_eq!(space.map(page, FAR, rights), Reply::done());
        }
        let thread = space.machine.kernel.current();
        space.machine.kernel.fault(Fault::Vm { address: at, fetch: false, code: told });
        let fault = space.machine.kernel.fault_of(thread);
        assert!(matches!(fault, Some(Fault::Vm { code, .. }) if code == wanted), "{fault:?}");
    }
}
