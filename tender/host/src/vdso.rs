//! Finding a function in the vDSO, the small shared library that the kernel maps into each process.

use core::{ptr::with_exposed_provenance, slice};

/// The vDSO. Nothing of it is read before a function is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vdso {
    /// Where its ELF header lies.
    address: u64,
}

/// It as it lies in memory, from its ELF header on.
#[derive(Debug, Clone, Copy)]
struct Image(&'static [u8]);

/// More bytes than the vDSO of any kernel has. Linux maps nothing that can be run directly behind it.
const MOST: u64 = 16 << 10;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
/// Bytes of a program header, of an entry of the dynamic table, of a symbol.
const PROGRAM_HEADER: usize = 56;
const DYNAMIC: usize = 16;
const SYMBOL: usize = 24;

impl Vdso {
    /// The vDSO at `address`; none at 0.
    ///
    /// # Safety
    /// When not 0, the address is what the kernel has given as `AT_SYSINFO_EHDR`.
    pub(crate) unsafe fn at(address: u64) -> Option<Self> {
        if address == 0 {
            return None;
        }
        Some(Self { address })
    }

    /// The addresses that it takes, and some behind them.
    pub(crate) fn range(&self) -> [u64; 2] {
        [self.address, self.address.saturating_add(MOST)]
    }

    /// The function with this name.
    pub(crate) fn function(&self, name: &[u8]) -> Option<*const u8> {
        let start = with_exposed_provenance::<u8>(self.address as usize);
        // SAFETY: `at` was given what the kernel says. It maps whole pages, and the headers are in the first.
        let headers = Image(unsafe { slice::from_raw_parts(start, 4096) });
        let (_, size) = headers.segment(PT_LOAD)?;
        // SAFETY: the one loaded segment begins with the headers and has this size.
        Image(unsafe { slice::from_raw_parts(start, size) }).function(name)
    }
}

impl Image {
    /// The function with this name.
    fn function(self, name: &[u8]) -> Option<*const u8> {
        let (symbols, strings) = (self.dynamic(DT_SYMTAB)?, self.dynamic(DT_STRTAB)?);
        (0..self.symbol_count()?).find_map(|index| {
            let symbol = symbols.checked_add(index.checked_mul(SYMBOL)?)?;
            let text = self.0.get(strings.checked_add(self.u32(symbol)? as usize)?..)?;
            let is_defined = self.u16(symbol + 6)? != 0;
            if !is_defined || !text.starts_with(name) || *text.get(name.len())? != 0 {
                return None;
            }
            self.0.get(self.u64(symbol + 8)? as usize..).map(<[u8]>::as_ptr)
        })
    }

    /// How many symbols there are. The table itself does not say; the hash tables do.
    fn symbol_count(self) -> Option<usize> {
        if let Some(table) = self.dynamic(DT_HASH) {
            return Some(self.u32(table + 4)? as usize);
        }
        let table = self.dynamic(DT_GNU_HASH)?;
        let [buckets, first, bloom_words] = [0, 4, 8].map(|at| self.u32(table + at));
        let (buckets, first) = (buckets? as usize, first? as usize);
        let bucket_table = table.checked_add(16)?.checked_add(bloom_words? as usize * 8)?;
        let mut last = (0..buckets).filter_map(|at| self.u32(bucket_table + 4 * at)).max()? as usize;
        let chains = bucket_table.checked_add(4 * buckets)?;
        // A chain ends with an odd hash.
        while self.u32(chains.checked_add(4 * last.checked_sub(first)?)?)? & 1 == 0 {
            last += 1;
        }
        Some(last + 1)
    }

    /// The entry of the dynamic table with this tag. It is an offset: the library is linked at 0.
    fn dynamic(self, tag: u64) -> Option<usize> {
        let (start, size) = self.segment(PT_DYNAMIC)?;
        let mut entries = (start..start.checked_add(size)?).step_by(DYNAMIC);
        let entry = entries.find(|at| self.u64(*at) == Some(tag))?;
        self.u64(entry + 8).map(|value| value as usize)
    }

    /// The first segment of this type: where it begins, and its bytes.
    fn segment(self, kind: u32) -> Option<(usize, usize)> {
        let (table, count) = (self.u64(32)? as usize, self.u16(56)?);
        let mut headers =
            (0..usize::from(count)).filter_map(|index| table.checked_add(index * PROGRAM_HEADER));
        let header = headers.find(|at| self.u32(*at) == Some(kind))?;
        Some((self.u64(header + 16)? as usize, self.u64(header + 40)? as usize))
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}
