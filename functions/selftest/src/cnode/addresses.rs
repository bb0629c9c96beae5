//! Addresses of slots: depths, guards, CNodes in CNodes, as source and as destination.

use crate::{
    kernel,
    raw::{Answer, End, ask, delete_first, depth, done, guard, illegal, missing, no_root, range, too_short},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Notification, Rights, Slot},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{Word, label, when};

/// Two CNodes of 16 slots, the second in slot 2 of the first; a notification in slot 1 of each.
struct Bench {
    outer: Objects<CNode>,
    inner: Objects<CNode>,
    object: Objects<Notification>,
    slot: Slot,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        let bench = Self {
            outer: sys.memory.create_cnode(4)?,
            inner: sys.memory.create_cnode(4)?,
            object: sys.memory.create()?,
            slot: sys.memory.slot()?,
        };
        let source = bench.object.cap().place();
        bench.outer.cap().place(1, 4).copy(source, Rights::ALL)?;
        bench.inner.cap().place(1, 4).copy(source, Rights::ALL)?;
        bench.outer.cap().place(2, 4).copy(bench.inner.cap().slot().place(), Rights::ALL)?;
        Ok(bench)
    }

    /// Copies to slot 8 of the outer CNode from `index`, `depth` of `root`, and deletes what came.
    fn from(&self, root: Slot, index: Word, depth: Word) -> Answer {
        let answer = ask(self.outer.cap().slot(), label::CNODE_COPY, &[8, 4, index, depth, 7], &[root]);
        // A failure shows in the next check.
        let _ = self.outer.cap().place(8, 4).delete();
        answer
    }

    /// Deletes `index`, `depth` of the outer CNode.
    fn delete(&self, index: Word, depth: Word) -> Answer {
        ask(self.outer.cap().slot(), label::CNODE_DELETE, &[index, depth], &[])
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.release_slots(self.slot, 1);
        sys.memory.destroy(self.outer)?;
        sys.memory.destroy(self.inner)?;
        sys.memory.destroy(self.object)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    sources(tap, &bench);
    targets(tap, &bench);
    guards(tap, &bench)?;
    deep_guards(tap, &bench)?;
    lengths(tap, &bench);
    bench.end(sys)
}

fn sources(tap: &mut Tap, bench: &Bench) {
    let (outer, object) = (bench.outer.cap().slot(), bench.object.cap().slot());
    tap.is("a source of 4 bits", bench.from(outer, 1, 4), done());
    tap.is("bits above the depth do not count", bench.from(outer, 0xff1, 4), done());
    tap.is("a source in an inner CNode", bench.from(outer, 0x21, 8), done());
    tap.is("a source that is a CNode", bench.from(outer, 2, 4), done());
    tap.is("a source of 0 bits", bench.from(outer, 1, 0), range(1, 64));
    tap.is("a source of 65 bits", bench.from(outer, 1, 65), range(1, 64));
    tap.is("a source of very many bits", bench.from(outer, 1, Word::MAX), range(1, 64));
    tap.is("a source of too few bits", bench.from(outer, 1, 3), depth(End::Source, 3, 4));
    tap.is("too few bits in an inner CNode", bench.from(outer, 0x20 >> 2, 6), depth(End::Source, 2, 4));
    tap.is("bits left at a notification", bench.from(outer, 0x10, 8), depth(End::Source, 4, 0));
    tap.is("bits left at an empty slot", bench.from(outer, 0x30, 8), depth(End::Source, 4, 0));
    tap.is("60 bits left", bench.from(outer, 1, 64), depth(End::Source, 60, 0));
    tap.is("an empty slot of an inner CNode", bench.from(outer, 0x23, 8), missing(End::Source, 8));
    tap.is("a notification as the source's root", bench.from(object, 1, 4), no_root(End::Source));
    tap.is("the null slot as the source's root", bench.from(Slot::NULL, 1, 4), no_root(End::Source));
    tap.is("the function's own CNode as the root", bench.from(CNode::OWN.slot(), object.0, 64), done());
}

fn targets(tap: &mut Tap, bench: &Bench) {
    let object = bench.object.cap().slot();
    tap.is("a destination of 0 bits", bench.delete(1, 0), range(1, 64));
    tap.is("a destination of very many bits", bench.delete(1, Word::MAX), range(1, 64));
    tap.is("too few bits of the destination", bench.delete(1, 1), depth(End::Target, 1, 4));
    tap.is("bits left at the destination", bench.delete(0x10, 6), depth(End::Target, 2, 0));
    tap.is("an empty slot can be deleted", bench.delete(0x2f, 8), done());
    tap.is(
        "the destination before the source",
        bench_copy(bench, &[1, 3, 1, 4, 7], object),
        depth(End::Target, 3, 4),
    );
    tap.is("an occupied slot before the source", bench_copy(bench, &[1, 4, 1, 4, 7], object), delete_first());
}

fn bench_copy(bench: &Bench, words: &[Word], root: Slot) -> Answer {
    ask(bench.outer.cap().slot(), label::CNODE_COPY, words, &[root])
}

