//! Standard output for data, standard error for talk.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::process::{Command, Stdio};

use crate::cli::failure::{Failure, Result};
use crate::cli::text;
use shelflife::SessionId;

/// Rows that are aligned together, and so are held back before the first is shown.
const ROWS_AT_ONCE: usize = 500;
const BETWEEN: usize = 2;
/// The lines below the first of a row that does not fit.
const INDENT: usize = 2;
/// Longer lines are hard to read.
const EXPLAINED_COLUMNS_MAX: usize = 100;

/// Data on its way to standard output: aligned for a person at a terminal, one record a line with tabs between
/// its fields for a program.
#[derive(Debug)]
pub(crate) struct Output {
    data: BufWriter<StdoutLock<'static>>,
    pub(crate) is_terminal: bool,
    /// Rows that wait for the widths of those behind them; only at a terminal.
    rows: Vec<Vec<String>>,
    /// Of the rows that were shown already: which columns begin a line, and how wide each is.
    widths: Vec<(bool, usize)>,
    columns: Option<usize>,
}

impl Output {
    pub(crate) fn new() -> Output {
        let stdout = io::stdout().lock();
        Output {
            is_terminal: stdout.is_terminal(),
            data: BufWriter::new(stdout),
            rows: Vec::new(),
            widths: Vec::new(),
            columns: None,
        }
    }

