//! What holds between any two system calls, checked from outside of the functions that keep it.
//!
//! Only for tests: the checks allocate, and look at all of the memory.

use crate::{Access, Cap, Host, Kernel, Mdb, Memory, Slot, Tcb, ThreadState, notification, queue::WaitQueue};
use selkie_tender_table::Number;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    format,
    string::String,
    vec::Vec,
};

/// Fails with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

mod time;

/// A check that tells what does not hold.
type Check = Result<(), String>;

/// Physical memory: the first address and the size as a power of two.
type Region = (u64, u64);

/// What the root task was given at boot. All else must come from it.
#[derive(Debug)]
pub struct Invariants {
    /// The untypeds, and whether each is of a device.
    untypeds: Vec<(Region, bool)>,
    /// The other objects.
    objects: BTreeSet<Region>,
}

/// All capabilities that there are.
struct Caps {
    slots: HashMap<u64, (Cap, Mdb)>,
}

impl Invariants {
    /// Notes what a kernel gives at boot.
    pub fn new<H: Host>(kernel: &Kernel<'_, H>) -> Result<Self, String> {
        let (mut untypeds, mut objects) = (Vec::new(), BTreeSet::new());
        for (cap, _) in Caps::find(kernel)?.slots.values() {
            match (cap, cap.object(kernel.table)) {
                (Cap::Untyped { device, .. }, Some(region)) => untypeds.push((region, *device)),
                (_, Some(region)) => {
                    objects.insert(region);
                }
                (_, None) => {}
            }
        }
        Ok(Self { untypeds, objects })
    }

    /// Checks a kernel that has just been left.
    pub fn check<H: Host>(&self, kernel: &Kernel<'_, H>) -> Check {
        let caps = Caps::find(kernel)?;
        caps.check_links()?;
        self.check_origins(kernel, &caps)?;
        caps.check_overlaps(kernel)?;
        caps.check_untypeds(kernel)?;
        let threads = caps.threads(kernel);
        caps.check_replies(&kernel.memory)?;
        caps.check_waiting(&kernel.memory, &threads)?;
        check_bindings(&kernel.memory, &caps, &threads)?;
        if kernel.is_mcs() {
            time::check(kernel, &caps, &threads)?;
        }
        check_ready(kernel, &threads)
    }

    /// Each capability to memory or to an object was given at boot, or is to what came out of an untyped
    /// that was.
    fn check_origins<H: Host>(&self, kernel: &Kernel<'_, H>, caps: &Caps) -> Check {
        for (slot, (cap, _)) in &caps.slots {
            let Some(region) = cap.object(kernel.table) else { continue };
            let device = matches!(cap, Cap::Untyped { device: true, .. } | Cap::Frame { device: true, .. });
            let from_untyped = self
                .untypeds
                .iter()
                .any(|(origin, of_device)| contains(*origin, region) && *of_device == device);
            let given = !matches!(cap, Cap::Untyped { .. }) && self.objects.contains(&region);
            ensure!(from_untyped || given, "{cap:x?} in {slot:#x} comes from nowhere");
            let aligned = region.0.is_multiple_of(1 << region.1);
            ensure!(given || aligned, "{cap:x?} in {slot:#x} is not aligned");
        }
        Ok(())
    }
}

fn contains((start, bits): Region, (inner, inner_bits): Region) -> bool {
    start <= inner && inner + (1 << inner_bits) <= start + (1 << bits)
}

impl Caps {
    /// All capabilities that lead to each other: through slots of objects, and along the derivation list.
    fn find<H: Host>(kernel: &Kernel<'_, H>) -> Result<Self, String> {
        let memory = &kernel.memory;
        let mut slots = HashMap::new();
        let mut seen = BTreeSet::new();
        let mut left = Vec::new();
        let irqs = (0..=u8::MAX).map(|irq| kernel.machine.interrupts.slot(irq).0);
        left.extend(irqs);
        left.extend(object_slots(kernel.root_cnode()));
        left.extend(
            object_slots(Cap::Thread { tcb: kernel.current().0 }).filter(|slot| *slot >= memory.base()),
        );
        while let Some(address) = left.pop() {
            if !seen.insert(address) {
                continue;
            }
            ensure!(memory.contains(address, Slot::SIZE), "{address:#x} is no slot");
            let (cap, mdb) = (Slot(address).cap(memory), Slot(address).mdb(memory));
            if cap == Cap::Null {
                ensure!(mdb == Mdb::default(), "the empty slot {address:#x} is in a list: {mdb:x?}");
                continue;
            }
            left.extend([mdb.prev, mdb.next].into_iter().filter(|slot| *slot != 0));
            left.extend(object_slots(cap));
            slots.insert(address, (cap, mdb));
        }
        Ok(Self { slots })
    }

