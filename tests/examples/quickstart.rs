//! A shelf: any value under any string key, in one file.

use shelflife::{Result, Shelf};

fn main() -> Result<()> {
    let shelf = Shelf::open("notes.shelf")?;
    shelf.insert("teas", &vec!["sencha", "oolong"])?;
    let runs = shelf.update("runs", |runs: Option<u64>| {
        let runs = runs.unwrap_or(0) + 1;
        Ok((Some(runs), runs)) // atomic, for threads and for processes
    })?;
    println!("run {runs}: {:?}", shelf.get::<Vec<String>>("teas")?);
    Ok(())
}
