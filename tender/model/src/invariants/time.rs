//! What holds of scheduling contexts and reply objects.

use super::{Caps, Check};
use crate::{
    Cap, Host, Kernel, Memory, SchedContext, Tcb, ThreadState, notification,
    reply::{Reply, ReplyNext},
    sched_context::Moment,
};
use std::{collections::BTreeSet, format};

/// Checks a kernel that has just been left.
pub(super) fn check<H: Host>(kernel: &Kernel<'_, H>, caps: &Caps, threads: &BTreeSet<Tcb>) -> Check {
    let memory = &kernel.memory;
    let (mut contexts, mut replies) = (BTreeSet::new(), BTreeSet::new());
    let mut notifications = BTreeSet::new();
    for (cap, _) in caps.slots.values() {
        match *cap {
            Cap::SchedContext { address, bits } => {
                contexts.insert((SchedContext(address), bits));
            }
            Cap::ReplyObject { address, .. } => {
                replies.insert(Reply(address));
            }
            Cap::Notification { address, .. } => {
                notifications.insert(address);
            }
            _ => {}
        }
    }
    let known: BTreeSet<_> = contexts.iter().map(|(sc, _)| *sc).collect();
    for (sc, bits) in &contexts {
        check_context(memory, *sc, *bits, kernel.moment(), threads)?;
        let notification = sc.notification(memory);
        let bound = notification == 0 || notifications.contains(&notification);
        ensure!(bound, "{sc:x?} is bound to {notification:#x}, which is no notification");
        let back = (notification != 0).then(|| memory.get(notification + notification::BUDGET));
        ensure!(
            back.is_none_or(|back| back == sc.0),
            "{sc:x?} is bound to {notification:#x}, and that to {back:x?}"
        );
    }
    for notification in notifications {
        let sc = kernel.notification_budget(notification);
        let back = !sc.is_some() || known.contains(&sc) && sc.notification(memory) == notification;
        ensure!(back, "{notification:#x} is bound to {sc:x?}, which does not know");
    }
    for thread in threads {
        check_thread(memory, *thread, &known, &replies)?;
    }
    for reply in &replies {
        check_reply(memory, *reply, &known, &replies, threads)?;
    }
    let current = kernel.current();
    let pays = kernel.budget.payer;
    let expected = if current.0 == 0 { 0 } else { current.sched_context(memory) };
    ensure!(pays.0 == expected, "{current:x?} runs and {pays:x?} pays, not {expected:#x}");
    check_waiting(kernel, threads)
}

/// Its thread knows it; its refills are in order, and the first is worth running for.
fn check_context(
    memory: &Memory<'_>,
    sc: SchedContext,
    bits: u8,
    at: Moment,
    threads: &BTreeSet<Tcb>,
) -> Check {
    let thread = Tcb(sc.thread(memory));
    if thread.0 != 0 {
        ensure!(threads.contains(&thread), "{sc:x?} has {thread:x?}, who is none");
        let back = thread.sched_context(memory);
        ensure!(back == sc.0, "{sc:x?} has {thread:x?}, and that {back:#x}");
    }
    let yielder = Tcb(sc.yield_from(memory));
    let waits = yielder.0 == 0 || threads.contains(&yielder) && yielder.yield_to(memory) == sc.0;
    ensure!(waits, "{yielder:x?} does not know that it has yielded to {sc:x?}");
    let reply = Reply(sc.reply(memory));
    let head = reply.0 == 0 || reply.next(memory) == ReplyNext::Head(sc);
    ensure!(head, "{sc:x?} was handed on through {reply:x?}, which does not know");
    if !sc.is_active(memory) {
        return Ok(());
    }
    let (max, room) = (sc.refill_max(memory), SchedContext::room(bits));
    ensure!(max <= room, "{sc:x?} has {max} refills and room for {room}");
    let refills = sc.refills(memory);
    let first = sc.first(memory);
    if sc.is_round_robin(memory) {
        ensure!(refills.len() == 2, "{sc:x?} is for round robin and has {refills:?}");
    } else {
        let ordered = refills.windows(2).all(|two| two[0].time + two[0].amount <= two[1].time);
        ensure!(ordered, "{sc:x?} has {refills:?}");
    }
    ensure!(first.amount >= at.least, "{sc:x?} has too little: {refills:?}");
    Ok(())
}

