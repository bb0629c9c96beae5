//! What every kernel can do, under one name each.
//!
//! Releases arrange some things differently: where priorities are set, how a mapping is changed, what a thread
//! receives with. Here, and in [`ipc_buffer`](crate::ipc_buffer), is all code that depends on it; the macro
//! [`when`](crate::when) chooses. What a kernel does not have at all is refused as the kernel refuses an invocation
//! that it does not know: with [`error::ILLEGAL_OPERATION`].

use crate::{CPtr, CapRights, MessageInfo, Word, error};

/// The kernel schedules by scheduling contexts, and a thread receives calls with a reply object (MCS).
pub const MCS: bool = when!(mcs { true } else { false });

/// Numbers and sizes of objects that not every kernel has.
pub mod object {
    use crate::Word;

    /// A scheduling context; no object without MCS.
    pub const SCHED_CONTEXT: Word = when!(mcs { crate::object::SCHED_CONTEXT } else { Word::MAX });
    /// The least size of a scheduling context in bits.
    pub const SCHED_CONTEXT_BITS: Word = when!(mcs { crate::bits::MIN_SCHED_CONTEXT } else { 7 });
    /// A reply object; no object without MCS.
    pub const REPLY: Word = when!(mcs { crate::object::REPLY } else { Word::MAX });
    /// The size of a reply object in bits.
    pub const REPLY_BITS: Word = when!(mcs { crate::bits::REPLY } else { 5 });
}

/// What a thread is given before it runs.
#[derive(Debug, Clone, Copy)]
pub struct ThreadSetup {
    /// The endpoint that its faults are sent to. Without MCS the thread looks it up in its own CSpace at each fault;
    /// with MCS the caller's capability is copied at once.
    pub fault_endpoint: CPtr,
    /// The root of its CSpace.
    pub cspace: CPtr,
    /// A guard for that root, or 0.
    pub guard: Word,
    /// The root of its VSpace.
    pub vspace: CPtr,
    /// Where its IPC buffer is mapped; 0 without one.
    pub buffer: Word,
    /// The page of its IPC buffer.
    pub frame: CPtr,
    /// The thread whose highest priority bounds the next two: the caller's own. Not looked at where the kernel takes
    /// the caller for it.
    pub authority: CPtr,
    /// Its priority.
    pub priority: u8,
    /// The highest priority that it may give.
    pub max_priority: u8,
}

/// Sets all that a thread needs. With MCS it has no scheduling context afterwards.
///
/// # Safety
/// See the crate's documentation.
pub unsafe fn configure_thread(tcb: CPtr, setup: &ThreadSetup) -> Word {
    let ThreadSetup { fault_endpoint, cspace, guard, vspace, buffer, frame, .. } = *setup;
    let (max, priority) = (Word::from(setup.max_priority), Word::from(setup.priority));
    // SAFETY: the caller's.
    unsafe {
        when!(mcs {{
            let spaces = crate::tcb_configure(tcb, cspace, guard, vspace, 0, buffer, frame);
            if spaces != error::NO_ERROR {
                return spaces;
            }
            crate::tcb_set_sched_params(tcb, setup.authority, max, priority, 0, fault_endpoint)
        }} else {
            when!(priority_authority {{
                let spaces =
                    crate::tcb_configure(tcb, fault_endpoint, cspace, guard, vspace, 0, buffer, frame);
                if spaces != error::NO_ERROR {
                    return spaces;
                }
                crate::tcb_set_sched_params(tcb, setup.authority, max, priority)
            }} else {{
                let priorities = crate::PrioProps::new(max, priority);
                crate::tcb_configure(tcb, fault_endpoint, priorities, cspace, guard, vspace, 0, buffer, frame)
            }})
        })
    }
}

/// Sets a thread's priority, at most the highest one of `authority`: the caller's own thread.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn set_priority(tcb: CPtr, authority: CPtr, priority: u8) -> Word {
    // SAFETY: the caller's.
    unsafe {
        when!(priority_authority {
            crate::tcb_set_priority(tcb, authority, priority.into())
        } else {{
            let _ = authority;
            crate::tcb_set_priority(tcb, priority)
        }})
    }
}

/// Sets the highest priority that a thread may give, at most that of `authority`: the caller's own thread.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn set_max_priority(tcb: CPtr, authority: CPtr, priority: u8) -> Word {
    // SAFETY: the caller's.
    unsafe {
        when!(priority_authority {
            crate::tcb_set_mc_priority(tcb, authority, priority.into())
        } else {{
            let _ = authority;
            crate::tcb_set_mc_priority(tcb, priority)
        }})
    }
}

/// Changes rights and attributes of a page that is mapped at `address`.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn page_remap(page: CPtr, root: CPtr, address: Word, rights: CapRights, attributes: Word) -> Word {
    // SAFETY: the caller's.
    unsafe {
        when!(page_remap {{
            let _ = address;
            crate::page_remap(page, root, rights, attributes)
        }} else {
            crate::page_map(page, root, address, rights, attributes)
        })
    }
}

/// Whether a page was read and written, by the page directory above it.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn status_bits(directory: CPtr, address: Word) -> (Word, Word, Word) {
    when!(status_bits {
        // SAFETY: the caller's.
        unsafe { crate::page_directory_get_status_bits(directory, address) }
    } else {{
        let _ = (directory, address);
        (error::ILLEGAL_OPERATION, 0, 0)
    }})
}

