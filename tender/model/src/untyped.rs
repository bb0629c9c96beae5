//! Invocations of untypeds.

use crate::{
    Cap, Error, FrameSize, Host, Kernel, LookupFailure, Slot, Tcb,
    derivation::PAGING_BITS,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, Kind, Number, param::untyped_retype as retype};

/// What seL4 5 gives as the greatest size of an object, in bits, when it refuses a greater one.
const SIZE_LIMIT_TOLD: u64 = 61;

/// Objects that are to be made.
struct Order {
    kind: Kind,
    /// The size that was asked for, where the kind leaves it open.
    size_bits: u64,
    /// The first slot for their capabilities.
    slot: Slot,
    count: u64,
}

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of an untyped.
    pub(crate) fn invoke_untyped(&mut self, request: &Request) -> Result<Answer, Error> {
        if request.invocation != Some(Invocation::UntypedRetype) {
            return Err(Error::IllegalOperation);
        }
        let Cap::Untyped { address, bits, used, dirty, device } = request.cap else {
            return Err(Error::InvalidCapability(0));
        };
        let order = self.order(request)?;
        // Without a child all objects are gone, and the memory can be used again from its begin.
        let fresh = self.ensure_no_children(request.slot).is_ok();
        let start = if fresh { 0 } else { used };

        let object_bits = self.object_bits(order.kind, order.size_bits);
        let left = (1 << bits) - start;
        if object_bits >= 64 || left >> object_bits < order.count {
            return Err(Error::NotEnoughMemory(left));
        }
        let of_devices = matches!(order.kind, Kind::Page | Kind::LargePage | Kind::HugePage | Kind::Untyped);
        if device && !of_devices {
            return Err(Error::InvalidArgument(1));
        }

        // Memory of a device is never looked at, and never dirty.
        if fresh && dirty != 0 {
            self.memory.zero(address, dirty);
        }
        let first = start.next_multiple_of(1 << object_bits);
        let used = first + (order.count << object_bits);
        let dirty = match order.kind {
            _ if device => 0,
            Kind::Untyped if fresh => 0,
            Kind::Untyped => dirty,
            _ => used,
        };
        request.slot.set_cap(&self.memory, Cap::Untyped { address, bits, used, dirty, device });
        for number in 0..order.count {
            let object = address + first + (number << object_bits);
            let cap = self.make(order.kind, order.size_bits as u8, object, device);
            self.insert_new(cap, request.slot, Slot(order.slot.0 + number * Slot::SIZE));
        }
        Ok(Answer::Empty)
    }

    /// What is to be made, and where its capabilities go.
    fn order(&self, request: &Request) -> Result<Order, Error> {
        let argument = |number| request.whole_word(self, number);
        let words = self.table.message(Invocation::UntypedRetype).words;
        let root = request.extra[0].filter(|_| request.length >= words.into());
        let root = root.ok_or(Error::TruncatedMessage)?.cap(&self.memory);
        let (size_bits, depth) = (argument(retype::SIZE_BITS), argument(retype::NODE_DEPTH));
        let (offset, count) = (argument(retype::NODE_OFFSET), argument(retype::NUM_OBJECTS));

        let kind = self.table.kind(argument(retype::TYPE)).ok_or(Error::InvalidArgument(0))?;
        let limit = self.table.number(Number::MaxUntypedBits);
        if self.since(10, 0) {
            if size_bits >= 64 || self.object_bits(kind, size_bits) > limit {
                return Err(Error::Range { min: 0, max: limit });
            }
        } else if size_bits > limit {
            return Err(Error::Range { min: 0, max: SIZE_LIMIT_TOLD });
        }
        let least = match kind {
            Kind::CNode => 1,
            Kind::Untyped => self.table.number(Number::MinUntypedBits),
            Kind::SchedContext => self.table.number(Number::MinSchedContextBits),
            _ => 0,
        };
        if size_bits < least {
            return Err(Error::InvalidArgument(1));
        }
        let node = match depth {
            0 => root,
            _ => {
                let slot = self.lookup_slot(root, argument(retype::NODE_INDEX), depth, false)?;
                slot.cap(&self.memory)
            }
        };
        let Cap::CNode { address, radix, .. } = node else {
            let failure = LookupFailure::MissingCapability { bits_left: depth };
            return Err(Error::FailedLookup { source: false, failure });
        };
        let slots = 1 << radix;
        if offset >= slots {
            return Err(Error::Range { min: 0, max: slots - 1 });
        }
        let most = self.table.number(Number::ConfigRetypeFanOut);
        for max in [most, slots - offset] {
            if !(1..=max).contains(&count) {
                return Err(Error::Range { min: 1, max });
            }
        }
        let slot = |number| Slot(address + number * Slot::SIZE);
        (offset..offset + count).try_for_each(|number| self.ensure_empty(slot(number)))?;
        Ok(Order { kind, size_bits, slot: slot(offset), count })
    }

    /// The size of an object as a power of two.
    fn object_bits(&self, kind: Kind, size_bits: u64) -> u64 {
        match kind {
            Kind::Untyped | Kind::SchedContext => size_bits,
            Kind::Reply => self.table.number(Number::ReplyBits),
            Kind::HugePage => FrameSize::Huge.bits().into(),
            Kind::CNode => self.table.number(Number::SlotBits) + size_bits,
            Kind::Tcb => self.table.number(Number::TcbBits),
            Kind::Endpoint => self.table.number(Number::EndpointBits),
            Kind::Notification => self.table.number(Number::NotificationBits),
            Kind::Page => FrameSize::Small.bits().into(),
            Kind::LargePage => FrameSize::Large.bits().into(),
            Kind::PageTable | Kind::PageDirectory | Kind::Pdpt | Kind::Pml4 => PAGING_BITS.into(),
        }
    }

    /// Makes an object in zeroed memory (or, of a device, in memory that is not looked at).
    fn make(&self, kind: Kind, bits: u8, address: u64, device: bool) -> Cap {
        let rights = crate::Rights::ALL;
        let frame = |size| Cap::Frame { address, size, write: true, read: true, device, mapped: None };
        match kind {
            Kind::Untyped => Cap::Untyped { address, bits, used: 0, dirty: 0, device },
            Kind::Tcb => {
                self.init_thread(Tcb(address));
                Cap::Thread { tcb: address }
            }
            Kind::Endpoint => Cap::Endpoint { address, badge: 0, rights },
            Kind::Notification => Cap::Notification { address, badge: 0, rights },
            Kind::CNode => Cap::CNode { address, radix: bits, guard: 0, guard_bits: 0 },
            Kind::SchedContext => Cap::SchedContext { address, bits },
            Kind::Reply => Cap::ReplyObject { address, grant: true },
            Kind::HugePage => frame(FrameSize::Huge),
            Kind::Page => frame(FrameSize::Small),
            Kind::LargePage => frame(FrameSize::Large),
            Kind::PageTable => Cap::PageTable { address, mapped: None },
            Kind::PageDirectory => Cap::PageDirectory { address, mapped: None },
            Kind::Pdpt => Cap::Pdpt { address, mapped: None },
            Kind::Pml4 => Cap::Pml4 { address, asid: 0 },
        }
    }
}
