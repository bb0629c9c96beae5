//! What the function sleeps at, and the devices that it looks at when it wakes: one notification for all of them.

use crate::error::{Error, Result};
use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering},
};
use selkie::{
    System,
    cap::{Capability, Notification, Slot},
    device::{self, Device, DeviceKind},
    thread,
};

/// The function's side of a device with queues.
pub(crate) trait Port {
    /// Asks the host to look, where it waits for that.
    fn tell(&self);
    /// Says whether the function waits for the host's signal.
    fn set_waits(&self, waits: bool);
    /// Wakes the tasks that there is something for. Returns whether there was.
    fn wake(&self) -> bool;
}

/// The most devices.
const MOST: usize = 2;

/// The devices of the one thread that uses them.
struct Ports(UnsafeCell<[Option<&'static dyn Port>; MOST]>);

// SAFETY: `add` and `ports` are for the thread with the number in `THREAD`.
unsafe impl Sync for Ports {}

static PORTS: Ports = Ports(UnsafeCell::new([None; MOST]));
/// The number of the thread that uses the devices, plus 1.
static THREAD: AtomicU64 = AtomicU64::new(0);
/// The slot of the notification.
static WAKE: AtomicU64 = AtomicU64::new(0);

/// The notification that all devices of the function signal: the one in the list of devices, else one that drivers are
/// told of. From the first call on, the calling thread is the one that uses devices.
pub(crate) fn notification(sys: &mut System) -> Result<Notification> {
    let own = thread::current().number() + 1;
    let thread =
        THREAD.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|it| it);
    if thread != 0 && thread != own {
        return Err(Error::InUse);
    }
    let mut slot = WAKE.load(Ordering::Relaxed);
    if slot == 0 {
        let queues = |device: &Device| matches!(device.kind(), Some(DeviceKind::Net | DeviceKind::Block));
        let listed = device::all().find(|device| queues(device) && device.notification != 0);
        slot = match listed {
            Some(device) => device.notification,
            None => sys.memory.create::<Notification>()?.cap().slot().0,
        };
        WAKE.store(slot, Ordering::Relaxed);
    }
    Ok(Notification::at(Slot(slot)))
}

/// Whether a device signals what the function sleeps at: in a list, all devices with queues have one notification.
pub(crate) fn signals(device: &Device) -> bool {
    device.notification == WAKE.load(Ordering::Relaxed)
}

/// Whether this is the thread that uses the devices.
pub(crate) fn is_own_thread() -> bool {
    thread::current().number() + 1 == THREAD.load(Ordering::Relaxed)
}

/// Signals the thread that uses the devices.
pub(crate) fn signal() {
    Notification::at(Slot(WAKE.load(Ordering::Relaxed))).signal();
}

/// Adds a device. [`notification`] was called before.
pub(crate) fn add(port: &'static dyn Port) -> Result<()> {
    if !is_own_thread() {
        return Err(Error::InUse);
    }
    // SAFETY: this is the thread that uses them, and no other reference lasts longer than a call.
    let ports = unsafe { &mut *PORTS.0.get() };
    *ports.iter_mut().find(|place| place.is_none()).ok_or(Error::InUse)? = Some(port);
    Ok(())
}

/// The devices.
pub(crate) fn ports() -> impl Iterator<Item = &'static dyn Port> {
    let ports = if is_own_thread() {
        // SAFETY: this is the thread that uses them; what is there is copied.
        unsafe { *PORTS.0.get() }
    } else {
        [None; MOST]
    };
    ports.into_iter().flatten()
}
