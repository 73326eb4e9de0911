//! The grammar of the command line: what a command takes, and one loop that reads it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::{text, times};

/// A record has 48 bits for the milliseconds of its end.
const END_MS_MAX: u128 = (1 << 48) - 1;

/// A command and all that is to be said about it; help, usage errors, suggestions, completions and the manual come
/// from here.
#[derive(Debug)]
pub(crate) struct Command {
    /// One word, or two for a command of a group.
    pub(crate) name: &'static str,
    /// `F KEY... [VALUE]`: what stands in brackets may be left out, dots mean one or more. See [`is_path`].
    pub(crate) operands: &'static str,
    pub(crate) options: &'static [Opt],
    pub(crate) about: &'static str,
    pub(crate) examples: [&'static str; 2],
    /// Hints for a user, beyond the options.
    pub(crate) notes: &'static str,
    pub(crate) run: fn(&mut Args, &mut Output) -> Result<()>,
}

#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    /// The name of its value, for the help; empty for an option that takes none.
    pub(crate) value: &'static str,
    pub(crate) about: &'static str,
}

impl Opt {
    pub(crate) const fn flag(name: &'static str, about: &'static str) -> Opt {
        Opt::taking(name, "", about)
    }

    pub(crate) const fn taking(
        name: &'static str,
        value: &'static str,
        about: &'static str,
    ) -> Opt {
        Opt { name, value, about }
    }
}

pub(crate) const WAIT: Opt =
    Opt::taking("--wait", "SECS", "how long to wait while others write (5)");
pub(crate) const JSON: Opt = Opt::flag("--json", "as JSON, one object a line");
pub(crate) const YES: Opt = Opt::flag("--yes", "do not ask");
pub(crate) const DRY_RUN: Opt = Opt::flag("--dry-run", "change nothing, say what would be");

/// The words that a command was given, read by its grammar.
#[derive(Debug)]
pub(crate) struct Args {
    command: &'static Command,
    /// All commands that there are.
    pub(crate) commands: &'static [Command],
    operands: VecDeque<OsString>,
    options: Vec<(&'static str, OsString)>,
}

impl Args {
    /// `None` if help was asked for.
    pub(crate) fn parse(
        command: &'static Command,
        commands: &'static [Command],
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Args>> {
        let mut args = Args {
            command,
            commands,
            operands: VecDeque::new(),
            options: Vec::new(),
        };
        let mut words = words.into_iter();
        let mut options_ended = false;
        while let Some(word) = words.next() {
            let is_option = word.as_encoded_bytes().starts_with(b"-") && word != "-";
            if options_ended || !is_option {
                args.operands.push_back(word);
            } else if word == "--" {
                options_ended = true;
            } else if word == "-h" || word == "--help" {
                return Ok(None);
            } else {
                args.option(&word, &mut words)?;
            }
        }
        args.count_operands()?;
        Ok(Some(args))
    }

    fn option(&mut self, word: &OsStr, words: &mut dyn Iterator<Item = OsString>) -> Result<()> {
        let typed = word.to_string_lossy();
        let (name, attached) = match typed.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (typed.as_ref(), None),
        };
        let options = self.command.options;
        let Some(option) = options.iter().find(|option| option.name == name) else {
            let names = options.iter().map(|option| option.name);
            let names = names.filter(|name| name.len() > 2).chain(["--help"]);
            let hint = match text::nearest(name, names) {
                // Most likely a value such as -5.
                None => "; if it is no option, put `--` before it".to_string(),
                near => suggestion(near),
            };
            return Err(self.wrong(&format!("unknown option `{}`{hint}", escape(name))));
        };
        let value = match (option.value, attached) {
            ("", None) => OsString::new(),
            ("", Some(_)) => return Err(self.wrong(&format!("`{name}` takes no value"))),
            (_, Some(_)) if word.to_str().is_none() => {
                return Err(self.wrong(&format!("the value of `{name}` is not UTF-8")));
            }
            (_, Some(value)) => value.into(),
            (wanted, None) => words
                .next()
                .ok_or_else(|| self.wrong(&format!("`{name}` needs {wanted}")))?,
        };
        self.options.push((option.name, value));
        Ok(())
    }

