//! `--name value` and `--name=value`, taken out one by one.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use crate::{
    command::{algorithm::Signing, arm::Arm},
    store::choice::Store,
};

/// The options behind a command that nobody has taken yet.
pub(crate) struct Flags(Vec<(String, String)>);

impl Flags {
    /// Reads the arguments behind a command.
    ///
    /// # Errors
    /// One sentence that names the argument at fault.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, String> {
        let mut flags: Vec<(String, String)> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(flag) = argument.strip_prefix("--") else {
                return Err(unexpected(argument));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match rest.next() {
                    Some(value) if !value.starts_with("--") => (flag, value.clone()),
                    _ => return Err(format!("`--{flag}` needs a value")),
                },
            };
            if !REPEATED.contains(&name) && flags.iter().any(|(known, _)| known == name) {
                return Err(format!("`--{name}` was given twice"));
            }
            flags.push((name.to_owned(), value));
        }
        Ok(Self(flags))
    }

    /// Takes one option.
    ///
    /// # Errors
    /// If its value cannot be parsed.
    pub(crate) fn take<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, String> {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(index);
        value.parse().map(Some).map_err(|problem| format!("--{name} {value}: {problem}"))
    }

    /// Takes all values of an option that may be repeated, in their order.
    ///
    /// # Errors
    /// If one cannot be parsed.
    pub(crate) fn take_all<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Vec<T>, String> {
        let mut values = Vec::new();
        while let Some(value) = self.take(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Takes an option that has to be there.
    ///
    /// # Errors
    /// If it is not, or its value cannot be parsed.
    pub(crate) fn need<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<T, String> {
        self.take(name)?.ok_or_else(|| format!("`--{name}` is missing"))
    }

    /// Takes a list, its parts between commas.
    ///
    /// # Errors
    /// If one of them cannot be parsed.
    pub(crate) fn list<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<T>>, String> {
        let Some(text) = self.take::<String>(name)? else { return Ok(None) };
        let parts = text.split(',').map(|part| {
            part.parse().map_err(|problem| format!("--{name} {text}: `{part}`: {problem}"))
        });
        parts.collect::<Result<_, _>>().map(Some)
    }

    /// Takes `--arms`: different arms, of those that keep sessions.
    ///
    /// # Errors
    /// If one is unknown, or keeps none, or is named twice.
    pub(crate) fn arms(&mut self) -> Result<Option<Vec<Arm>>, String> {
        let Some(arms) = self.list::<Arm>("arms")? else { return Ok(None) };
        for (index, arm) in arms.iter().enumerate() {
            if !Arm::COMPARED.contains(arm) {
                return Err(format!("--arms: `{arm}` is for `load`"));
            }
            if arms[..index].contains(arm) {
                return Err(format!("--arms: `{arm}` was named twice"));
            }
        }
        Ok(Some(arms))
    }

    /// Takes `--store`. Parsed apart from the others, since an error must not repeat a password.
    ///
    /// # Errors
    /// If it is no store.
    pub(crate) fn store(&mut self) -> Result<Option<Store>, String> {
        let text: Option<String> = self.take("store")?;
        text.map(|text| text.parse()).transpose().map_err(|problem| format!("--store: {problem}"))
    }

    /// Takes `--log`: how much of a log is written.
    ///
    /// # Errors
    /// If it is no level.
    pub(crate) fn level(&mut self) -> Result<Option<String>, String> {
        const LEVELS: [&str; 5] = ["off", "error", "warn", "info", "debug"];
        match self.take::<String>("log")? {
            Some(level) if !LEVELS.contains(&level.as_str()) => {
                Err(format!("--log {level}: expected one of {}", LEVELS.join(", ")))
            }
            level => Ok(level),
        }
    }

    /// Takes `--algorithm`, for keys in this store.
    ///
    /// # Errors
    /// If it is unknown, or the store cannot have it.
    pub(crate) fn algorithm(&mut self, store: &Store) -> Result<Option<Signing>, String> {
        let algorithm = self.take("algorithm")?;
        match (algorithm, store) {
            (Some(Signing::ES256), Store::Derived) => {
                Err("`--store derived` has no ES256: expected EdDSA or HS256".to_owned())
            }
            _ => Ok(algorithm),
        }
    }

    /// Takes `--replicas`.
    ///
    /// # Errors
    /// If it is none, or more than nine.
    pub(crate) fn replicas(&mut self) -> Result<Option<usize>, String> {
        match self.take("replicas")? {
            Some(count) if !(1..=9).contains(&count) => {
                Err(format!("--replicas {count}: expected 1 to 9"))
            }
            count => Ok(count),
        }
    }

    /// Takes a number of seconds.
    ///
    /// # Errors
    /// If it is none, or outside the range.
    pub(crate) fn seconds(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Duration>, String> {
        match self.take(name)? {
            Some(seconds) if !range.contains(&seconds) => {
                let (least, most) = range.into_inner();
                Err(format!("--{name} {seconds}: expected {least} to {most}"))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If an option was not taken.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.first() {
            Some((name, _)) => Err(format!("unknown option `--{name}`")),
            None => Ok(()),
        }
    }
}

/// The options that may be repeated.
const REPEATED: [&str; 1] = ["secret-file"];

/// What to say of an argument that has no place.
pub(crate) fn unexpected(argument: &str) -> String {
    match argument.contains("://") {
        true => "a URL belongs behind `--store`".to_owned(),
        false => format!("unexpected argument `{argument}`"),
    }
}
