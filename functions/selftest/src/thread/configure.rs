//! What a thread can be given: spaces, IPC buffers, priorities, and every way to be refused.

use crate::{
    kernel,
    raw::{Answer, alignment, ask, done, illegal, range, revoke_first, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, LargePage, ObjectType, Page, PageTable, Pml4, Slot, Tcb, Untyped},
    memory::Objects,
    prelude::*,
    thread::{Builder, current},
};
use selkie_sys::{Word, label, when};

/// A thread that never runs, and things to give it.
struct Bench {
    tcb: Objects<Tcb>,
    page: Objects<Page>,
    table: Objects<PageTable>,
    untyped: Objects<Untyped>,
}

const CSPACE: Slot = Slot(selkie_sys::slot::CNODE);
const VSPACE: Slot = Slot(selkie_sys::slot::VSPACE);

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        Ok(Self {
            tcb: sys.memory.create()?,
            page: sys.memory.create()?,
            table: sys.memory.create()?,
            untyped: sys.memory.create_untyped(12)?,
        })
    }

    /// Configures with buffer at `address`, and spaces and page in `caps`.
    fn configure(&self, data: [Word; 2], address: Word, caps: [Slot; 3]) -> Answer {
        ask(self.tcb.cap().slot(), label::TCB_CONFIGURE, &kernel::configure(data, address), &caps)
    }

    fn set_space(&self, data: [Word; 2], caps: [Slot; 2]) -> Answer {
        let (words, caps) = (kernel::spaces(data), kernel::space_caps(caps));
        ask(self.tcb.cap().slot(), label::TCB_SET_SPACE, &words, &caps)
    }

    fn set_buffer(&self, address: Word, frame: Slot) -> Answer {
        ask(self.tcb.cap().slot(), label::TCB_SET_IPC_BUFFER, &[address], &[frame])
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.destroy(self.tcb)?;
        sys.memory.destroy(self.untyped)?;
        sys.memory.destroy(self.table)?;
        sys.memory.destroy(self.page)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    configuration(tap, &bench);
    spaces(tap, sys, &bench)?;
    buffers(tap, sys, &bench)?;
    lengths(tap, &bench);
    bench.end(sys)?;
    priorities(tap, sys)?;
    states(tap, sys)
}

fn configuration(tap: &mut Tap, bench: &Bench) {
    let (page, tcb) = (bench.page.cap().slot(), bench.tcb.cap().slot());
    let full = [CSPACE, VSPACE, page];
    tap.is("all that a thread needs", bench.configure([0, 0], 0x1000, full), done());
    tap.is("all of it again", bench.configure([0, 0], 0x1000 + kernel::BUFFER, full), done());
    tap.is("no buffer: the page says nothing", bench.configure([0, 0], 0, [CSPACE, VSPACE, tcb]), done());
    tap.is("a buffer that is no page", bench.configure([0, 0], 0x1000, [CSPACE, VSPACE, tcb]), illegal());
    tap.is(
        "a buffer in the null slot",
        bench.configure([0, 0], 0x1000, [CSPACE, VSPACE, Slot::NULL]),
        illegal(),
    );
    tap.is("a buffer that is not aligned", bench.configure([0, 0], 0x1100, full), alignment());
    tap.is(
        "the kind of buffer before its address",
        bench.configure([0, 0], 0x1001, [CSPACE, VSPACE, tcb]),
        illegal(),
    );
    tap.is("the buffer before the spaces", bench.configure([0, 0], 0x1001, [page, page, page]), alignment());
    tap.is("a page as the CSpace", bench.configure([0, 0], 0x1000, [page, VSPACE, page]), illegal());
    tap.is("a page as the VSpace", bench.configure([0, 0], 0x1000, [CSPACE, page, page]), illegal());
    tap.is("a CNode as the VSpace", bench.configure([0, 0], 0x1000, [CSPACE, CSPACE, page]), illegal());
    tap.is(
        "the null slot as the CSpace",
        bench.configure([0, 0], 0x1000, [Slot::NULL, VSPACE, page]),
        illegal(),
    );
    tap.is(
        "the null slot as the VSpace",
        bench.configure([0, 0], 0x1000, [CSPACE, Slot::NULL, page]),
        illegal(),
    );
    let guard = CNode::guard(5, 3);
    tap.is("a guard for the CSpace", bench.configure([guard, 0], 0x1000, full), done());
    let long = CNode::guard(0, 49);
    tap.is("a guard that is too long", bench.configure([long, 0], 0x1000, full), illegal());
    tap.is("data for the VSpace say nothing", bench.configure([0, 77], 0x1000, full), done());
}