    fn count_operands(&self) -> Result<()> {
        let given = self.operands.len();
        let names: Vec<&str> = self.command.operands.split_whitespace().collect();
        if let Some(missing) = names.get(given).filter(|name| !name.starts_with('[')) {
            return Err(self.wrong(&format!("missing {}", missing.trim_end_matches('.'))));
        }
        let endless = names
            .last()
            .is_some_and(|name| name.trim_end_matches(']').ends_with("..."));
        match self.operands.get(names.len()) {
            Some(extra) if !endless => {
                let extra = text::escape(extra.as_encoded_bytes());
                Err(self.wrong(&format!("unexpected `{extra}`")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    /// The value of an option, the last one if it was given more than once.
    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        let mut given = self.options.iter().rev();
        given
            .find(|(option, _)| *option == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// A value that must be text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.to_str();
        text.map(Some)
            .ok_or_else(|| self.wrong(&format!("the value of `{name}` is not UTF-8")))
    }

    /// A length of time, in `unit` if it names none; without a unit it must name one.
    pub(crate) fn span(&self, name: &str, unit: Option<&str>) -> Result<Option<Duration>> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let span = times::parse_span(value, unit).ok_or_else(|| {
            let value = escape(value);
            self.wrong(&format!(
                "`{value}` is no length of time for `{name}`; write 90s, 30m, 12h or 7d"
            ))
        })?;
        Ok(Some(span))
    }

    /// When something ends: a time to come, or a length of time from now.
    pub(crate) fn end(&self, name: &str) -> Result<Option<SystemTime>> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let from_now = || SystemTime::now().checked_add(times::parse_span(value, None)?);
        let end = times::parse_time(value).or_else(from_now).filter(is_end);
        let wrong = || {
            let value = escape(value);
            self.wrong(&format!(
                "`{value}` is no end for `{name}`; write 30m, 12h, 7d or 2030-12-24T18:00:00Z"
            ))
        };
        let end = end.ok_or_else(wrong)?;
        // Most likely a slip in the year. Stored, it would take away what the key has, and say that it stored something.
        if end <= SystemTime::now() {
            let value = escape(value);
            return Err(self.wrong(&format!(
                "`{value}` for `{name}` is over: the entry would be absent at once; shelflife rm removes a key"
            )));
        }
        Ok(Some(end))
    }

    /// A number in digits, up to a largest one.
    pub(crate) fn number(&self, name: &str, max: u64) -> Result<Option<u64>> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let number = times::number_of(value).filter(|number| *number <= max);
        let wrong = || self.wrong(&format!("{name} needs a number up to {max}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A place in a file, as others print it: `0x2000`, or in decimal.
    pub(crate) fn offset(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let offset = match value.strip_prefix("0x") {
            // std would take a sign.
            Some(digits) if digits.starts_with('+') => None,
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => times::number_of(value),
        };
        let wrong = || self.wrong(&format!("`{}` is no offset for `{name}`", escape(value)));
        offset.map(Some).ok_or_else(wrong)
    }

    /// The next operand; the grammar has counted them already.
    pub(crate) fn operand(&mut self) -> Option<OsString> {
        self.operands.pop_front()
    }

    pub(crate) fn has_operand(&self) -> bool {
        !self.operands.is_empty()
    }

    /// The operand that the grammar requires.
    pub(crate) fn required(&mut self, name: &str) -> Result<OsString> {
        let operand = self.operand();
        operand.ok_or_else(|| self.wrong(&format!("missing {name}")))
    }

    /// A usage error, with the way out.
    pub(crate) fn wrong(&self, what: &str) -> Failure {
        Failure::Usage(format!("{what}; usage: {}", self.command.usage()))
    }
}

impl Command {
    pub(crate) fn usage(&self) -> String {
        let mut usage = format!("shelflife {} {}", self.name, self.operands);
        usage.truncate(usage.trim_end().len());
        for option in self
            .options
            .iter()
            .filter(|option| option.name != WAIT.name)
        {
            let space = if option.value.is_empty() { "" } else { " " };
            usage.push_str(&format!(" [{}{space}{}]", option.name, option.value));
        }
        usage
    }

    pub(crate) fn help(&self) -> String {
        let [first, second] = self.examples;
        let mut help = format!(
            "{}\n\n  {first}\n  {second}\n\nusage: {}\n",
            self.about,
            self.usage()
        );
        if !self.options.is_empty() {
            help.push('\n');
        }
        for option in self.options {
            let name = format!("{} {}", option.name, option.value);
            help.push_str(&format!("  {name:<15}  {}\n", option.about));
        }
        if !self.notes.is_empty() {
            help.push_str(&format!("\n{}\n", self.notes));
        }
        help
    }
}

/// Whether an operand, or the value of an option, names a file.
pub(crate) fn is_path(name: &str) -> bool {
    let name = name.trim_matches(['[', ']']).trim_end_matches("...");
    ["F", "I", "NEW", "DEST", "DIR", "FROM", "TO", "FILE"].contains(&name)
}

/// Whether a record can hold this end.
pub(crate) fn is_end(at: &SystemTime) -> bool {
    let since = at.duration_since(UNIX_EPOCH);
    since.is_ok_and(|since| since.as_millis() <= END_MS_MAX)
}

/// `; did you mean ...?`, if there is anything to suggest.
pub(crate) fn suggestion(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

fn escape(typed: &str) -> String {
    text::escape(typed.as_bytes())
}
