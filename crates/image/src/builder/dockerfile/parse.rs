//! One logical line to one instruction.

use super::duration;
use super::flags::{Flags, Takes};
use super::heredoc;
use super::instruction::{Command, Copy, From, Healthcheck, Instruction, Kind, Run};
use super::lines::Line;
use super::problem::{Problem, nearest};
use super::words;
use crate::builder::graph::{Network, Security};

/// What comes after the instruction's name.
struct Rest<'a> {
    line: &'a Line,
    /// As written.
    keyword: &'a str,
    flags: Vec<String>,
    text: &'a str,
    escape: char,
}

type Parse = fn(Rest<'_>) -> Result<Kind, Problem>;

const INSTRUCTIONS: [(&str, Parse); 18] = [
    ("ADD", |rest| copy(rest, true)),
    ("ARG", arg),
    ("CMD", |rest| rest.command(false).map(Kind::Cmd)),
    ("COPY", |rest| copy(rest, false)),
    ("ENTRYPOINT", |rest| rest.command(false).map(Kind::Entrypoint)),
    ("ENV", |rest| rest.pairs().map(Kind::Env)),
    ("EXPOSE", |rest| rest.list().map(Kind::Expose)),
    ("FROM", from),
    ("HEALTHCHECK", healthcheck),
    ("LABEL", |rest| rest.pairs().map(Kind::Label)),
    ("MAINTAINER", |rest| rest.one().map(Kind::Maintainer)),
    ("ONBUILD", onbuild),
    ("RUN", run),
    ("SHELL", shell),
    ("STOPSIGNAL", |rest| rest.one().map(Kind::StopSignal)),
    ("USER", |rest| rest.one().map(Kind::User)),
    ("VOLUME", volume),
    ("WORKDIR", |rest| rest.one().map(Kind::Workdir)),
];

/// Understands a line; its flags must be of its instruction, variables are left as they are.
pub(crate) fn instruction(line: Line, escape: char) -> Result<Instruction, Problem> {
    let (keyword, rest) = words::keyword(&line.text);
    let Some((_, parse)) = INSTRUCTIONS.iter().find(|(name, _)| keyword.eq_ignore_ascii_case(name)) else {
        let help = nearest(keyword, INSTRUCTIONS.map(|(name, _)| name));
        return Err(Problem { help, ..line.problem(keyword, format!("unknown instruction {keyword}")) });
    };
    let (flags, text) = words::flags(rest, escape);
    let kind = parse(Rest { line: &line, keyword, flags, text, escape })?;
    Ok(Instruction { line, kind })
}

impl Rest<'_> {
    fn wrong<T>(&self, message: impl AsRef<str>) -> Result<T, Problem> {
        let message = format!("{} {}", self.keyword.to_ascii_uppercase(), message.as_ref());
        Err(self.line.problem(self.keyword, message))
    }

    fn flags(&mut self, known: &[(&str, Takes)]) -> Result<Flags, Problem> {
        Flags::parse(self.line, std::mem::take(&mut self.flags), known)
    }

    fn json(&self) -> Result<Option<Vec<String>>, Problem> {
        words::json(self.text).map_err(|why| self.line.problem("[", why))
    }

    /// The whole rest as one argument.
    fn one(mut self) -> Result<String, Problem> {
        self.flags(&[])?;
        if self.text.is_empty() { self.wrong("needs an argument") } else { Ok(self.text.to_owned()) }
    }

    fn list(mut self) -> Result<Vec<String>, Problem> {
        self.flags(&[])?;
        let words = words::plain(self.text);
        if words.is_empty() { self.wrong("needs at least one argument") } else { Ok(words) }
    }

    fn pairs(mut self) -> Result<Vec<(String, String)>, Problem> {
        self.flags(&[])?;
        words::pairs(self.text, self.escape).or_else(|why| self.wrong(why))
    }

    /// `needed`: an empty one is an error, where elsewhere it takes the base's away.
    fn command(mut self, needed: bool) -> Result<Command, Problem> {
        self.flags(&[])?;
        self.command_after_flags(needed)
    }

    fn command_after_flags(&self, needed: bool) -> Result<Command, Problem> {
        let command = match self.json()? {
            Some(arguments) => Command::Exec(arguments),
            None if self.text.is_empty() => Command::Exec(Vec::new()),
            None => Command::Shell(self.text.to_owned()),
        };
        if needed && command == Command::Exec(Vec::new()) {
            self.wrong("needs a command")
        } else {
            Ok(command)
        }
    }
}

