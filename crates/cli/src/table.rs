//! Columns, aligned, three spaces apart, as docker's tools print them.

use crate::out::outln;

/// Prints rows of equal length; the first is the heading.
pub(crate) fn print<const N: usize>(rows: &[[String; N]]) {
    for line in lines(rows) {
        outln!("{line}");
    }
}

/// The rows as lines.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["A      B", "long   x"]);
    }
}
