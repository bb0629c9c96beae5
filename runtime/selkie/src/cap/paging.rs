use super::{Capability, Object, ObjectType, Place, Rights, Slot, Tcb, Untyped, capability, check, needs};
use crate::error::Result;
use selkie_sys::{self as sys, Word};

/// How the processor caches a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u64)]
pub enum Attributes {
    /// As ordinary memory.
    #[default]
    WriteBack = sys::vm_attributes::WRITE_BACK,
    /// Writes go through to memory.
    WriteThrough = sys::vm_attributes::WRITE_THROUGH,
    /// Not at all: what device registers need.
    Uncacheable = sys::vm_attributes::UNCACHEABLE,
    /// Writes are gathered: what frame buffers like. Only where the kernel sets the page attribute table.
    WriteCombining = sys::vm_attributes::WRITE_COMBINING,
}

capability! {
    /// A page of 4 KiB.
    Page = ObjectType::Page
}

capability! {
    /// A page of 2 MiB.
    LargePage = ObjectType::LargePage
}

/// What pages of both sizes can be asked.
macro_rules! page {
    ($name:ident) => {
        impl $name {
            /// Maps the page at `address` of the address space `root`, where no page is: seL4 5.0.0 refuses to map
            /// one where there is another, later kernels let it take the other one's place.
            pub fn map(
                self,
                root: Pml4,
                address: usize,
                rights: Rights,
                attributes: Attributes,
            ) -> Result<()> {
                map_page(self.0, root, address, rights, attributes)
            }

            /// Changes rights and attributes of the page, which is mapped at `address`.
            pub fn remap(
                self,
                root: Pml4,
                address: usize,
                rights: Rights,
                attributes: Attributes,
            ) -> Result<()> {
                remap_page(self.0, root, address, rights, attributes)
            }

            /// Takes the page out of the address space that it is mapped in.
            pub fn unmap(self) -> Result<()> {
                unmap_page(self.0)
            }

            /// The page's physical address.
            pub fn address(self) -> Result<u64> {
                page_address(self.0)
            }
        }
    };
}
page!(Page);
page!(LargePage);

pub(crate) fn map_page(
    page: Slot,
    root: Pml4,
    at: usize,
    rights: Rights,
    attributes: Attributes,
) -> Result<()> {
    // SAFETY: addresses where Rust code knows of memory are taken (`vspace::reserve`); to map a page there takes apart
    // what the function is made of, as the crate's documentation has it.
    check(unsafe { sys::page_map(page.0, root.0.0, at as Word, rights.raw(), attributes as Word) })
}

fn remap_page(page: Slot, root: Pml4, at: usize, rights: Rights, attributes: Attributes) -> Result<()> {
    // SAFETY: a write to a page that has become read-only ends in a fault.
    check(unsafe {
        sys::portable::page_remap(page.0, root.0.0, at as Word, rights.raw(), attributes as Word)
    })
}

fn unmap_page(page: Slot) -> Result<()> {
    // SAFETY: a use of the page after that ends in a fault.
    match unsafe { sys::page_unmap(page.0) } {
        // seL4 5.0.0 does not answer when the page is not mapped: the question's label is left.
        sys::label::X86_PAGE_UNMAP => Ok(()),
        error => check(error),
    }
}

fn page_address(page: Slot) -> Result<u64> {
    // SAFETY: asking changes nothing.
    let (error, address) = unsafe { sys::page_get_address(page.0) };
    check(error).map(|()| address)
}

/// A paging structure below the root of an address space.
pub trait Structure: Object {
    /// Puts the structure where it covers `address` in the address space `root`.
    fn map(self, root: Pml4, address: usize) -> Result<()>;
    /// Takes the structure out, with all that is mapped through it.
    fn unmap(self) -> Result<()>;
}

macro_rules! structure {
    ($(#[$doc:meta])* $name:ident, $map:ident, $unmap:ident) => {
        capability! { $(#[$doc])* $name = ObjectType::$name }

        impl Structure for $name {
            fn map(self, root: Pml4, address: usize) -> Result<()> {
                // SAFETY: an empty structure goes where none is.
                check(unsafe { sys::$map(self.0.0, root.0.0, address as Word, 0) })
            }
            fn unmap(self) -> Result<()> {
                // SAFETY: a use of what was mapped through it ends in a fault.
                check(unsafe { sys::$unmap(self.0.0) })
            }
        }
    };
}
structure!(
    /// The paging structure that covers 2 MiB with pages of 4 KiB.
    PageTable, page_table_map, page_table_unmap
);
structure!(
    /// The paging structure that covers 1 GiB with page tables and pages of 2 MiB.
    PageDirectory, page_directory_map, page_directory_unmap
);
structure!(
    /// The paging structure that covers 512 GiB with page directories.
    Pdpt, pdpt_map, pdpt_unmap
);

impl PageDirectory {
    /// Whether the page at `address` was read, and whether it was written, since the last question. Only seL4 5.0.0
    /// tells.
    pub fn status_bits(self, address: usize) -> Result<(bool, bool)> {
        // SAFETY: only the two bits change.
        let (error, accessed, dirty) = unsafe { sys::portable::status_bits(self.0.0, address as Word) };
        check(error).map(|()| (accessed != 0, dirty != 0))
    }
}

capability! {
    /// The root of an address space.
    Pml4 = ObjectType::Pml4
}

impl Pml4 {
    /// The function's own address space.
    pub const OWN: Self = Self(Slot(sys::slot::VSPACE));
}

capability! {
    /// A pool of numbers for address spaces. An address space can be used once it has a number.
    AsidPool
}

impl AsidPool {
    /// The function's own pool.
    pub const OWN: Self = Self(Slot(sys::slot::ASID_POOL));

    /// Gives the address space `root` a number from the pool.
    #[inline(never)]
    #[unsafe(link_section = ".text.selkie.asid_assign")]
    pub fn assign(self, root: Pml4) -> Result<()> {
        needs!("second-vspace", "AsidPool::assign", ".text.selkie.asid_assign");
        // SAFETY: it changes no mapping.
        check(unsafe { sys::asid_pool_assign(self.0.0, root.0.0) })
    }
}

capability! {
    /// The right to make pools of address-space numbers.
    AsidControl
}

impl AsidControl {
    /// The capability that BootInfo names. It need not answer.
    pub const OWN: Self = Self(Slot(sys::slot::ASID_CONTROL));

    /// Makes a pool of an untyped of 4 KiB, at the empty place `at`.
    #[inline(never)]
    #[unsafe(link_section = ".text.selkie.asid_make_pool")]
    pub fn make_pool(self, untyped: Untyped, at: Place) -> Result<()> {
        needs!("second-vspace", "AsidControl::make_pool", ".text.selkie.asid_make_pool");
        let (root, index, depth) = (at.root.slot().0, at.index, at.depth);
        // SAFETY: the kernel makes the pool only of memory that nobody uses.
        check(unsafe { sys::asid_control_make_pool(self.0.0, untyped.slot().0, root, index, depth) })
    }
}

capability! {
    /// The right to move threads between scheduling domains.
    Domain
}

impl Domain {
    /// The capability that BootInfo names. It need not answer.
    pub const OWN: Self = Self(Slot(sys::slot::DOMAIN));

    /// Moves `thread` to `domain`.
    pub fn set(self, domain: u8, thread: Tcb) -> Result<()> {
        // SAFETY: scheduling is no matter of memory safety.
        check(unsafe { sys::domain_set_set(self.0.0, domain, thread.slot().0) })
    }
}