    /// Writes bytes as they are. The caller has escaped those that are not meant for a program.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.data.write_all(bytes).map_err(written)
    }

    /// Help, in lines that fit.
    pub(crate) fn explain(&mut self, text: &str) -> Result<()> {
        let columns = match self.is_terminal {
            true => terminal_columns().min(EXPLAINED_COLUMNS_MAX),
            false => 80,
        };
        self.bytes(text::explain(text, columns).as_bytes())
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.bytes(text::printable(text).as_bytes())?;
        self.bytes(b"\n")
    }

    /// Names the columns of the rows that follow, for a person.
    pub(crate) fn header(&mut self, names: &[&str]) {
        if self.is_terminal {
            self.rows
                .push(names.iter().map(|name| name.to_string()).collect());
        }
    }

    /// One record of printable fields.
    pub(crate) fn row(&mut self, fields: Vec<String>) -> Result<()> {
        if !self.is_terminal {
            let fields: Vec<String> = fields.iter().map(|field| text::printable(field)).collect();
            self.bytes(fields.join("\t").as_bytes())?;
            return self.bytes(b"\n");
        }
        self.rows.push(fields);
        match self.rows.len() {
            ROWS_AT_ONCE.. => self.show_rows(),
            _ => Ok(()),
        }
    }

    /// Writes out what waits. A command that failed half way shows what it had by then.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.show_rows()?;
        self.data.flush().map_err(written)
    }

    fn show_rows(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let columns = *self.columns.get_or_insert_with(terminal_columns);
        if self.widths.is_empty() {
            self.widths = layout(&rows, columns);
        }
        for row in &rows {
            let mut line = String::new();
            for (nth, field) in row.iter().enumerate() {
                let (is_below, width) = self.widths.get(nth).copied().unwrap_or((false, 0));
                if is_below {
                    self.line(line.trim_end())?;
                    line = " ".repeat(INDENT);
                }
                line.push_str(field);
                let missing = width.saturating_sub(text::width(field)) + BETWEEN;
                line.extend(std::iter::repeat_n(' ', missing));
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Says on standard error, if that is a terminal, what helps a person and would only fill a cron job's mail.
    pub(crate) fn note(&self, text: &str) {
        if io::stderr().is_terminal() {
            say(text);
        }
    }
}

/// The columns in one line, or where most rows would be wider than the terminal, on several.
fn layout(rows: &[Vec<String>], terminal: usize) -> Vec<(bool, usize)> {
    let widths = fitting(rows, terminal);
    let fits = |row: &&Vec<String>| {
        let mut fields = row.iter().zip(&widths);
        fields.all(|(field, width)| text::width(field) <= *width)
    };
    let fit = rows.iter().filter(fits).count();
    let is_one_line = widths.iter().sum::<usize>() + BETWEEN * widths.len() <= terminal + BETWEEN;
    if is_one_line && fit * 2 > rows.len() {
        return widths.into_iter().map(|width| (false, width)).collect();
    }
    let mut column = 0;
    let mut layout = Vec::new();
    for nth in 0..widths.len() {
        let fields = rows.iter().filter_map(|row| row.get(nth));
        let widths = fields.map(|field| text::width(field));
        let width = widths.filter(|width| width + INDENT <= terminal).max();
        let width = width.unwrap_or(terminal);
        let is_below = nth > 0 && column + width > terminal;
        if is_below {
            column = INDENT;
        }
        column += width + BETWEEN;
        layout.push((is_below, width));
    }
    layout
}

/// How wide each column is. Where the longest fields make rows wider than the terminal, those count for nothing and
/// stick out of their own rows, so that the others still stand in columns.
fn fitting(rows: &[Vec<String>], terminal: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<Vec<usize>> = vec![Vec::new(); columns];
    for row in rows {
        for (column, field) in widths.iter_mut().zip(row) {
            column.push(text::width(field));
        }
    }
    // Shortest first: the last one that counts is the width.
    for column in &mut widths {
        column.sort_unstable();
        column.dedup();
    }
    let last = |column: &Vec<usize>| column.last().copied().unwrap_or(0);
    while widths.iter().map(last).sum::<usize>() + BETWEEN * columns > terminal {
        let widest = widths
            .iter_mut()
            .filter(|column| column.len() > 1)
            .max_by_key(|column| last(column));
        match widest {
            Some(column) => _ = column.pop(),
            None => break,
        }
    }
    widths.iter().map(last).collect()
}

/// The width of the terminal, as the environment or `stty` tells it: std can't ask.
fn terminal_columns() -> usize {
    let told = std::env::var("COLUMNS").ok();
    let asked = || {
        let terminal = File::open("/dev/tty").ok()?;
        let mut stty = Command::new("stty");
        let stty = stty.arg("size").stdin(terminal).stderr(Stdio::null());
        let size = String::from_utf8(stty.output().ok()?.stdout).ok()?;
        size.split_whitespace().nth(1).map(str::to_string)
    };
    let columns = told.or_else(asked).and_then(|text| text.parse().ok());
    columns.filter(|columns| *columns > 0).unwrap_or(80)
}

/// To standard error. That nobody reads it is no reason to fail. A person who has a session's id is logged in, so an id
/// that was typed in the wrong place is not repeated.
pub(crate) fn say(text: &str) {
    let mut said = text::printable(text);
    for word in std::env::args_os().skip(1) {
        let word = word.to_string_lossy();
        let is_id = |part: &&str| part.parse::<SessionId>().is_ok();
        for id in word.split('=').filter(is_id) {
            said = said.replace(id, "(the id of a session)");
        }
    }
    let _ = writeln!(io::stderr(), "{said}");
}

fn written(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Io("failed to write to standard output".to_string(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_too_long_sticks_out_of_its_own_row_only() {
        let rows = |fields: &[[&str; 3]]| -> Vec<Vec<String>> {
            let owned = fields.iter().map(|row| row.map(str::to_string).to_vec());
            owned.collect()
        };
        let long = "x".repeat(500);
        let mixed = rows(&[
            ["a", "12 B", "now"],
            [&long, "9 B", "now"],
            ["bbb", "1 B", "now"],
        ]);
        assert_eq!(fitting(&mixed, 80), [3, 4, 3]);
        assert_eq!(fitting(&mixed, 1000), [500, 4, 3]);
        let all_long = rows(&[[&long, "1 B", "now"]]);
        assert_eq!(
            fitting(&all_long, 80),
            [500, 3, 3],
            "nothing else to align with"
        );
        assert_eq!(fitting(&[], 80), [0; 0]);
        assert_eq!(layout(&mixed, 80), [(false, 3), (false, 4), (false, 3)]);
    }

    #[test]
    fn rows_that_are_wider_than_the_terminal_go_on_below() {
        let row = ["0x2000", "2026-11-26T03:48:30Z", "put", "5", "\"green\""];
        let rows = vec![row.map(str::to_string).to_vec(); 3];
        let in_one = |widths: [usize; 5]| widths.map(|width| (false, width)).to_vec();
        assert_eq!(layout(&rows, 80), in_one([6, 20, 3, 1, 7]));
        assert_eq!(layout(&rows, 45), in_one([6, 20, 3, 1, 7]));
        let mut below = in_one([6, 20, 3, 1, 7]);
        below[4].0 = true;
        assert_eq!(layout(&rows, 44), below);
        // A single row is no table in which it could stick out.
        assert_eq!(layout(&rows[..1], 44), below);
        below[1].0 = true;
        below[3].0 = true;
        below[4].0 = false;
        assert_eq!(layout(&rows, 27), below);
    }
}
