//! The header of thread-local storage, which a root task has none of.

use object::elf::PT_TLS;

/// The size of a program header, and where a 64-bit file says where they are and how many.
const HEADER: usize = 56;
const TABLE: usize = 0x20;
const COUNT: usize = 0x38;

/// Makes the header of type PT_TLS in `file` one that says nothing.
///
/// The linker lays out thread-local variables only where there is such a header; NetBSD finds them by symbols, and seL4's
/// boot code loads whatever has a header, so that it would load them a second time.
pub(in crate::root_task) fn drop_header(file: &mut [u8]) {
    let number = |at: usize, size: usize| {
        let bytes = file.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (Some(table), Some(count)) = (number(TABLE, 8), number(COUNT, 2)) else { return };
    for index in 0..count {
        let Some(start) = table.checked_add(index * HEADER) else { return };
        let Some(header) = start.checked_add(HEADER).and_then(|end| file.get_mut(start..end)) else { return };
        if header[..4] == PT_TLS.0.to_le_bytes() {
            header.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file = vec![0xaa; 64 + 3 * HEADER];
        file[TABLE..TABLE + 8].copy_from_slice(&64u64.to_le_bytes());
        file[COUNT..COUNT + 2].copy_from_slice(&3u16.to_le_bytes());
        for (index, kind) in [(0, 1u32), (1, 7), (2, 4)] {
            file[64 + index * HEADER..][..4].copy_from_slice(&kind.to_le_bytes());
        }
        file
    }

    #[test]
    fn only_the_header_of_thread_local_storage_goes() {
        let (before, mut after) = (file(), file());
        drop_header(&mut after);
        let range = 64 + HEADER..64 + 2 * HEADER;
        assert!(after[range.clone()].iter().all(|byte| *byte == 0));
        assert_eq!(
            (&after[..range.start], &after[range.end..]),
            (&before[..range.start], &before[range.end..])
        );
    }

    #[test]
    fn a_table_outside_of_the_file_changes_nothing() {
        for (at, value) in [(TABLE, u64::MAX), (TABLE, 200), (0x36, 0xffff_0000)] {
            let mut file = file();
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let before = file.clone();
            drop_header(&mut file);
            assert_eq!(file[..64], before[..64], "{at}");
        }
        drop_header(&mut []);
    }
}
