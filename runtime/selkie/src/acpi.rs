//! Leaving a PC: how its firmware's tables say that it is switched off and reset.
//!
//! The tables are read at start-up, because the end may come in any thread and at any moment: then nothing is
//! left to do but to write to ports.

use crate::{
    cap::{Attributes, IoPort, Page, Pml4, Rights},
    config::{self, AtExit},
    error::Result,
    memory::{Memory, Objects},
    sync::Mutex,
    system::System,
    vspace::{self, PAGE},
};
use selkie_base::acpi::{Physical, Ports, Power};
use selkie_sys::Word;

/// The chunk of BootInfo with the RSDP (`SEL4_BOOTINFO_HEADER_X86_ACPI_RSDP`), which newer kernels have.
const RSDP_CHUNK: Word = 3;

static POWER: Mutex<Power> = Mutex::new(Power::UNKNOWN);

/// Reads the tables: once, at start-up, where there may be some. Without them, nothing is known.
#[inline(never)]
pub(crate) fn init(sys: &mut System) {
    if config::get().at_exit() == AtExit::Halt {
        return;
    }
    let rsdp = sys.boot_info().chunk(RSDP_CHUNK);
    let Ok(address) = vspace::reserve(PAGE, PAGE) else { return };
    let mut window = Window { memory: &mut sys.memory, address, page: None };
    *POWER.lock() = Power::find(&mut window, rsdp);
    if window.close().is_ok() {
        vspace::release(address, PAGE);
    }
    // The untypeds are left as BootInfo has them. A page that the kernel keeps is no reason not to start.
    let _ = sys.memory.join();
}

/// Leaves the machine as `at_exit` says. Returns when no way to do so is known, or none worked.
pub(crate) fn leave(at_exit: AtExit) {
    let power = *POWER.lock();
    match at_exit {
        AtExit::PowerOff => power.off(&mut OwnPorts),
        AtExit::Reboot => power.reset(&mut OwnPorts),
        AtExit::Halt => {}
    }
}

/// One page of the address space through which physical memory is looked at, one page at a time.
struct Window<'a> {
    memory: &'a mut Memory,
    address: usize,
    /// The physical address of the page that is mapped there.
    page: Option<(u64, Objects<Page>)>,
}

impl Window<'_> {
    /// Maps the page at the physical address `paddr`.
    fn open(&mut self, paddr: u64) -> Result<()> {
        if self.page.as_ref().is_some_and(|(mapped, _)| *mapped == paddr) {
            return Ok(());
        }
        self.close()?;
        let page = self.memory.device_page(paddr)?;
        let cap = page.cap();
        self.page = Some((paddr, page));
        vspace::map_page(self.memory, Pml4::OWN, cap, self.address, Rights::READ, Attributes::WriteBack)
    }

    /// Unmaps the page.
    fn close(&mut self) -> Result<()> {
        self.page.take().map_or(Ok(()), |(_, page)| self.memory.destroy(page))
    }
}

impl Physical for Window<'_> {
    #[inline(never)]
    fn byte(&mut self, address: u64) -> u8 {
        let offset = address % PAGE as u64;
        if self.open(address - offset).is_err() {
            return 0;
        }
        // SAFETY: the page is mapped and nobody writes to it.
        unsafe { ((self.address + offset as usize) as *const u8).read_volatile() }
    }
}

/// The function's own ports.
struct OwnPorts;

impl Ports for OwnPorts {
    #[inline(never)]
    fn in16(&mut self, port: u16) -> u16 {
        IoPort::OWN.in16(port).unwrap_or_default()
    }

    #[inline(never)]
    fn out8(&mut self, port: u16, value: u8) {
        // Whether it worked is seen by whether the machine is still there.
        let _ = IoPort::OWN.out8(port, value);
    }

    #[inline(never)]
    fn out16(&mut self, port: u16, value: u16) {
        let _ = IoPort::OWN.out16(port, value);
    }
}
