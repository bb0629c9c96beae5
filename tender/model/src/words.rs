//! Objects whose state is words of physical memory.

/// Defines the words of an object, each with a function that reads and one that writes it.
macro_rules! words {
    ($visibility:vis $object:ident: $($(#[$doc:meta])* $offset:literal $get:ident $set:ident;)*) => {
        impl $object {
            $(
                $(#[$doc])*
                #[inline]
                $visibility fn $get(self, memory: &Memory<'_>) -> u64 {
                    memory.get(self.0 + $offset)
                }

                /// Sets it.
                #[inline]
                $visibility fn $set(self, memory: &Memory<'_>, value: u64) {
                    memory.set(self.0 + $offset, value);
                }
            )*
        }
    };
}

pub(crate) use words;