    /// Neighbours in the derivation list know each other, and each list has an end.
    fn check_links(&self) -> Check {
        for (slot, (cap, mdb)) in &self.slots {
            for (neighbour, back) in [(mdb.next, true), (mdb.prev, false)] {
                if neighbour == 0 {
                    continue;
                }
                let found =
                    self.slots.get(&neighbour).map(|(_, other)| if back { other.prev } else { other.next });
                ensure!(found == Some(*slot), "{cap:x?} in {slot:#x}: {neighbour:#x} does not lead back");
            }
        }
        let heads = self.slots.iter().filter(|(_, (_, mdb))| mdb.prev == 0).map(|(slot, _)| *slot);
        let reached = heads.map(|head| self.from(head).count()).sum::<usize>();
        ensure!(reached == self.slots.len(), "the derivation list has a ring");
        Ok(())
    }

    /// The slots of the derivation list from `slot` on.
    fn from(&self, slot: u64) -> impl Iterator<Item = u64> {
        let next = |slot: &u64| self.slots.get(slot).map(|(_, mdb)| mdb.next).filter(|next| *next != 0);
        std::iter::successors(Some(slot), next)
    }

    /// No two objects share memory, but for untypeds and what is in them, and several capabilities to the
    /// same object.
    fn check_overlaps<H: Host>(&self, kernel: &Kernel<'_, H>) -> Check {
        let mut objects: BTreeMap<Region, Cap> = BTreeMap::new();
        let mut untypeds = BTreeSet::new();
        for (cap, _) in self.slots.values() {
            match (cap, cap.object(kernel.table)) {
                (_, None) => {}
                (Cap::Untyped { .. }, Some(region)) => {
                    untypeds.insert(region);
                }
                (_, Some(region)) => {
                    let other = *objects.entry(region).or_insert(*cap);
                    ensure!(kind(other) == kind(*cap), "{cap:x?} is also {other:x?}");
                }
            }
        }
        let mut end = 0;
        for ((start, bits), cap) in &objects {
            ensure!(*start >= end, "{cap:x?} overlaps what ends at {end:#x}");
            end = start + (1 << bits);
        }
        for untyped in untypeds {
            let below = objects.range(..(untyped.0 + (1 << untyped.1), 0)).next_back();
            let Some((object, cap)) = below else { continue };
            let apart = object.0 + (1 << object.1) <= untyped.0 || contains(untyped, *object);
            ensure!(apart, "the untyped {untyped:x?} is inside {cap:x?}");
        }
        Ok(())
    }

    /// What lies in an untyped was derived from it and lies below its watermark; what was never used, by it or
    /// by the untypeds in it, is zero.
    fn check_untypeds<H: Host>(&self, kernel: &Kernel<'_, H>) -> Check {
        for (slot, (cap, _)) in &self.slots {
            let Cap::Untyped { address, bits, used, dirty, device } = *cap else { continue };
            let region = (address, u64::from(bits));
            ensure!(dirty <= used && used <= 1 << bits, "{cap:x?} has used more than it has");
            let children: BTreeSet<_> = self
                .from(*slot)
                .skip(1)
                .take_while(|child| kernel.is_parent(Slot(*slot), Slot(*child)))
                .collect();
            let mut sum = 0;
            let (mut counted, mut inner_untypeds) = (BTreeSet::new(), BTreeSet::new());
            for (other, (inside, _)) in &self.slots {
                let Some(inner) = inside.object(kernel.table) else { continue };
                if other == slot || !contains(region, inner) {
                    continue;
                }
                if matches!(inside, Cap::Untyped { .. }) && children.contains(other) {
                    inner_untypeds.insert(inner);
                }
                if inner == region && matches!(inside, Cap::Untyped { .. }) {
                    let related = children.contains(other) || self.from(*other).any(|child| child == *slot);
                    ensure!(related, "{cap:x?} is twice there, in {slot:#x} and {other:#x}");
                    continue;
                }
                ensure!(children.contains(other), "{inside:x?} in {other:#x} is no child of {cap:x?}");
                let end = inner.0 + (1 << inner.1) - address;
                ensure!(end <= used, "{inside:x?} is above the watermark of {cap:x?}");
                if !matches!(inside, Cap::Untyped { .. }) && counted.insert(inner) {
                    sum += 1u64 << inner.1;
                }
            }
            ensure!(sum <= used, "the objects in {cap:x?} have {sum:#x} bytes");
            if !device {
                let inner = |address| inner_untypeds.iter().any(|region| contains(*region, (address, 3)));
                let mut clean = (address + dirty..address + (1 << bits)).step_by(8);
                let word = clean.find(|word| kernel.memory.get(*word) != 0 && !inner(*word));
                ensure!(word.is_none(), "{word:x?} in {cap:x?} is not 0, as it should be");
            }
        }
        Ok(())
    }

