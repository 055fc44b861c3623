//! A tool's verbs and flags as data, for a program that is not that tool.

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, ValueHint};
use serde::{Deserialize, Serialize};

/// A command: its help, what it takes, and its verbs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// As it is typed.
    pub name: String,
    /// The first line of its help.
    pub about: Option<String>,
    /// All of its help.
    pub long_about: Option<String>,
    /// Its flags and positional arguments, those that every verb takes among them.
    pub arguments: Vec<Argument>,
    /// The commands below it.
    pub verbs: Vec<Tree>,
}

/// A flag or a positional argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name within the command.
    pub id: String,
    /// Without the dashes; none for a positional one.
    pub long: Option<String>,
    /// Without the dash.
    pub short: Option<char>,
    /// What its value is called, such as `FILE`; none if it has no value.
    pub value: Option<String>,
    /// The only values that it takes, with what each means; empty for any.
    pub values: Vec<(String, Option<String>)>,
    /// One line.
    pub help: Option<String>,
    /// The heading that help puts it under.
    pub heading: Option<String>,
    /// Whether a command without it is refused.
    pub required: bool,
    /// Whether it may be given again and again.
    pub repeated: bool,
    /// Whether its value is a path on this machine.
    pub path: bool,
}

impl Tree {
    /// Returns a command that was built, without what clap adds to every one (`help`, `version`).
    #[must_use]
    pub fn of(command: &Command) -> Self {
        let arguments = command.get_arguments().filter(|a| {
            let added = matches!(
                a.get_action(),
                ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
            );
            !added && !a.is_hide_set()
        });
        // A hidden verb is what a tool calls itself by; nobody completes it or reads its page.
        let verbs = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help" && !c.is_hide_set());
        Self {
            name: command.get_name().to_owned(),
            about: command.get_about().map(ToString::to_string),
            long_about: command.get_long_about().map(ToString::to_string),
            arguments: arguments.map(Argument::of).collect(),
            verbs: verbs.map(Self::of).collect(),
        }
    }

    /// Returns the command again; it knows names and helps, and parses nothing that the tool itself should parse.
    #[must_use]
    pub fn command(self) -> Command {
        let mut command = Command::new(self.name);
        if let Some(about) = self.about {
            command = command.about(about);
        }
        if let Some(about) = self.long_about {
            command = command.long_about(about);
        }
        command
            .args(self.arguments.into_iter().map(Argument::arg))
            .subcommands(self.verbs.into_iter().map(Self::command))
    }
}

impl Argument {
    fn of(argument: &Arg) -> Self {
        let takes = argument
            .get_num_args()
            .is_some_and(|range| range.takes_values());
        let name = argument
            .get_value_names()
            .and_then(|names| names.first())
            .map_or_else(|| argument.get_id().to_string(), ToString::to_string);
        let values = argument.get_possible_values().into_iter().map(|v| {
            let help = v.get_help().map(ToString::to_string);
            (v.get_name().to_owned(), help)
        });
        let hint = argument.get_value_hint();
        Self {
            id: argument.get_id().to_string(),
            long: argument.get_long().map(str::to_owned),
            short: argument.get_short(),
            value: takes.then_some(name),
            values: values.filter(|_| takes).collect(),
            help: argument.get_help().map(ToString::to_string),
            heading: argument.get_help_heading().map(str::to_owned),
            required: argument.is_required_set(),
            repeated: matches!(argument.get_action(), ArgAction::Append),
            path: matches!(hint, ValueHint::AnyPath | ValueHint::FilePath),
        }
    }

    fn arg(self) -> Arg {
        let action = match (&self.value, self.repeated) {
            (None, _) => ArgAction::SetTrue,
            (Some(_), true) => ArgAction::Append,
            (Some(_), false) => ArgAction::Set,
        };
        let mut arg = Arg::new(self.id).action(action).required(self.required);
        if let Some(long) = self.long {
            arg = arg.long(long);
        }
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(value) = self.value {
            arg = arg.value_name(value);
        }
        if !self.values.is_empty() {
            let values = self.values.into_iter().map(|(name, help)| {
                let value = PossibleValue::new(name);
                match help {
                    Some(help) => value.help(help),
                    None => value,
                }
            });
            arg = arg.value_parser(values.collect::<Vec<_>>());
        }
        if let Some(help) = self.help {
            arg = arg.help(help);
        }
        if let Some(heading) = self.heading {
            arg = arg.help_heading(heading);
        }
        if self.path {
            arg = arg.value_hint(ValueHint::AnyPath);
        }
        arg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_back_from_its_tree() {
        let mut command = Command::new("tool")
            .about("Does it")
            .arg(
                Arg::new("depth")
                    .long("depth")
                    .short('d')
                    .help("How deep")
                    .value_parser(["a", "b"]),
            )
            .arg(
                Arg::new("dry")
                    .long("dry-run")
                    .action(ArgAction::SetTrue)
                    .help_heading("More"),
            )
            .subcommand(
                Command::new("verb")
                    .about("Goes on")
                    .arg(
                        Arg::new("guards")
                            .value_name("GUARD")
                            .action(ArgAction::Append),
                    )
                    .arg(
                        Arg::new("to")
                            .long("to")
                            .value_hint(ValueHint::AnyPath)
                            .required(true),
                    ),
            );
        command.build();
        let tree = Tree::of(&command);
        assert_eq!(tree.arguments.len(), 2);
        assert_eq!(tree.verbs.len(), 1);
        let text = serde_json::to_string(&tree).unwrap();
        let read: Tree = serde_json::from_str(&text).unwrap();
        assert_eq!(read, tree);
        let mut again = read.command();
        again.build();
        assert_eq!(Tree::of(&again), tree);
    }
}
