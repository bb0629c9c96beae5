//! Rewriting system-call sites: each becomes a jump through a stub into the tender.
//!
//! A site at A is `mov rax, rsp; syscall; mov rsp, rax`. What follows its first instruction becomes a jump to
//! a stub `mov ecx, A + 8; jmp [entry]`. Whatever does not look like a site stays as it is: its system calls
//! trap, which is slower and never wrong.
//!
//! Where all sites are in the first page of the code, and that page begins with room that belongs to nobody, the
//! stubs are there: one page is written to for both. Elsewhere they have pages of their own, below the image.

use crate::{PAGE, RootTask, elf::Access};
use core::ops::Range;

/// Bytes of a site.
pub(crate) const SITE: u64 = 8;
/// Bytes of a site before its system-call instruction.
pub(crate) const BEFORE_SYSCALL: u64 = 3;
/// What a site looks like.
const SITE_BYTES: [u8; SITE as usize] = [0x48, 0x89, 0xe0, 0x0f, 0x05, 0x48, 0x89, 0xc4];
/// Bytes of a stub. The first place of each page holds the address of the entry instead.
const STUB: u64 = 16;
/// Stubs in a page.
const STUBS: u64 = PAGE / STUB - 1;
/// More sites than these trap.
const MAX_SITES: u64 = 16 * STUBS;

/// What became of a root task's sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteCount {
    /// Sites that were rewritten.
    pub patched: u64,
    /// Listed sites that do not look like one, or have no room for a stub.
    pub left: u64,
}

/// The places of the stubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thunks {
    start: u64,
    end: u64,
    count: u64,
    /// They have pages of their own.
    apart: bool,
}

impl Thunks {
    /// Places for all stubs before the code, in the page that it begins in; none when there is no room, or
    /// when sites are elsewhere: they would lose their stubs with a page that is not theirs.
    pub(crate) fn before_text(root_task: &RootTask<'_>) -> Option<Self> {
        let mut texts = root_task.segments().iter().filter(|segment| segment.access == Access::ReadExecute);
        let text = texts.next()?;
        let page = text.pages().start..text.pages().start + PAGE;
        let end = text.address - text.address % STUB;
        let count = root_task.sites().len() as u64;
        let is_alone =
            root_task.segments().iter().filter(|other| other.pages().contains(&page.start)).count() == 1;
        let is_near = |site: u64| page.contains(&site) && page.end - site >= SITE;
        let fits = (1..STUBS).contains(&count) && (count + 1) * STUB <= end - page.start;
        (is_alone && fits && root_task.sites().all(is_near)).then_some(Self {
            start: page.start,
            end,
            count: 0,
            apart: false,
        })
    }

    /// The pages for the stubs of `sites` sites below `image`; empty when there is no room for them.
    pub(crate) fn new(sites: u64, image: u64, lowest: u64) -> Self {
        let size = sites.min(MAX_SITES).div_ceil(STUBS) * PAGE;
        let start = image.checked_sub(size).filter(|start| *start >= lowest).unwrap_or(image);
        Self { start, end: image, count: 0, apart: true }
    }

    /// Where they are, beginning on a page.
    pub fn all(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The pages that they have for themselves; empty where they lie in a page of the image.
    pub fn pages(&self) -> Range<u64> {
        if self.apart { self.start..self.end } else { 0..0 }
    }

    /// The site that a stub belongs to, for an instruction pointer inside of the stub: the address of the
    /// system-call instruction that the stub stands for.
    pub fn syscall_of(&self, pages: &[u8], address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.start).filter(|offset| *offset < self.end - self.start)?;
        let stub = pages.get((offset - offset % STUB) as usize..)?.get(..5)?;
        let after = stub.strip_prefix(&[0xb9])?;
        u64::from(u32::from_le_bytes(after.try_into().ok()?)).checked_sub(SITE - BEFORE_SYSCALL)
    }

    /// Makes a stub for the site at `address`, whose bytes are `text`, when it looks like one and there is
    /// room. Returns the jump that takes the place of its last bytes. `pages` are the bytes of
    /// [`all`](Self::all), and `entry` is where stubs go.
    pub(crate) fn patch(
        &mut self,
        address: u64,
        text: &[u8; SITE as usize],
        pages: &mut [u8],
        entry: u64,
    ) -> Option<[u8; 5]> {
        if *text != SITE_BYTES {
            return None;
        }
        let stub = self.next_stub()?;
        let (page, offset) = (stub - stub % PAGE, (stub - self.start) as usize);
        let place = pages.get_mut(offset..offset + STUB as usize)?;
        let after = address + SITE;
        place[0] = 0xb9;
        place[1..5].copy_from_slice(&(after as u32).to_le_bytes());
        // The distance counts from the next instruction; the entry's address begins the stub's page.
        place[5..7].copy_from_slice(&[0xff, 0x25]);
        place[7..11].copy_from_slice(&distance(page, stub + 11).to_le_bytes());
        place[11..].fill(0xcc);
        pages[(page - self.start) as usize..][..8].copy_from_slice(&entry.to_le_bytes());
        self.count += 1;
        let [a, b, c, d] = distance(stub, after).to_le_bytes();
        Some([0xe9, a, b, c, d])
    }

