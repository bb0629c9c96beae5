//! Devices that the function's surroundings offer, as BootInfo lists them (`docs/devices.md`).
//!
//! There is a list only where a host process runs the function, or a component that stands for one.

use crate::{
    boot_info::BootInfo,
    error::{Error, Result},
    host_console,
};
use core::{
    ops::Range,
    ptr, slice,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};
use selkie_base::devices::{DEVICES_CHUNK, Devices, answer};
use selkie_sys::{self as sys, Word};

pub use selkie_base::devices::{Device, DeviceKind};

/// The bytes of the list; null where there is none.
static LIST: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static LIST_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Looks for the list: once, at start-up. Returns whether there is one.
pub(crate) fn init(boot_info: &BootInfo) -> bool {
    let Some(list) = boot_info.chunk(DEVICES_CHUNK) else { return false };
    LIST_SIZE.store(list.len(), Ordering::Relaxed);
    LIST.store(list.as_ptr().cast_mut(), Ordering::Release);
    host_console::init();
    true
}

/// Whether the function runs in a host process.
pub(crate) fn in_process() -> bool {
    !LIST.load(Ordering::Relaxed).is_null()
}

/// The devices in the order of the list; none where there is no list, or one of another version.
pub fn all() -> impl ExactSizeIterator<Item = Device> {
    let list = LIST.load(Ordering::Acquire);
    let bytes = match list.is_null() {
        true => &[],
        // SAFETY: `init` has stored begin and size of a chunk of BootInfo, which stays.
        false => unsafe { slice::from_raw_parts(list, LIST_SIZE.load(Ordering::Relaxed)) },
    };
    Devices::new(bytes).unwrap_or_default().iter()
}

/// The first device of a kind.
pub fn find(kind: DeviceKind) -> Result<Device> {
    all().find(|device| device.kind() == Some(kind)).ok_or(Error::NoDevice)
}

/// Sends a request without words to a device and returns the first words of its answer.
pub fn request(device: &Device, label: Word) -> Result<[Word; 4]> {
    let mut words = [0; 4];
    let info = sys::MessageInfo::new(label, 0, 0, 0);
    // SAFETY: the device gets no memory by this, and the thread has an IPC buffer.
    match unsafe { sys::invoke(device.endpoint, info, &mut words) } {
        answer::DONE => Ok(words),
        _ => Err(Error::NoDevice),
    }
}

/// The words of the region of a device with queues; none where none is mapped.
///
/// # Safety
/// The device's kind has found size and alignment of the region right, and nobody else uses it.
pub unsafe fn region(device: &Device) -> Option<&'static [AtomicU64]> {
    let words = device.size as usize / size_of::<AtomicU64>();
    let address = ptr::with_exposed_provenance(device.address as usize);
    // SAFETY: the list says that the region is mapped, and it stays. Both sides use its words as atomics, and a buffer is
    // used by the side that has it.
    (device.address != 0).then(|| unsafe { slice::from_raw_parts(address, words) })
}

/// Bytes of the region of a device with queues: those of buffers.
///
/// # Safety
/// The range lies in buffers of the region that the function has for as long as the bytes are used, and nobody else uses
/// them meanwhile.
pub unsafe fn buffer<'a>(device: &Device, range: Range<u32>) -> &'a mut [u8] {
    let at = ptr::with_exposed_provenance_mut(device.address as usize + range.start as usize);
    // SAFETY: the caller's; the region is mapped.
    unsafe { slice::from_raw_parts_mut(at, range.len()) }
}