fn spaces(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (page, table) = (bench.page.cap().slot(), bench.table.cap().slot());
    let node = sys.memory.create_cnode(4)?;
    tap.is("both spaces", bench.set_space([0, 0], [CSPACE, VSPACE]), done());
    tap.is("a small CSpace", bench.set_space([0, 0], [node.cap().slot(), VSPACE]), done());
    tap.is("its guard", bench.set_space([CNode::guard(1, 60), 0], [node.cap().slot(), VSPACE]), done());
    tap.is(
        "its guard that is too long",
        bench.set_space([CNode::guard(1, 61), 0], [node.cap().slot(), VSPACE]),
        illegal(),
    );
    tap.is("set: a page as the CSpace", bench.set_space([0, 0], [page, VSPACE]), illegal());
    tap.is("set: a page as the VSpace", bench.set_space([0, 0], [CSPACE, page]), illegal());
    tap.is("set: a page table not mapped as the VSpace", bench.set_space([0, 0], [CSPACE, table]), illegal());
    tap.is("set: the null slot as the CSpace", bench.set_space([0, 0], [Slot::NULL, VSPACE]), illegal());
    let untyped = bench.untyped.cap();
    tap.is("set: an untyped as the CSpace", bench.set_space([0, 0], [untyped.slot(), VSPACE]), illegal());
    untyped.retype(ObjectType::Endpoint, node.cap().place(0, 0), 0, 1)?;
    let taken = bench.set_space([0, 0], [untyped.slot(), VSPACE]);
    tap.is("set: an untyped with children as the CSpace", taken, revoke_first());
    untyped.place().revoke()?;
    bench.set_space([0, 0], [CSPACE, VSPACE]);
    sys.memory.destroy(node)
}

fn buffers(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (page, tcb) = (bench.page.cap().slot(), bench.tcb.cap().slot());
    let large = sys.memory.create::<LargePage>()?;
    tap.is("an IPC buffer", bench.set_buffer(0x1000, page), done());
    tap.is("at a multiple of its size", bench.set_buffer(0x2000 - kernel::BUFFER, page), done());
    tap.is("at another address", bench.set_buffer(0x1e08, page), alignment());
    tap.is("at an odd address", bench.set_buffer(1, page), alignment());
    tap.is("in a large page", bench.set_buffer(0x20_1000, large.cap().slot()), done());
    tap.is("in no page", bench.set_buffer(0x1000, tcb), illegal());
    tap.is("in the null slot", bench.set_buffer(0x1000, Slot::NULL), illegal());
    tap.is("in a page table not mapped", bench.set_buffer(0x1000, bench.table.cap().slot()), illegal());
    tap.is("the kind before the address", bench.set_buffer(1, tcb), illegal());
    tap.is("none", bench.set_buffer(0, page), done());
    tap.is("none, whatever the capability is", bench.set_buffer(0, tcb), done());
    sys.memory.destroy(large)
}

fn lengths(tap: &mut Tap, bench: &Bench) {
    let tcb = bench.tcb.cap().slot();
    let caps = [CSPACE, VSPACE, bench.page.cap().slot()];
    too_short(tap, "a configuration", tcb, label::TCB_CONFIGURE, &kernel::configure([0, 0], 0x1000), &caps);
    let words = kernel::configure([0, 0], 0);
    tap.is("with one capability", ask(tcb, label::TCB_CONFIGURE, &words, &caps[..1]), truncated());
    tap.is("with none", ask(tcb, label::TCB_CONFIGURE, &words, &[]), truncated());
    let spaces = kernel::space_caps([CSPACE, VSPACE]);
    too_short(tap, "a setting of spaces", tcb, label::TCB_SET_SPACE, &kernel::spaces([0, 0]), &spaces);
    too_short(tap, "a setting of the IPC buffer", tcb, label::TCB_SET_IPC_BUFFER, &[0x1000], &caps[2..]);
    let me = kernel::authority();
    too_short(tap, "a setting of the priority", tcb, label::TCB_SET_PRIORITY, &[1], &me);
    too_short(tap, "a setting of the greatest priority", tcb, label::TCB_SET_MC_PRIORITY, &[1], &me);
}