    /// Where the next stub goes.
    fn next_stub(&self) -> Option<u64> {
        let (page, stub) = (self.count / STUBS, self.count % STUBS);
        let address = self.start + page * PAGE + (stub + 1) * STUB;
        (address + STUB <= self.end).then_some(address)
    }
}

/// The operand of a jump to `to` whose next instruction is at `from`; both have 31 bits.
fn distance(to: u64, from: u64) -> i32 {
    (to as i64 - from as i64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u64 = 0x40_0000;
    const ENTRY: u64 = 0x7e00_0000_1234;

    /// Where a jump to the next instruction at `next` goes.
    fn target(next: u64, operand: &[u8]) -> u64 {
        let operand = i32::from_le_bytes(operand.try_into().expect("4 bytes"));
        next.checked_add_signed(operand.into()).expect("an address")
    }

    #[test]
    fn a_site_leads_through_its_stub_into_the_tender_and_back() {
        // Several pages of stubs, so that each page's own copy of the entry is used.
        let count = 2 * STUBS + 3;
        let mut thunks = Thunks::new(count, IMAGE, 0x1_0000);
        let pages = thunks.pages();
        assert_eq!(pages, IMAGE - 3 * PAGE..IMAGE);
        let mut bytes = vec![0; (pages.end - pages.start) as usize];
        for number in 0..count {
            let site = IMAGE + 0x1001 + number * 9;
            let jump = thunks.patch(site, &SITE_BYTES, &mut bytes, ENTRY).expect("there is room");
            assert_eq!(jump[0], 0xe9);
            let stub = target(site + 8, &jump[1..]);
            assert!(pages.contains(&stub) && stub.is_multiple_of(STUB) && !stub.is_multiple_of(PAGE));
            let code = &bytes[(stub - pages.start) as usize..][..STUB as usize];
            assert_eq!(code[0], 0xb9);
            assert_eq!(code[1..5], (site as u32 + 8).to_le_bytes());
            assert_eq!(code[5..7], [0xff, 0x25]);
            let place = target(stub + 11, &code[7..11]);
            let entry = &bytes[(place - pages.start) as usize..][..8];
            assert_eq!(entry, ENTRY.to_le_bytes());
            for inside in 0..STUB {
                assert_eq!(thunks.syscall_of(&bytes, stub + inside), Some(site + 3));
            }
        }
        for outside in [0, pages.start - 1, pages.end, IMAGE + 0x1001, u64::MAX] {
            assert_eq!(thunks.syscall_of(&bytes, outside), None);
        }
        assert_eq!(thunks.syscall_of(&bytes, pages.end - 1), None, "a place without a stub");
    }

    #[test]
    fn what_does_not_look_like_a_site_stays() {
        let mut thunks = Thunks::new(1, IMAGE, 0x1_0000);
        let mut bytes = vec![0; PAGE as usize];
        for at in 0..SITE as usize {
            for bit in 0..8 {
                let mut text = SITE_BYTES;
                text[at] ^= 1 << bit;
                assert_eq!(thunks.patch(IMAGE, &text, &mut bytes, ENTRY), None);
            }
        }
        assert!(bytes.iter().all(|byte| *byte == 0));
        assert!(thunks.patch(IMAGE, &SITE_BYTES, &mut bytes, ENTRY).is_some());
    }

    #[test]
    fn stubs_need_room_below_the_image() {
        assert!(Thunks::new(0, IMAGE, 0x1_0000).pages().is_empty());
        assert!(Thunks::new(5, 0x1_0000, 0x1_0000).pages().is_empty());
        assert!(Thunks::new(5, 0x1_1000, 0x1_0000).pages() == (0x1_0000..0x1_1000));
        assert!(Thunks::new(STUBS + 1, 0x1_1000, 0x1_0000).pages().is_empty());
        let most = Thunks::new(u64::MAX, IMAGE, 0x1_0000).pages();
        assert_eq!(most.end - most.start, 16 * PAGE);
        let mut none = Thunks::new(5, 0x1_0000, 0x1_0000);
        assert_eq!(none.patch(0x1_0000, &SITE_BYTES, &mut [], ENTRY), None);
    }
}