fn from(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    let flags = rest.flags(&[("platform", Takes::Text)])?;
    let words = words::plain(rest.text);
    let (base, name) = match &words[..] {
        [base] => (base, None),
        [base, r#as, name] if r#as.eq_ignore_ascii_case("as") => (base, Some(stage_name(&rest, name)?)),
        [] => return rest.wrong("needs an image"),
        _ => return rest.wrong("takes an image, or an image AS a name"),
    };
    Ok(Kind::From(From { base: base.clone(), name, platform: flags.text("platform") }))
}

fn stage_name(rest: &Rest<'_>, name: &str) -> Result<String, Problem> {
    let lower = name.to_ascii_lowercase();
    let fine = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    if fine {
        return Ok(lower);
    }
    let message = format!("{name} is not a name for a stage: a letter, then letters, digits, `-`, `_`, `.`");
    Err(rest.line.problem(name, message))
}

fn arg(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    rest.flags(&[])?;
    let words = words::quoted(rest.text, rest.escape);
    if words.is_empty() {
        return rest.wrong("needs at least one argument");
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => rest.wrong(format!("{word} has no name before its `=`")),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word, None)),
    };
    words.into_iter().map(pair).collect::<Result<_, _>>().map(Kind::Arg)
}

fn run(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    let known = [
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
        ("device", Takes::Texts),
    ];
    let flags = rest.flags(&known)?;
    let network = match flags.text("network").as_deref() {
        None => None,
        Some("default") => Some(Network::Default),
        Some("none") => Some(Network::None),
        Some("host") => Some(Network::Host),
        Some(other) => {
            let help = nearest(other, ["default", "none", "host"]);
            let message = format!("--network is default, none or host, not {other}");
            return Err(Problem { help, ..rest.line.problem("--network", message) });
        }
    };
    let security = match flags.text("security").as_deref() {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") => Security::Insecure,
        Some(other) => {
            let help = nearest(other, ["sandbox", "insecure"]);
            let message = format!("--security is sandbox or insecure, not {other}");
            return Err(Problem { help, ..rest.line.problem("--security", message) });
        }
    };
    if flags.all("device").next().is_some() {
        return Err(rest.line.problem("--device", "a build has no devices to give"));
    }
    let command = rest.command_after_flags(true)?;
    Ok(Kind::Run(Run { command, mounts: flags.all("mount").collect(), network, security }))
}

fn copy(mut rest: Rest<'_>, adds: bool) -> Result<Kind, Problem> {
    let both =
        [("chown", Takes::Text), ("chmod", Takes::Text), ("link", Takes::Switch), ("exclude", Takes::Texts)];
    let own: &[(&str, Takes)] = if adds {
        &[("keep-git-dir", Takes::Switch), ("checksum", Takes::Text), ("unpack", Takes::Switch)]
    } else {
        &[("from", Takes::Text), ("parents", Takes::Switch)]
    };
    let flags = rest.flags(&[&both, own].concat())?;
    let mut words = rest.json()?.unwrap_or_else(|| heredoc::joined(words::plain(rest.text)));
    let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
        return rest.wrong("needs at least a source and a destination");
    };
    if heredoc::parse(&destination).is_some() {
        return Err(rest.line.problem(&destination, "a here-document is not a destination"));
    }
    let (sources, documents) = sources_and_documents(&rest, words);
    Ok(Kind::Copy(Copy {
        adds,
        sources,
        documents,
        destination,
        from: flags.text("from"),
        owner: flags.text("chown"),
        mode: flags.text("chmod"),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        exclude: flags.all("exclude").collect(),
        keep_git_dir: flags.switch("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.switch("unpack"),
    }))
}