    /// Who there is a capability to, a zombie among them, and whoever is current.
    fn threads<H: Host>(&self, kernel: &Kernel<'_, H>) -> BTreeSet<Tcb> {
        let thread = |(cap, _): &(Cap, Mdb)| match *cap {
            Cap::Thread { tcb } | Cap::Zombie { address: tcb, radix: None, .. } => Some(Tcb(tcb)),
            _ => None,
        };
        let mut threads: BTreeSet<_> = self.slots.values().filter_map(thread).collect();
        threads.extend(Some(kernel.current()).filter(|thread| thread.0 != 0));
        threads
    }

    /// A reply capability comes from the slot for it in the TCB of who waits for the answer.
    fn check_replies(&self, memory: &Memory<'_>) -> Check {
        for (slot, (cap, mdb)) in &self.slots {
            let Cap::Reply { tcb, master, .. } = *cap else { continue };
            let own = Tcb(tcb).reply().0;
            if master {
                ensure!(*slot == own && mdb.prev == 0, "the master {cap:x?} is in {slot:#x}");
            } else {
                let state = Tcb(tcb).state(memory);
                ensure!(mdb.prev == own, "{cap:x?} in {slot:#x} does not come from its thread");
                ensure!(state == ThreadState::BlockedOnReply, "{cap:x?}: nobody waits, but is {state:?}");
            }
        }
        Ok(())
    }

    /// Each thread that waits for an object is in its queue, and nobody else is.
    fn check_waiting(&self, memory: &Memory<'_>, threads: &BTreeSet<Tcb>) -> Check {
        let mut waiting = BTreeMap::new();
        let mut objects = BTreeSet::new();
        for (cap, _) in self.slots.values() {
            let (object, queue) = match *cap {
                Cap::Endpoint { address, .. } => (address, WaitQueue(address)),
                Cap::Notification { address, .. } => (address, WaitQueue(address + notification::QUEUE)),
                _ => continue,
            };
            if !objects.insert(object) {
                continue;
            }
            let state = queue.state(memory);
            let mut next = queue.first(memory).map_or(0, |thread| thread.0);
            let mut before = 0;
            while next != 0 {
                let thread = Tcb(next);
                ensure!(threads.contains(&thread), "{next:#x} waits at {object:#x} and is no thread");
                ensure!(waiting.insert(thread, object).is_none(), "{next:#x} waits twice");
                ensure!(thread.wait_prev(memory) == before, "{next:#x} waits behind somebody else");
                let expected = match (thread.state(memory), cap) {
                    (ThreadState::BlockedOnSend, Cap::Endpoint { .. }) => 1,
                    (ThreadState::BlockedOnReceive, Cap::Endpoint { .. }) => 2,
                    (ThreadState::BlockedOnNotification, Cap::Notification { .. }) => 1,
                    _ => 0,
                };
                ensure!(state == expected, "{next:#x} waits at {object:#x}, which is for {state}");
                before = next;
                next = thread.wait_next(memory);
            }
            let idle = before == 0;
            let busy = matches!((cap, state), (Cap::Endpoint { .. }, 1 | 2) | (Cap::Notification { .. }, 1));
            ensure!(idle != busy, "{object:#x} is for {state}, and its last thread is {before:#x}");
            let last = memory.get(queue.0 + 8) & !3;
            ensure!(last == before, "{object:#x} ends with {before:#x}, not {last:#x}");
        }
        for thread in threads {
            let blocked = matches!(
                thread.state(memory),
                ThreadState::BlockedOnSend
                    | ThreadState::BlockedOnReceive
                    | ThreadState::BlockedOnNotification
            );
            let expected = blocked.then(|| thread.blocked_on(memory));
            let found = waiting.get(thread).copied();
            ensure!(found == expected, "{thread:x?} waits at {found:x?}, not {expected:x?}");
        }
        Ok(())
    }
}

