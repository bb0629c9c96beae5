//! virtio devices on PCI, with an interrupt as a message (MSI-X): no table of the firmware has to be read for it.
//!
//! Source: Virtual I/O Device Version 1.2, 4.1.4 (structures), 4.1.4.3 (common configuration).

use crate::{
    hal::{self, Selkie},
    pci::{self, Ports},
};
use core::ptr;
use selkie::{
    Error, Result, System,
    interrupt::{Interrupt, MSI_ADDRESS, msi_data},
};
use virtio_drivers::{
    PhysAddr, Result as VirtioResult,
    transport::{
        DeviceStatus, DeviceType, InterruptStatus, Transport,
        pci::{
            PciTransport, VIRTIO_PCI_CAP_COMMON_CFG,
            bus::{BarInfo, ConfigurationAccess, DeviceFunction, PCI_CAP_ID_VNDR, PciRoot},
            virtio_device_type,
        },
    },
};

const PCI_CAP_ID_MSIX: u8 = 0x11;
/// MSI-X: the device sends messages; all of them are held back.
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;
/// Bytes of an entry of the table of messages.
const MESSAGE: usize = 16;
/// In the common configuration: which message tells of changes; which queue the others speak of, and which message it sends.
const CONFIG_MSIX_VECTOR: usize = 16;
const QUEUE_SELECT: usize = 22;
const QUEUE_MSIX_VECTOR: usize = 26;
const COMMON_SIZE: usize = 56;

/// The feature of every device that keeps to the standard, and not to what was before it (6).
const VERSION_1: u64 = 1 << 32;

/// A device, and where it is.
pub(crate) struct Found {
    pub(crate) transport: Msix,
    function: DeviceFunction,
}

/// Finds the first device of this kind, and maps what it has. It sends no interrupt yet.
pub(crate) fn find(sys: &mut System, kind: DeviceType) -> Result<Found> {
    let function = pci::find(|info| virtio_device_type(info) == Some(kind)).ok_or(Error::NoDevice)?;
    hal::prepare(sys)?;
    pci::open(sys, function)?;
    let mut root = PciRoot::new(Ports);
    let inner = PciTransport::new::<Selkie, _>(&mut root, function).map_err(|_| Error::NoDevice)?;
    Ok(Found { transport: Msix { inner, common: None }, function })
}

impl Found {
    /// Has all queues that are set up from now on send an interrupt, under the vector `vector`.
    pub(crate) fn interrupt(&mut self, sys: &mut System, vector: u8) -> Result<Interrupt> {
        let mut root = PciRoot::new(Ports);
        let place = root.capabilities(self.function).find(|capability| capability.id == PCI_CAP_ID_MSIX);
        let control = place.ok_or(Error::NoDevice)?.offset;
        let table = Ports.read_word(self.function, control + 4);
        let table = structure(&mut root, self.function, (table & 7) as u8, table & !7, MESSAGE)?;
        let common = root.capabilities(self.function).find(|capability| {
            capability.id == PCI_CAP_ID_VNDR
                && (capability.private_header >> 8) as u8 == VIRTIO_PCI_CAP_COMMON_CFG
        });
        let common = common.ok_or(Error::NoDevice)?.offset;
        let (bar, offset) =
            (Ports.read_word(self.function, common + 4) as u8, Ports.read_word(self.function, common + 8));
        let common = structure(&mut root, self.function, bar, offset, COMMON_SIZE)?;
        let DeviceFunction { bus, device, function } = self.function;
        let interrupt = Interrupt::msi(sys, (bus, device, function), vector)?;
        let mut ports = Ports;
        let word = ports.read_word(self.function, control) | MSIX_ENABLE;
        ports.write_word(self.function, control, word | MSIX_MASK_ALL);
        let words = [MSI_ADDRESS as u32, (MSI_ADDRESS >> 32) as u32, msi_data(vector), 0];
        for (index, word) in words.into_iter().enumerate() {
            let at = ptr::with_exposed_provenance_mut::<u32>(table + 4 * index);
            // SAFETY: the table is mapped there and has at least one entry; nobody else uses it.
            unsafe { at.write_volatile(word) };
        }
        ports.write_word(self.function, control, word & !MSIX_MASK_ALL);
        self.transport.common = Some(common);
        Ok(interrupt)
    }
}

/// Resets the device and agrees on those of the features `wanted` that it has; its queues can be set up then.
pub(crate) fn negotiate(transport: &mut Msix, wanted: u64) -> Result<u64> {
    transport.set_status(DeviceStatus::empty());
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    let features = transport.read_device_features() & (wanted | VERSION_1);
    if features & VERSION_1 == 0 {
        return Err(Error::NoDevice);
    }
    transport.write_driver_features(features);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK);
    let agreed = transport.get_status().contains(DeviceStatus::FEATURES_OK);
    if agreed { Ok(features) } else { Err(Error::NoDevice) }
}

/// Where `size` bytes of a device's BAR, from `offset` on, are mapped.
fn structure(
    root: &mut PciRoot<Ports>,
    function: DeviceFunction,
    bar: u8,
    offset: u32,
    size: usize,
) -> Result<usize> {
    if bar > 5 {
        return Err(Error::NoDevice);
    }
    match root.bar_info(function, bar) {
        Ok(Some(BarInfo::Memory { address, .. })) => {
            pci::mapped(address + u64::from(offset), size).ok_or(Error::NoDevice)
        }
        _ => Err(Error::NoDevice),
    }
}

/// A device on PCI whose queues send the first message of its table. The crate's own transport has them send none.
pub(crate) struct Msix {
    inner: PciTransport,
    /// Where the common configuration is mapped, when there is an interrupt.
    common: Option<usize>,
}

impl Msix {
    /// Has it send the message when its configuration or its status changes, too. A reset ends that.
    pub(crate) fn interrupt_on_change(&self) {
        if let Some(common) = self.common {
            // SAFETY: the structure is mapped there, and this thread alone uses it now.
            unsafe {
                ptr::with_exposed_provenance_mut::<u16>(common + CONFIG_MSIX_VECTOR).write_volatile(0);
            }
        }
    }
}

impl Transport for Msix {
    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        if let Some(common) = self.common {
            let at = |offset| ptr::with_exposed_provenance_mut::<u16>(common + offset);
            // SAFETY: the structure is mapped there, and this thread alone uses it now.
            unsafe {
                at(QUEUE_SELECT).write_volatile(queue);
                at(QUEUE_MSIX_VECTOR).write_volatile(0);
            }
        }
        self.inner.queue_set(queue, size, descriptors, driver, device);
    }

    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.inner.write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    fn notify(&mut self, queue: u16) {
        self.inner.notify(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        self.inner.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.inner.set_status(status);
    }

    fn set_guest_page_size(&mut self, size: u32) {
        self.inner.set_guest_page_size(size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    fn queue_unset(&mut self, queue: u16) {
        self.inner.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.inner.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.inner.read_config_generation()
    }

    fn read_config_space<T: zerocopy::FromBytes + zerocopy::IntoBytes>(
        &self,
        offset: usize,
    ) -> VirtioResult<T> {
        self.inner.read_config_space(offset)
    }

    fn write_config_space<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> VirtioResult<()> {
        self.inner.write_config_space(offset, value)
    }
}
