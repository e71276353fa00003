//! RUN.

use std::collections::BTreeMap;

use super::arguments;
use super::mounts;
use super::walk::Walk;
use crate::builder::dockerfile::Problem;
use crate::builder::dockerfile::heredoc;
use crate::builder::dockerfile::instruction::{Command, Run};
use crate::builder::dockerfile::lines::Line;
use crate::builder::graph::{self, Action, Mount, Network, Security};

/// Where a here-document that names its interpreter is put.
const SCRIPTS: &str = "/dev/pipes";
/// Who may give a command all privileges.
const GRANT: &str = "the stack file grants it: `entitlements: [security.insecure]` of the service's `build`";

impl Walk<'_, '_> {
    pub(super) fn run(&mut self, line: &Line, run: &Run) -> Result<(), Problem> {
        let mounts = run.mounts.iter().map(|mount| self.mount(line, mount)).collect::<Result<Vec<_>, _>>()?;
        let title = self.title_of_run(line);
        let (command, files) = self.command(line, &run.command);
        let created_by = format!("RUN {}{} # buildkit", self.state.arguments_line(), command.join(" "));
        let environment = self.state.environment();
        let mut hidden_environment = arguments::proxies(self.stages.request);
        hidden_environment.retain(|name, _| !environment.contains_key(name));
        if run.security == Security::Insecure && !self.stages.request.settings.insecure {
            let problem = line.problem("--security", "--security=insecure is not granted");
            return Err(Problem { help: Some(GRANT.to_owned()), ..problem });
        }
        let network = run.network.filter(|network| *network != Network::Default);
        let action = Action::Run(graph::Run {
            command,
            environment,
            hidden_environment,
            user: Some(self.state.config.config.user.clone()).filter(|user| !user.is_empty()),
            working_dir: self.state.config.working_dir().to_owned(),
            mounts,
            network: network.unwrap_or(self.stages.request.network),
            files,
            security: run.security,
            settings: self.stages.request.settings.clone(),
        });
        self.step(line, title, action, created_by);
        Ok(())
    }

    fn title_of_run(&mut self, line: &Line) -> String {
        let title = self.title(line);
        match line.heredocs.first() {
            Some(document) => {
                let text = document.content.trim();
                let first = text.lines().next().unwrap_or_default();
                let more = if text.lines().nth(1).is_some() { "..." } else { "" };
                format!("{title} ({first}{more})")
            }
            None => title,
        }
    }

    /// A command with nothing but a here-document is the document, for the shell or for the interpreter that it
    /// names; in any other the shell reads the documents.
    fn command(&self, line: &Line, command: &Command) -> (Vec<String>, BTreeMap<String, String>) {
        let text = match command {
            Command::Exec(words) => return (words.clone(), BTreeMap::new()),
            Command::Shell(text) => text,
        };
        let in_shell = |text: String| self.state.config.in_shell(text);
        let Some(first) = line.heredocs.first() else { return (in_shell(text.clone()), BTreeMap::new()) };
        if heredoc::parse(text).is_none() {
            let documents = line.heredocs.iter().map(|doc| format!("\n{}{}", doc.content, doc.name));
            return (in_shell(text.clone() + &documents.collect::<String>()), BTreeMap::new());
        }
        let content = first.text();
        if content.starts_with("#!") {
            let path = format!("{SCRIPTS}/{}", first.name);
            return (in_shell(path.clone()), BTreeMap::from([(path, content)]));
        }
        (in_shell(content), BTreeMap::new())
    }

    fn mount(&mut self, line: &Line, text: &str) -> Result<Mount, Problem> {
        let working_dir = self.state.config.working_dir().to_owned();
        let expanded = std::cell::RefCell::new(Vec::new());
        // What variables come to is worked out first: it may warn, which changes the walk.
        let from = mounts::from(text).map(|name| self.tree(line, &name)).transpose()?;
        let value = |text: &str| {
            let lookup = |name: &str| self.state.variable(name);
            let expander =
                crate::builder::dockerfile::expand::Expander::new(self.stages.file.escape, &lookup);
            let value = expander.word(text).map_err(|error| error.to_string());
            expanded.borrow_mut().push(expander.unset.into_inner());
            value
        };
        let mount = mounts::mount(text, &working_dir, value, |_| from);
        for unset in expanded.into_inner() {
            self.warn_of_unset(line, &unset);
        }
        mount.map_err(|error| Problem {
            help: error.help,
            ..line.problem("--mount", format!("--mount={text}: {}", error.message))
        })
    }
}
