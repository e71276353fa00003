//! Colours, and whether to use them. Everything is printed through `anstream`, which strips what a sink can't show.

use anstyle::{AnsiColor, Style};

use crate::args::{Ansi, ProgressStyle};

/// Applies the `--ansi` choice to this process's output.
pub(crate) fn choose(ansi: Ansi) {
    let choice = match ansi {
        Ansi::Auto => anstream::ColorChoice::Auto,
        Ansi::Always => anstream::ColorChoice::Always,
        Ansi::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

impl ProgressStyle {
    /// The style that `auto` comes to here: drawn anew on a terminal that can move its cursor, and may.
    #[must_use]
    pub(crate) fn settled(self) -> Self {
        let movable = || {
            let dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
            let never = anstream::ColorChoice::global() == anstream::ColorChoice::Never;
            rustix::termios::isatty(std::io::stderr()) && !dumb && !never
        };
        match self {
            Self::Auto if movable() => Self::Tty,
            Self::Auto => Self::Plain,
            chosen => chosen,
        }
    }
}

/// Done, healthy.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Under way.
pub(crate) const BUSY: Style = AnsiColor::Cyan.on_default();
/// A warning.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Beside the point.
pub(crate) const DIM: Style = Style::new().dimmed();
/// A heading.
pub(crate) const BOLD: Style = Style::new().bold();

/// The colours that instances' logs take in turn.
const PREFIXES: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightYellow,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// The colour of the `n`th instance's logs.
#[must_use]
pub(crate) fn prefix(n: usize) -> Style {
    PREFIXES[n % PREFIXES.len()].on_default()
}
