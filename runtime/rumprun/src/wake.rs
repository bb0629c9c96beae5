//! What the rump kernel sleeps at: one notification, which the timer and all devices signal.

use crate::{
    bmk::{Thread, bmk_sched_wake},
    clock, console, disk, net,
    own::Own,
    stop, tls,
};
use core::ptr;
use selkie::{
    Error, Result, System,
    cap::{Capability, Notification, Rights, Slot},
    device::{self, Device, DeviceKind},
    pit,
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
    let alarm = Alarm::new(sys, notification)?;
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
            let wait = || alarm.set(until).and_then(|()| alarm.woken(notification.wait()));
            let result = tls::runtime(wait);
            if let Err(error) = result {
                crate::fail(format_args!("the timer does not work: {error}"));
            }
        }
    }
    PORTS.iter().for_each(|port| port.set_waits(false));
}

/// The badge of the timer's signals.
const BADGE: u64 = 1 << 62;
/// The most counts of the timer: it wakes every 55 ms while somebody waits for a moment further away.
const MOST: u64 = 65_536;
const SECOND: u64 = 1_000_000_000;

/// What wakes the function at a moment, in nanoseconds.
struct Alarm {
    timer: pit::Timer,
    /// Whether its signals can be told from others.
    badged: bool,
    set: Option<u64>,
}

impl Alarm {
    fn new(sys: &mut System, notification: Notification) -> Result<Self> {
        let timer = pit::Timer::new(sys).map_err(|_| Error::NoDevice)?;
        let slot = sys.memory.slot()?;
        // A capability that has a badge already gets no other one.
        let badged = slot.place().mint(notification.place(), Rights::ALL, BADGE).is_ok();
        let signalled = if badged { Notification::at(slot) } else { notification };
        timer.interrupt.handler().set_notification(signalled)?;
        Ok(Self { timer, badged, set: None })
    }

    /// Has it signal at `moment`, or earlier. It is left alone where it does so already.
    fn set(&mut self, moment: u64) -> Result<()> {
        if self.set.is_some_and(|set| set <= moment) {
            return Ok(());
        }
        let now = clock::monotonic();
        let counts = moment.saturating_sub(now).min(SECOND) * u64::from(pit::FREQUENCY) / SECOND;
        let counts = counts.clamp(1, MOST);
        self.timer.one_shot(counts as u32)?;
        self.set = Some(now + counts * SECOND / u64::from(pit::FREQUENCY));
        Ok(())
    }

    /// Takes the signals that have woken the function. A timer that was set anew may signal twice, the second time
    /// after nobody has set it: without an acknowledgement it would be the last.
    fn woken(&mut self, badge: u64) -> Result<()> {
        if !self.badged || badge & BADGE != 0 {
            self.set = None;
            self.timer.interrupt.ack()?;
        }
        Ok(())
    }
}
