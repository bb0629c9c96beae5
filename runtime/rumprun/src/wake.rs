//! What the rump kernel sleeps at: one notification, which the timer and all devices signal.

use crate::{
    bmk::{Thread, bmk_sched_wake},
    clock, console, disk, net,
    own::Own,
    stop, tls,
};
use core::{ptr, time::Duration};
use selkie::{
    Error, Result, System,
    alarm::Alarm,
    cap::{Capability, Notification, Slot},
    device::{self, Device, DeviceKind},
};

/// The function's side of a device with queues.
pub(crate) trait Port: Sync {
    /// Asks the host to look, where it waits for that.
    fn tell(&self);
    /// Says whether the function waits for the host's signal.
    fn set_waits(&self, waits: bool);
    /// The threads that there is something for; null pointers for none.
    fn woken(&self) -> [*mut Thread; 2];
}

/// Nobody is woken.
pub(crate) const NOBODY: [*mut Thread; 2] = [ptr::null_mut(); 2];

static PORTS: [&dyn Port; 3] = [&net::PORT, &disk::PORT, &stop::PORT];

struct Sleep {
    notification: Notification,
    alarm: Alarm,
}

static SLEEP: Own<Option<Sleep>> = Own::new(None);

/// The notification that all devices signal: the one in the list of devices, else a new one.
pub(crate) fn notification(sys: &mut System) -> Result<Notification> {
    let queues = |device: &Device| matches!(device.kind(), Some(DeviceKind::Net | DeviceKind::Block));
    match device::all().find(|device| queues(device) && device.notification != 0) {
        Some(device) => Ok(Notification::at(Slot(device.notification))),
        None => Ok(sys.memory.create::<Notification>()?.cap()),
    }
}

/// Takes the timer, which signals `notification` from now on.
pub(crate) fn init(sys: &mut System, notification: Notification) -> Result<()> {
    let alarm = Alarm::new(sys, notification).map_err(|_| Error::NoDevice)?;
    *SLEEP.get() = Some(Sleep { notification, alarm });
    Ok(())
}

/// Tells hosts what there is for them, and wakes the threads that there is something for. Returns whether there was
/// anything.
pub(crate) fn look() -> bool {
    let mut any = false;
    for port in PORTS {
        port.tell();
        for thread in port.woken() {
            if !thread.is_null() {
                any = true;
                // SAFETY: these threads last as long as the function.
                unsafe { bmk_sched_wake(thread) };
            }
        }
    }
    any
}

/// Sleeps until a device signals, or until the moment `until`, or earlier.
pub(crate) fn sleep(until: u64) {
    console::flush();
    PORTS.iter().for_each(|port| port.set_waits(true));
    // What came before the hosts knew that they have to signal.
    if !look() && until > clock::monotonic() {
        let mut sleep = SLEEP.get();
        if let Some(Sleep { notification, alarm }) = sleep.as_mut() {
            let until = Duration::from_nanos(until);
            let wait = || alarm.set(until).and_then(|()| alarm.woken(notification.wait()));
            let result = tls::runtime(wait);
            if let Err(error) = result {
                crate::fail(format_args!("the timer does not work: {error}"));
            }
        }
    }
    PORTS.iter().for_each(|port| port.set_waits(false));
}