/// What it runs on, has yielded to and waits with is there, and knows it.
fn check_thread(
    memory: &Memory<'_>,
    thread: Tcb,
    contexts: &BTreeSet<SchedContext>,
    replies: &BTreeSet<Reply>,
) -> Check {
    let sc = SchedContext(thread.sched_context(memory));
    let own = !sc.is_some() || contexts.contains(&sc) && sc.thread(memory) == thread.0;
    ensure!(own, "{thread:x?} runs on {sc:x?}, which does not know");
    let to = SchedContext(thread.yield_to(memory));
    let yielded = !to.is_some() || contexts.contains(&to) && to.yield_from(memory) == thread.0;
    ensure!(yielded, "{thread:x?} has yielded to {to:x?}, which does not know");
    let reply = Reply(thread.reply_object(memory));
    if reply.0 != 0 {
        ensure!(replies.contains(&reply), "{thread:x?} waits with {reply:x?}, which is none");
        let back = reply.thread(memory);
        ensure!(back == thread.0, "{thread:x?} waits with {reply:x?}, and that with {back:#x}");
    }
    let waits = thread.state(memory) == ThreadState::BlockedOnReply;
    ensure!(!waits || reply.0 != 0, "{thread:x?} waits for an answer and has no reply object");
    Ok(())
}

/// Whoever waits with it knows it; its neighbours in the stack of calls do, too.
fn check_reply(
    memory: &Memory<'_>,
    reply: Reply,
    contexts: &BTreeSet<SchedContext>,
    replies: &BTreeSet<Reply>,
    threads: &BTreeSet<Tcb>,
) -> Check {
    let thread = Tcb(reply.thread(memory));
    if thread.0 != 0 {
        let state = thread.state(memory);
        let waits = matches!(state, ThreadState::BlockedOnReply | ThreadState::BlockedOnReceive);
        ensure!(threads.contains(&thread) && waits, "{reply:x?} has {thread:x?}, who is {state:?}");
        ensure!(thread.reply_object(memory) == reply.0, "{reply:x?} has {thread:x?}, who does not know");
    }
    match reply.next(memory) {
        ReplyNext::Nothing => {}
        ReplyNext::Reply(next) => {
            let back = replies.contains(&next) && next.before(memory) == reply.0;
            ensure!(back, "{next:x?} does not know that it comes after {reply:x?}");
        }
        ReplyNext::Head(sc) => {
            let back = contexts.contains(&sc) && sc.reply(memory) == reply.0;
            ensure!(back, "{sc:x?} does not know that it was handed on through {reply:x?}");
        }
    }
    let before = Reply(reply.before(memory));
    let back = before.0 == 0 || replies.contains(&before) && before.next(memory) == ReplyNext::Reply(reply);
    ensure!(back, "{before:x?} does not know that it comes before {reply:x?}");
    Ok(())
}

/// Who waits for the budget can run otherwise, and waits in the order of time.
fn check_waiting<H: Host>(kernel: &Kernel<'_, H>, threads: &BTreeSet<Tcb>) -> Check {
    let memory = &kernel.memory;
    let (mut waiting, mut before, mut time) = (BTreeSet::new(), Tcb(0), 0);
    let mut next = kernel.budget.waiting;
    while next.0 != 0 {
        ensure!(threads.contains(&next), "{next:x?} waits for its budget and is no thread");
        ensure!(waiting.insert(next), "{next:x?} waits for its budget twice");
        ensure!(next.release_prev(memory) == before.0, "{next:x?} waits behind somebody else");
        let sc = SchedContext(next.sched_context(memory));
        ensure!(sc.is_some() && sc.is_active(memory), "{next:x?} waits for the budget of {sc:x?}");
        ensure!(kernel.is_runnable(next), "{next:x?} waits for its budget and cannot run");
        let first = sc.first(memory).time;
        ensure!(first >= time, "{next:x?} is ready at {first}, before {before:x?} at {time}");
        (before, time) = (next, first);
        next = Tcb(next.release_next(memory));
    }
    for thread in threads {
        let found = waiting.contains(thread);
        ensure!((thread.in_release(memory) != 0) == found, "{thread:x?} waits for its budget: {found}");
    }
    Ok(())
}