/// What the host shows is what the paging structures say. `mapped` is what was mapped there: by virtual
/// address the physical one, the size and the access.
pub fn check_pages<H: Host>(kernel: &Kernel<'_, H>, mapped: &BTreeMap<u64, (u64, u64, Access)>) -> Check {
    let expected = kernel.vspace.pages(&kernel.memory);
    for (address, page) in &expected {
        let found = mapped.get(address);
        ensure!(found == Some(page), "at {address:#x} is {found:x?}, not {page:x?}");
    }
    let more = mapped.keys().find(|address| !expected.contains_key(address));
    ensure!(more.is_none(), "{more:x?} is mapped at the host only");
    Ok(())
}

/// The slots of the object that a capability is to.
fn object_slots(cap: Cap) -> impl Iterator<Item = u64> {
    let (address, count) = match cap {
        Cap::CNode { address, radix, .. } | Cap::Zombie { address, radix: Some(radix), .. } => {
            (address, 1 << radix)
        }
        Cap::Thread { tcb: address } | Cap::Zombie { address, radix: None, .. } => (address, Tcb::SLOTS),
        _ => (0, 0),
    };
    (0..count).map(move |number| address + number * Slot::SIZE)
}

/// What kind of object a capability is to; zombies are what they were.
fn kind(cap: Cap) -> &'static str {
    match cap {
        Cap::Endpoint { .. } => "endpoint",
        Cap::Notification { .. } => "notification",
        Cap::CNode { .. } | Cap::Zombie { radix: Some(_), .. } => "CNode",
        Cap::Thread { .. } | Cap::Zombie { radix: None, .. } => "thread",
        Cap::AsidPool { .. } => "ASID pool",
        Cap::Frame { .. } => "page",
        Cap::PageTable { .. } => "page table",
        Cap::PageDirectory { .. } => "page directory",
        Cap::Pdpt { .. } => "page-directory pointer table",
        Cap::Pml4 { .. } => "address space",
        Cap::ReplyObject { .. } => "reply object",
        Cap::SchedContext { .. } => "scheduling context",
        _ => "none",
    }
}

/// A thread and the notification that is bound to it know each other.
fn check_bindings(memory: &Memory<'_>, caps: &Caps, threads: &BTreeSet<Tcb>) -> Check {
    let notifications: BTreeSet<_> = caps
        .slots
        .values()
        .filter_map(|(cap, _)| match cap {
            Cap::Notification { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    for thread in threads {
        let bound = thread.bound_notification(memory);
        if bound != 0 {
            ensure!(notifications.contains(&bound), "{thread:x?} is bound to {bound:#x}, which is none");
            let back = memory.get(bound);
            ensure!(back == thread.0, "{thread:x?} is bound to {bound:#x}, and that to {back:#x}");
        }
    }
    for notification in notifications {
        let bound = Tcb(memory.get(notification));
        if bound.0 != 0 {
            ensure!(threads.contains(&bound), "{notification:#x} is bound to {bound:x?}, who is none");
            let back = bound.bound_notification(memory);
            ensure!(back == notification, "{notification:#x} is bound to {bound:x?}, and that to {back:#x}");
        }
    }
    Ok(())
}

/// The threads that can run are the current one and those in the ready queues, each in its own.
fn check_ready<H: Host>(kernel: &Kernel<'_, H>, threads: &BTreeSet<Tcb>) -> Check {
    let (memory, current) = (&kernel.memory, kernel.current());
    ensure!(current.0 == 0 || kernel.is_schedulable(current), "{current:x?} is current and cannot run");
    let mut queued = BTreeSet::new();
    for priority in 0..kernel.table.number(Number::ConfigPriorities) {
        let first = kernel.first_of(priority);
        ensure!(
            kernel.schedule.is_ready(priority) == (first.0 != 0),
            "the bit of priority {priority} is wrong"
        );
        let mut thread = first;
        while thread.0 != 0 {
            ensure!(threads.contains(&thread), "{thread:x?} is ready and is no thread");
            ensure!(queued.insert(thread), "{thread:x?} is ready twice");
            let own = thread.priority(memory);
            ensure!(own == priority, "{thread:x?} of priority {own} is ready at {priority}");
            let next = Tcb(thread.ready_next(memory));
            ensure!(next.ready_prev(memory) == thread.0, "{next:x?} does not lead back to {thread:x?}");
            thread = if next == first { Tcb(0) } else { next };
        }
    }
    for thread in threads {
        let runs = kernel.is_schedulable(*thread) && thread.domain(memory) == 0;
        let expected = runs && *thread != current;
        let state = thread.state(memory);
        ensure!(queued.contains(thread) == expected, "{thread:x?} is {state:?}, queued: {}", !expected);
        ensure!((thread.queued(memory) != 0) == expected, "{thread:x?} does not know whether it is queued");
    }
    Ok(())
}
