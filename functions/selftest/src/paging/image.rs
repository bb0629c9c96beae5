//! The pages that the function began with: mapped elsewhere too, taken away, brought back. Who hosts it may keep
//! them in another way than the rest of its memory; nothing of that can be seen.

use super::{BACK, FAR, RW, Tree, read, write_and_read};
use crate::tap::Tap;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use selkie::{
    cap::{Capability, Page, Pml4, Rights, Slot},
    prelude::*,
    vspace::PAGE,
};
use selkie_sys::slot;

/// A page of words.
#[repr(C, align(4096))]
struct Words([AtomicU64; PAGE / 8]);

impl Words {
    const fn new(word: u64) -> Self {
        Self([const { AtomicU64::new(0) }; PAGE / 8]).with_last(word)
    }

    const fn with_last(mut self, word: u64) -> Self {
        self.0[PAGE / 8 - 1] = AtomicU64::new(word);
        self
    }
}

/// Never read before it is mapped elsewhere.
static UNTOUCHED: Words = Words::new(0);
/// With a value from the file.
static FILLED: Words = Words::new(0xf111ed);
/// Written to before.
static WRITTEN: Words = Words::new(0);
/// Only read.
static CONSTANT: [u64; PAGE / 8] = [0xc0457; PAGE / 8];

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    tree.map()?;
    let at = sys.memory.slot()?;
    WRITTEN.0[1].store(0x3717, Relaxed);
    data(tap, sys, at)?;
    constants(tap, sys, at)?;
    boot_pages(tap, sys, at)?;
    sys.memory.release_slots(at, 1);
    tree.unmap()?;
    tree.end(sys)
}

/// The image's page that `address` lies in: the last one lies before the IPC buffer.
fn page_of(sys: &System, address: usize) -> Option<Page> {
    let (info, mut pages) = (sys.boot_info(), sys.boot_info().image_pages());
    let from_end = info.ipc_buffer().checked_sub(address)?.div_ceil(PAGE);
    pages.nth(pages.len().checked_sub(from_end)?)
}

/// Maps a copy of `page` far away for as long as `look` takes.
fn far_away(page: Page, at: Slot, rights: Rights, look: impl FnOnce() -> Result<()>) -> Result<()> {
    at.place().copy(page.place(), Rights::ALL)?;
    let copy = Page::at(at);
    copy.map(Pml4::OWN, FAR, rights, BACK)?;
    let seen = look();
    copy.unmap()?;
    at.place().delete()?;
    seen
}

fn data(tap: &mut Tap, sys: &mut System, at: Slot) -> Result<()> {
    let last = PAGE / 8 - 1;
    let own = [
        ("untouched", &UNTOUCHED, [0, 0]),
        ("filled", &FILLED, [0, 0xf111ed]),
        ("written", &WRITTEN, [0x3717, 0]),
    ];
    for (name, words, [second, end]) in own {
        let address = words.0.as_ptr().addr();
        let Some(page) = page_of(sys, address) else {
            tap.skip(
                &format!("the {name} page of the image"),
                "whoever started the function keeps its pages",
            );
            continue;
        };
        far_away(page, at, RW, || {
            let seen = [read(FAR + 8), read(FAR + 8 * last)];
            tap.is(&format!("the {name} page of the image, far away"), seen, [second, end]);
            words.0[2].store(0x11, Relaxed);
            tap.is("what is written at home is seen far away", read(FAR + 16), 0x11);
            write_and_read(FAR + 24, 0x22);
            tap.is("what is written far away is seen at home", words.0[3].load(Relaxed), 0x22);
            Ok(())
        })?;
        tap.is("it is taken away", page.unmap(), Ok(()));
        tap.is("and mapped far away", page.map(Pml4::OWN, FAR, RW, BACK), Ok(()));
        let seen = [8, 16, 24, 8 * last].map(|offset| read(FAR + offset));
        tap.is("with what was in it", seen, [second, 0x11, 0x22, end]);
        write_and_read(FAR + 32, 0x33);
        page.unmap()?;
        tap.is("and brought home", page.map(Pml4::OWN, address, RW, BACK), Ok(()));
        let seen = [1, 2, 3, 4, last].map(|word| words.0[word].load(Relaxed));
        tap.is("with what was written meanwhile", seen, [second, 0x11, 0x22, 0x33, end]);
        words.0[5].store(0x44, Relaxed);
        tap.is("it can be written at home", words.0[5].load(Relaxed), 0x44);
    }
    Ok(())
}

fn constants(tap: &mut Tap, sys: &mut System, at: Slot) -> Result<()> {
    // A whole page of them lies in there, wherever they begin.
    let address = CONSTANT.as_ptr().addr();
    let Some(page) = page_of(sys, address) else {
        tap.skip("a page of constants", "whoever started the function keeps its pages");
        return Ok(());
    };
    far_away(page, at, Rights::READ, || {
        let last = PAGE - address % PAGE - 8;
        tap.is("a page of constants, far away", read(FAR + address % PAGE), CONSTANT[0]);
        tap.is("the last of them", read(FAR + address % PAGE + last), CONSTANT[last / 8]);
        Ok(())
    })
}

/// The pages after the image.
fn boot_pages(tap: &mut Tap, sys: &mut System, at: Slot) -> Result<()> {
    let buffer = sys.boot_info().ipc_buffer();
    for (name, slot, address) in
        [("the IPC buffer", slot::IPC_BUFFER, buffer), ("BootInfo", slot::BOOT_INFO_FRAME, buffer + PAGE)]
    {
        far_away(Page::at(Slot(slot)), at, RW, || {
            let same = (0..PAGE).step_by(8).all(|offset| read(FAR + offset) == read(address + offset));
            tap.yes(&format!("{name} is the same far away"), same);
            Ok(())
        })?;
    }
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let words = |first: u64| (first..first + 20).fold(Message::new(7), |message, word| message.word(word));
    let thread = sys.spawn(move || endpoint.send(&words(500)))?;
    tap.is("a long message arrives there still", endpoint.recv().message.words(), words(500).words());
    thread.join(sys)?;
    let thread = sys.spawn(move || endpoint.recv().message.words() == words(700).words())?;
    endpoint.send(&words(700));
    tap.is("and leaves from there", thread.join(sys)?, true);
    sys.memory.destroy(object)
}