/// Makes a capability for the IO ports from `first` to `last` by the control in `control`, in the slot that
/// `index` and `depth` name from the CNode `root` on.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn issue_ports(control: CPtr, first: u16, last: u16, root: CPtr, index: CPtr, depth: u8) -> Word {
    when!(issued_ports {
        // SAFETY: the caller's.
        unsafe { crate::io_port_control_issue(control, first.into(), last.into(), root, index, depth) }
    } else {{
        let _ = (control, first, last, root, index, depth);
        error::ILLEGAL_OPERATION
    }})
}

/// Waits for a message. The way back to a caller goes to the reply object `reply`; without MCS the kernel keeps it
/// in the thread's TCB.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn recv(source: CPtr, reply: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller's.
    unsafe {
        when!(mcs { crate::recv(source, reply, mrs) } else {{
            let _ = reply;
            crate::recv(source, mrs)
        }})
    }
}

/// The same without waiting.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn nb_recv(source: CPtr, reply: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller's.
    unsafe {
        when!(mcs { crate::nb_recv(source, reply, mrs) } else {{
            let _ = reply;
            crate::nb_recv(source, mrs)
        }})
    }
}

/// Waits for a signal, or for a message that no reply is sent to.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn wait(source: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller's.
    unsafe { when!(mcs { crate::wait(source, mrs) } else { crate::recv(source, mrs) }) }
}

/// The same without waiting.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn nb_wait(source: CPtr, mrs: &mut [Word; 4]) -> (MessageInfo, Word) {
    // SAFETY: the caller's.
    unsafe { when!(mcs { crate::nb_wait(source, mrs) } else { crate::nb_recv(source, mrs) }) }
}

/// Replies to the caller that `reply` leads to (without MCS: to the last one), then waits as [`recv`] does.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn reply_recv(
    source: CPtr,
    reply: CPtr,
    info: MessageInfo,
    mrs: &mut [Word; 4],
) -> (MessageInfo, Word) {
    // SAFETY: the caller's.
    unsafe {
        when!(mcs { crate::reply_recv(source, reply, info, mrs) } else {{
            let _ = reply;
            crate::reply_recv(source, info, mrs)
        }})
    }
}

/// Replies to the caller that `reply` leads to; without MCS to the last one that was received.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn reply(reply: CPtr, info: MessageInfo, mrs: &[Word; 4]) {
    // SAFETY: the caller's.
    unsafe {
        when!(mcs { crate::send(reply, info, mrs) } else {{
            let _ = reply;
            crate::reply(info, mrs)
        }})
    }
}

/// Moves the way back to the last caller to an empty slot. Refused with MCS, where it is in a reply object already.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn save_caller(root: CPtr, index: CPtr, depth: u8) -> Word {
    when!(mcs {{
        let _ = (root, index, depth);
        error::ILLEGAL_OPERATION
    }} else {
        // SAFETY: the caller's.
        unsafe { crate::cnode_save_caller(root, index, depth) }
    })
}

/// Sets how much of each period a scheduling context may run, both in microseconds. What runs out of it is known
/// by `badge`. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn configure_sched_context(
    control: CPtr,
    sched_context: CPtr,
    budget: u64,
    period: u64,
    refills: Word,
    badge: Word,
) -> Word {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe {
            crate::sched_control_configure_flags(control, sched_context, budget, period, refills, badge, 0)
        }
    } else {{
        let _ = (control, sched_context, budget, period, refills, badge);
        error::ILLEGAL_OPERATION
    }})
}

/// Gives a scheduling context to a thread, or to a notification whose receiver then runs on it. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn bind_sched_context(sched_context: CPtr, object: CPtr) -> Word {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::sched_context_bind(sched_context, object) }
    } else {{
        let _ = (sched_context, object);
        error::ILLEGAL_OPERATION
    }})
}

/// Takes a scheduling context from whatever it is bound to. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn unbind_sched_context(sched_context: CPtr) -> Word {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::sched_context_unbind(sched_context) }
    } else {{
        let _ = sched_context;
        error::ILLEGAL_OPERATION
    }})
}

/// Takes a scheduling context from `object`. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn unbind_sched_context_from(sched_context: CPtr, object: CPtr) -> Word {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::sched_context_unbind_object(sched_context, object) }
    } else {{
        let _ = (sched_context, object);
        error::ILLEGAL_OPERATION
    }})
}

/// The microseconds that were run on a scheduling context since the last question. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn sched_context_consumed(sched_context: CPtr) -> (Word, u64) {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::sched_context_consumed(sched_context) }
    } else {{
        let _ = sched_context;
        (error::ILLEGAL_OPERATION, 0)
    }})
}

/// Lets the thread of a scheduling context run instead of the caller, and returns the microseconds that were run on
/// it. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn yield_to(sched_context: CPtr) -> (Word, u64) {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::sched_context_yield_to(sched_context) }
    } else {{
        let _ = sched_context;
        (error::ILLEGAL_OPERATION, 0)
    }})
}

/// Sets the endpoint that hears when a thread has used up its budget. Refused without MCS.
///
/// # Safety
/// See the crate's documentation.
#[inline]
pub unsafe fn set_timeout_endpoint(tcb: CPtr, endpoint: CPtr) -> Word {
    when!(mcs {
        // SAFETY: the caller's.
        unsafe { crate::tcb_set_timeout_endpoint(tcb, endpoint) }
    } else {{
        let _ = (tcb, endpoint);
        error::ILLEGAL_OPERATION
    }})
}
