//! Standard output for data, standard error for talk.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::cli::failure::{Failure, Result};

/// Data on its way to standard output: aligned for a person at a terminal, one record a line with tabs between
/// its fields for a program.
#[derive(Debug)]
pub(crate) struct Output {
    data: BufWriter<StdoutLock<'static>>,
    pub(crate) is_terminal: bool,
    /// Rows that wait for the widths of those behind them; only at a terminal.
    rows: Vec<Vec<String>>,
}

impl Output {
    pub(crate) fn new() -> Output {
        let stdout = io::stdout().lock();
        Output {
            is_terminal: stdout.is_terminal(),
            data: BufWriter::new(stdout),
            rows: Vec::new(),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.data.write_all(bytes).map_err(written)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// One record of printable fields.
    pub(crate) fn row(&mut self, fields: Vec<String>) -> Result<()> {
        if self.is_terminal {
            self.rows.push(fields);
            return Ok(());
        }
        self.line(&fields.join("\t"))
    }

    /// Writes out what waits. A command that failed half way shows what it had by then.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let fields = rows.iter().filter_map(|row| row.get(column));
            fields.map(|field| field.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &rows {
            let mut text = String::new();
            for (field, width) in row.iter().zip(&widths) {
                text.push_str(&format!("{field:<width$}  "));
            }
            self.line(text.trim_end())?;
        }
        self.data.flush().map_err(written)
    }

    /// What a person wants to hear and a cron job must not: to standard error, if that is a terminal.
    pub(crate) fn note(&self, text: &str) {
        if io::stderr().is_terminal() {
            say(text);
        }
    }
}

/// To standard error, whoever reads it. That nobody does is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn written(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Io("failed to write to standard output".to_string(), error),
    }
}