/// Sets a thread's greatest priority and its own together.
fn both(tcb: Slot, greatest: Word, priority: Word) -> Answer {
    when!(priority_authority {{
        let authority = current().tcb().slot();
        let caps = [authority, Slot::NULL, Slot::NULL];
        let count = kernel::on_mcs(3, 1);
        ask(tcb, label::TCB_SET_SCHED_PARAMS, &[greatest, priority], &caps[..count])
    }} else {
        ask(tcb, label::TCB_CONFIGURE, &[0, greatest << 8 | priority, 0, 0, 0], &[CSPACE, VSPACE, CSPACE])
    })
}

/// A thread may give priorities up to its own greatest one, to itself and to others.
fn priorities(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Tcb>()?;
    let slot = object.cap().slot();
    let set = move |label: Word, to: Slot, word: Word| ask(to, label, &[word], &kernel::authority());
    let priority = move |to: Slot, word: Word| set(label::TCB_SET_PRIORITY, to, word);
    let greatest = move |to: Slot, word: Word| set(label::TCB_SET_MC_PRIORITY, to, word);
    tap.is("priority 0", priority(slot, 0), done());
    tap.is("priority 255", priority(slot, 255), done());
    tap.is("priority 256 is not cut", priority(slot, 256), range(0, 255));
    tap.is("a priority of very much", priority(slot, Word::MAX), range(0, 255));
    tap.is("greatest priority 0", greatest(slot, 0), done());
    tap.is("greatest priority 256", greatest(slot, 256), range(0, 255));
    let limited = Builder::new().priority(150).max_priority(150).spawn(sys, move || {
        let me = current().tcb().slot();
        let before = [
            priority(slot, 150),
            priority(slot, 151),
            greatest(slot, 151),
            priority(me, 151),
            both(slot, 150, 150),
            both(slot, 150, 151),
            both(slot, 151, 150),
            greatest(me, 140),
        ];
        (before, [priority(slot, 141), priority(me, 149), priority(me, 140), greatest(me, 141)])
    })?;
    let (before, after) = limited.join(sys)?;
    let refused = || range(0, 150);
    let want = [done(), refused(), refused(), refused(), done(), refused(), refused(), done()];
    let names = [
        "a thread gives its greatest priority",
        "not more",
        "nor as a greatest priority",
        "nor to itself",
        "it configures with its own priorities",
        "not with a greater one",
        "nor with a greater greatest one",
        "it lowers its own greatest priority",
    ];
    for ((name, got), want) in names.into_iter().zip(before).zip(want) {
        tap.is(name, got, want);
    }
    let want = [range(0, 140), range(0, 140), done(), range(0, 140)];
    let names =
        ["then it gives no more than that", "nor keeps its own", "but sinks to it", "and never rises again"];
    for ((name, got), want) in names.into_iter().zip(after).zip(want) {
        tap.is(name, got, want);
    }
    sys.memory.destroy(object)
}

fn states(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Tcb>()?;
    let tcb = object.cap().slot();
    tap.is("suspend of a thread that never ran", ask(tcb, label::TCB_SUSPEND, &[], &[]), done());
    tap.is("suspend with words and capabilities", ask(tcb, label::TCB_SUSPEND, &[1, 2], &[tcb]), done());
    let me = current().tcb().slot();
    tap.is("resume of the running thread", ask(me, label::TCB_RESUME, &[], &[]), done());
    let vspace = Pml4::OWN.slot();
    tap.is("suspend of a VSpace", ask(vspace, label::TCB_SUSPEND, &[], &[]), illegal());
    sys.memory.destroy(object)
}
