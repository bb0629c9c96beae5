//! The arguments of a retype, one wrong one after the other, and which of two wrong ones is reported.

use crate::{
    kernel,
    raw::{
        Answer, End, argument, ask, delete_first, depth, done, guard, memory, missing, no_root, range,
        too_short,
    },
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Rights, Slot, Untyped},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{Word, bits, label, object};

/// An untyped of 8 KiB, and a CNode of 16 slots that its objects go to.
struct Bench {
    untyped: Objects<Untyped>,
    node: Objects<CNode>,
}

impl Bench {
    fn retype(&self, words: [Word; 6]) -> Answer {
        self.into(self.node.cap().slot(), words)
    }

    fn into(&self, root: Slot, words: [Word; 6]) -> Answer {
        ask(self.untyped.cap().slot(), label::UNTYPED_RETYPE, &words, &[root])
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench { untyped: sys.memory.create_untyped(13)?, node: sys.memory.create_cnode(4)? };
    types_and_sizes(tap, &bench);
    windows(tap, &bench);
    destinations(tap, sys, &bench)?;
    order(tap, &bench)?;
    let (untyped, node) = (bench.untyped.cap().slot(), bench.node.cap().slot());
    let words = [object::ENDPOINT, 0, 0, 0, 0, 1];
    too_short(tap, "a retype", untyped, label::UNTYPED_RETYPE, &words, &[node]);
    let more = [object::ENDPOINT, 0, 0, 0, 5, 1, 77, 78];
    tap.is("words beyond those needed", ask(untyped, label::UNTYPED_RETYPE, &more, &[node]), done());
    let two = ask(untyped, label::UNTYPED_RETYPE, &[object::ENDPOINT, 0, 0, 0, 6, 1], &[node, untyped]);
    tap.is("a capability beyond the one needed", two, done());
    sys.memory.destroy(bench.untyped)?;
    sys.memory.destroy(bench.node)
}

fn types_and_sizes(tap: &mut Tap, bench: &Bench) {
    let retype = |number, size| bench.retype([number, size, 0, 0, 0, 1]);
    tap.is("the number after the last type", retype(object::COUNT, 0), argument(0));
    tap.is("the greatest number as the type", retype(Word::MAX, 0), argument(0));
    // What is looked at first: on seL4 5.0.0 the size, whatever the object is; later only where it says something.
    let too_large = range(0, kernel::from(10, 47, 61));
    tap.is("a size that no untyped has", retype(object::UNTYPED, 48), too_large.clone());
    let endpoint = retype(object::ENDPOINT, 48);
    tap.is("such a size with an endpoint", endpoint, kernel::from(10, done(), too_large.clone()));
    // A failure shows in the next check.
    let _ = bench.node.cap().place(0, 4).delete();
    tap.is("the greatest number as the size", retype(object::CNODE, Word::MAX), too_large.clone());
    tap.is("an untyped of the largest size", retype(object::UNTYPED, 47), memory(8192));
    let node = retype(object::CNODE, 47);
    tap.is("a CNode of the largest size", node, kernel::from(10, too_large, memory(8192)));
    tap.is("an untyped of size 0", retype(object::UNTYPED, 0), argument(1));
    tap.is("a size too many by one bit", retype(object::UNTYPED, 14), memory(8192));
    tap.is("a CNode too large by one bit", retype(object::CNODE, 13 - bits::SLOT + 1), memory(8192));
}

fn windows(tap: &mut Tap, bench: &Bench) {
    let retype = |offset, count| bench.retype([object::ENDPOINT, 0, 0, 0, offset, count]);
    tap.is("the greatest number as the offset", retype(Word::MAX, 1), range(0, 15));
    tap.is("the greatest number of objects", retype(0, Word::MAX), range(1, 256));
    tap.is("256 objects in 16 slots", retype(0, 256), range(1, 16));
    tap.is("17 objects in 16 slots", retype(0, 17), range(1, 16));
    tap.is("a window over the end", retype(10, 7), range(1, 6));
    tap.is("an offset behind the end before a count of 0", retype(16, 0), range(0, 15));
    tap.is("a window up to the end", retype(12, 4), done());
    tap.is("a window that ends at an occupied slot", retype(9, 4), delete_first());
    tap.is("a window beside occupied slots", retype(9, 3), done());
}

fn destinations(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let node = bench.node.cap();
    let to = |root: Slot, index, depth| bench.into(root, [object::ENDPOINT, 0, index, depth, 0, 1]);
    let (own, untyped) = (node.slot(), bench.untyped.cap().slot());
    tap.is("an untyped as the CNode", to(untyped, 0, 0), missing(End::Target, 0));
    tap.is("an untyped as the root", to(untyped, 0, 4), no_root(End::Target));
    tap.is("the null slot as the CNode", to(Slot::NULL, 0, 0), missing(End::Target, 0));
    tap.is("an empty slot as the CNode", to(own, 2, 4), missing(End::Target, 4));
    tap.is("an endpoint's slot as the CNode", to(own, 12, 4), missing(End::Target, 4));
    tap.is("a depth of 65 bits for the CNode", to(own, 0, 65), range(1, 64));
    tap.is("too few bits for the CNode", to(own, 0, 3), depth(End::Target, 3, 4));
    tap.is("too many bits for the CNode", to(own, 0xc0, 8), depth(End::Target, 4, 0));
    let inner = sys.memory.create_cnode(2)?;
    node.place(2, 4).copy(inner.cap().slot().place(), Rights::ALL)?;
    tap.is("a CNode in a CNode", to(own, 2, 4), done());
    let there = inner.cap().place(0, 2).copy(bench.node.cap().place(12, 4), Rights::ALL);
    tap.is("the object is in the inner one", there, Err(Error::DeleteFirst));
    tap.is("a slot of the inner CNode as the CNode", to(own, 0x2 << 2, 6), missing(End::Target, 6));
    let mine = CNode::OWN.slot();
    let itself = bench.into(mine, [object::ENDPOINT, 0, mine.0, 64, mine.0, 1]);
    tap.is("the function's own CNode, found through itself", itself, delete_first());
    let bits = kernel::NODE_BITS;
    let unguarded = to(mine, mine.0, bits);
    tap.is("the function's own CNode without its guard", unguarded, guard(End::Target, bits, 0, 64 - bits));
    node.place(2, 4).delete()?;
    // The endpoint inside goes too: the untyped is only used up when its last child is left.
    sys.memory.destroy(inner)
}

/// Two things are wrong; one is reported.
fn order(tap: &mut Tap, bench: &Bench) -> Result<()> {
    let node = bench.node.cap().slot();
    let untyped = bench.untyped.cap().slot();
    tap.is("the type before the size", bench.retype([99, 99, 0, 0, 0, 1]), argument(0));
    let size_and_root = bench.into(untyped, [object::CNODE, 0, 0, 4, 0, 1]);
    tap.is("the size before the CNode", size_and_root, argument(1));
    let root_and_offset = bench.into(untyped, [object::ENDPOINT, 0, 0, 4, 99, 1]);
    tap.is("the CNode before the offset", root_and_offset, no_root(End::Target));
    tap.is(
        "an occupied slot before the memory",
        bench.retype([object::LARGE_PAGE, 0, 0, 0, 12, 1]),
        delete_first(),
    );
    let long = ask(untyped, label::UNTYPED_RETYPE, &[99, 0, 0, 0, 0], &[node]);
    tap.is("the length before the type", long, crate::raw::truncated());
    let wrong = ask(untyped, label::TCB_SUSPEND, &[], &[]);
    tap.is("the operation before the length", wrong, crate::raw::illegal());
    Ok(())
}