/// Capabilities of the inner CNode with guards, in a slot of the function's own.
fn guards(tap: &mut Tap, bench: &Bench) -> Result<()> {
    let inner = bench.inner.cap().slot().place();
    let here = bench.slot.place();
    let mint = |data: Word| here.mint(inner, Rights::NONE, data);
    tap.is("a guard of 60 bits", mint(CNode::guard(0, 60)), Ok(()));
    tap.is("it takes 64 bits", bench.from(bench.slot, 1, 64), done());
    tap.is("it takes no fewer", bench.from(bench.slot, 1, 63), depth(End::Source, 63, 64));
    tap.is(
        "a guard of more bits than are left",
        bench.from(bench.slot, 1, 59),
        guard(End::Source, 59, 0, 60),
    );
    tap.is(
        "a guard that differs in its first bit",
        bench.from(bench.slot, 1 << 63 | 1, 64),
        guard(End::Source, 64, 0, 60),
    );
    here.delete()?;
    tap.is("a guard of 61 bits is too much", mint(CNode::guard(0, 61)), Err(Error::IllegalOperation));
    tap.is("a guard of 1 bit", mint(CNode::guard(1, 1)), Ok(()));
    tap.is("it matches", bench.from(bench.slot, 0x11, 5), done());
    tap.is("it does not match", bench.from(bench.slot, 0x01, 5), guard(End::Source, 5, 1, 1));
    here.delete()?;
    tap.is("bits of a guard above its size are dropped", mint(CNode::guard(0b110, 2)), Ok(()));
    tap.is("the lower two count", bench.from(bench.slot, 0x21, 6), done());
    tap.is(
        "the dropped one does not come back",
        bench.from(bench.slot, 0x11, 6),
        guard(End::Source, 6, 0b10, 2),
    );
    here.delete()?;
    mint(CNode::guard(0x3ffff, 18))?;
    tap.is("a guard of 18 bits", bench.from(bench.slot, 0x3ffff << 4 | 1, 22), done());
    here.delete()?;
    tap.is("no guard: the data word 0", mint(0), Ok(()));
    tap.is("4 bits suffice again", bench.from(bench.slot, 1, 4), done());
    here.delete()
}

/// A guard on the second level, and one that is changed by a move.
fn deep_guards(tap: &mut Tap, bench: &Bench) -> Result<()> {
    let outer = bench.outer.cap();
    let inner = bench.inner.cap().slot().place();
    outer.place(3, 4).mint(inner, Rights::ALL, CNode::guard(0x5, 3))?;
    tap.is("a guard on the second level", bench.from(outer.slot(), 0b011 << 7 | 0b101 << 4 | 1, 11), done());
    tap.is(
        "it does not match there",
        bench.from(outer.slot(), 0b011 << 7 | 0b100 << 4 | 1, 11),
        guard(End::Source, 7, 5, 3),
    );
    tap.is(
        "it is longer than what is left",
        bench.from(outer.slot(), 0b011 << 2 | 0b10, 6),
        guard(End::Source, 2, 5, 3),
    );
    tap.is(
        "too few bits after it",
        bench.from(outer.slot(), 0b011 << 5 | 0b101 << 2, 9),
        depth(End::Source, 5, 7),
    );
    let mutate = |to: Word, from: Word, data: Word| {
        ask(outer.slot(), label::CNODE_MUTATE, &[to, 4, from, 4, data], &[outer.slot()])
    };
    tap.is("a mutate takes the guard away", mutate(4, 3, 0), done());
    tap.is("then 4 bits suffice", bench.from(outer.slot(), 0x41, 8), done());
    tap.is("a mutate to a guard that is too long", mutate(5, 4, CNode::guard(0, 61)), illegal());
    tap.is("after that the source is still there", bench.from(outer.slot(), 0x41, 8), done());
    tap.is("a mutate onto itself", mutate(4, 4, 0), delete_first());
    outer.place(4, 4).delete()
}

/// The last label of CNodes: with MCS there is no saving of a caller.
const LAST: Word = when!(mcs { label::CNODE_ROTATE } else { label::CNODE_SAVE_CALLER });

/// Every operation with a word too few, and with a capability too few.
fn lengths(tap: &mut Tap, bench: &Bench) {
    let outer = bench.outer.cap().slot();
    let pair = [outer, outer];
    let cases: [(&str, Word, &[Word], &[Slot]); 8] = [
        ("a copy", label::CNODE_COPY, &[9, 4, 1, 4, 7], &pair[..1]),
        ("a mint", label::CNODE_MINT, &[9, 4, 1, 4, 7, 1], &pair[..1]),
        ("a move", label::CNODE_MOVE, &[9, 4, 1, 4], &pair[..1]),
        ("a mutate", label::CNODE_MUTATE, &[9, 4, 2, 4, 0], &pair[..1]),
        ("a rotate", label::CNODE_ROTATE, &[9, 4, 0, 2, 4, 0, 1, 4], &pair),
        ("a delete", label::CNODE_DELETE, &[9, 4], &[]),
        ("a revoke", label::CNODE_REVOKE, &[9, 4], &[]),
        ("a cancelling of sends", label::CNODE_CANCEL_BADGED_SENDS, &[9, 4], &[]),
    ];
    for (what, label, words, caps) in cases {
        too_short(tap, what, outer, label, words, caps);
    }
    if !kernel::MCS {
        too_short(tap, "a saving of the caller", outer, LAST, &[9, 4], &[]);
    }
    let lonely = ask(outer, label::CNODE_ROTATE, &[9, 4, 0, 2, 4, 0, 1, 4], &[]);
    tap.is("a rotate without capabilities", lonely, crate::raw::truncated());
    let none = ask(outer, label::CNODE_DELETE, &[], &[]);
    tap.is("an operation without words", none, crate::raw::truncated());
    tap.is("the operation before the length", ask(outer, label::UNTYPED_RETYPE, &[], &[]), illegal());
    tap.is("the label after the last one", ask(outer, LAST + 1, &[9, 4], &[]), illegal());
}