fn sources_and_documents(rest: &Rest<'_>, words: Vec<String>) -> (Vec<String>, Vec<heredoc::Heredoc>) {
    let mut sources = Vec::new();
    let mut documents = Vec::new();
    for word in words {
        let announced = heredoc::parse(&word);
        let document =
            announced.and_then(|doc| rest.line.heredocs.iter().find(|found| found.name == doc.name));
        match document {
            Some(document) => documents.push(document.clone()),
            None => sources.push(word),
        }
    }
    (sources, documents)
}

fn shell(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    rest.flags(&[])?;
    match rest.json()? {
        Some(words) if !words.is_empty() => Ok(Kind::Shell(words)),
        _ => rest.wrong(r#"needs an array: SHELL ["/bin/bash", "-c"]"#),
    }
}

fn volume(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    rest.flags(&[])?;
    let paths = rest.json()?.unwrap_or_else(|| words::plain(rest.text));
    let paths: Vec<String> = paths.iter().map(|path| path.trim().to_owned()).collect();
    match paths.iter().any(String::is_empty) || paths.is_empty() {
        true => rest.wrong("needs paths that are not empty"),
        false => Ok(Kind::Volume(paths)),
    }
}

fn healthcheck(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    let known =
        ["interval", "timeout", "start-period", "start-interval", "retries"].map(|name| (name, Takes::Text));
    let (kind, command) = words::keyword(rest.text);
    if kind.eq_ignore_ascii_case("none") {
        rest.flags(&[])?;
        let test = vec!["NONE".to_owned()];
        let check = Healthcheck { test, ..Healthcheck::default() };
        return if command.is_empty() {
            Ok(Kind::Healthcheck(check))
        } else {
            rest.wrong("NONE takes no arguments")
        };
    }
    if !kind.eq_ignore_ascii_case("cmd") {
        return rest.wrong("is followed by CMD and a command, or by NONE");
    }
    let flags = rest.flags(&known)?;
    let time = |name| time(&rest, &flags, name);
    let retries = flags.text("retries").map_or(Ok(0), |text| {
        let message = format!("--retries is a number from 0 on, not {text}");
        text.parse().map_err(|_| rest.line.problem("--retries", message))
    })?;
    let (interval, timeout) = (time("interval")?, time("timeout")?);
    let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
    rest.text = command;
    let test = match rest.command_after_flags(true)? {
        Command::Exec(arguments) => [vec!["CMD".to_owned()], arguments].concat(),
        Command::Shell(line) => vec!["CMD-SHELL".to_owned(), line],
    };
    Ok(Kind::Healthcheck(Healthcheck { test, interval, timeout, start_period, start_interval, retries }))
}

fn time(rest: &Rest<'_>, flags: &Flags, name: &str) -> Result<u64, Problem> {
    let Some(text) = flags.text(name) else { return Ok(0) };
    match duration::parse(&text) {
        Some(time) if time == 0 || time >= 1_000_000 => Ok(time),
        Some(_) => Err(rest.line.problem(&text, format!("--{name} is 0 or at least 1ms"))),
        None => Err(rest.line.problem(&text, format!("--{name} is a time such as 30s or 1m30s, not {text}"))),
    }
}

/// The trigger is understood here to find its problems; what it does is found where it is pulled.
fn onbuild(mut rest: Rest<'_>) -> Result<Kind, Problem> {
    rest.flags(&[])?;
    let (keyword, _) = words::keyword(rest.text);
    if ["onbuild", "from", "maintainer"].iter().any(|name| keyword.eq_ignore_ascii_case(name)) {
        return rest.wrong(format!("can't be followed by {}", keyword.to_ascii_uppercase()));
    }
    if keyword.is_empty() {
        return rest.wrong("needs an instruction");
    }
    instruction(rest.line.end(rest.text.len()), rest.escape)?;
    let documents = rest.line.heredocs.iter().map(|doc| format!("\n{}{}", doc.content, doc.name));
    Ok(Kind::Onbuild(rest.text.to_owned() + &documents.collect::<String>()))
}
