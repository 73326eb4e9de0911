//! The sessions of a web application: one request, from its cookies to the headers of its response.

use shelflife::{Result, SessionManager};

fn main() -> Result<()> {
    let sessions = SessionManager::open("sessions.shelf")?;

    // The request's `Cookie` fields come in, headers go out, and all between is taken care of.
    let mut visit = sessions.begin(["theme=dark"]);
    visit.login("ann")?; // under a new id, so an attacker who planted the old one is not
    visit.session()?.insert("cart", &vec!["tea"])?;
    for (name, value) in visit.finish()?.headers() {
        println!("{name}: {value}");
    }
    Ok(())
}
