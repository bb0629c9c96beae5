//! The text screen of a PC: 25 rows of 80 cells, each a character and its colours.

/// Where it lies in a PC's memory.
pub(super) const ADDRESS: u32 = 0xb_8000;
/// How much of it is looked at, in bytes.
pub(super) const SIZE: usize = ROW * 25;
const ROW: usize = 2 * 80;

/// The lines of text that `cells` show; none when the screen shows pictures.
pub(super) fn lines(cells: &[u8]) -> Vec<String> {
    let characters = || cells.iter().step_by(2);
    let strange = characters().filter(|cell| !matches!(cell, 0 | b' '..=b'~' | 0xb0..=0xdf)).count();
    // A picture in the same memory: random bytes would be strange in two of five.
    if strange * 5 > characters().count() {
        return Vec::new();
    }
    let rows = cells.chunks(ROW).map(|row| {
        let shown = |cell: &u8| match cell {
            b' '..=b'~' => char::from(*cell),
            _ => ' ',
        };
        row.iter().step_by(2).map(shown).collect::<String>().trim_end().to_owned()
    });
    rows.filter(|row| !row.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_pictures_are_not() {
        let mut cells = vec![0; SIZE];
        for (i, byte) in b"Booting from DVD/CD...".iter().enumerate() {
            cells[2 * ROW + 2 * i] = *byte;
            cells[2 * ROW + 2 * i + 1] = 0xff;
        }
        assert_eq!(lines(&cells), ["Booting from DVD/CD..."]);
        assert!(lines(&[0xff; SIZE]).is_empty());
        assert!(lines(&[]).is_empty());
        assert_eq!(lines(b"o\x07k"), ["ok"]);
    }
}
