//! The definitions that the README shows, as an older and a newer version of a program use them.

#![allow(missing_docs, unreachable_pub)]

use shelflife::{Result, Shelf};

shelflife::record! {
    #[derive(Debug, Clone, PartialEq)]
    pub struct Cart {
        items: Vec<Item>,
        note: Option<String>,
        paid_by as "payment": Payment = Payment::Open,
        ..rest
    }
    #[derive(Debug, Clone, PartialEq)]
    pub struct Item { name: String, price: f64 }
    #[derive(Debug, Clone, PartialEq)]
    pub enum Payment { Open, Card { last_digits: String } }
}

/// The same cart, as a program of before knew it.
mod before {
    shelflife::record! {
        pub struct Cart { pub items: Vec<super::Item>, ..pub rest }
    }
}

fn main() -> Result<()> {
    let shelf = Shelf::open("values.shelf")?;
    let cart = Cart {
        items: vec![Item {
            name: "tea".to_string(),
            price: 3.5,
        }],
        note: None,
        paid_by: Payment::Card {
            last_digits: "4711".to_string(),
        },
        rest: Default::default(),
    };
    shelf.insert("cart:17", &cart)?;

    let mut old: before::Cart = shelf.get("cart:17")?.unwrap_or_else(|| unreachable!());
    old.items.push(Item {
        name: "cup".to_string(),
        price: 9.0,
    });
    shelf.insert("cart:17", &old)?;
    let now: Cart = shelf.get("cart:17")?.unwrap_or_else(|| unreachable!());
    assert_eq!((now.items.len(), &now.paid_by), (2, &cart.paid_by));
    println!("{:?}", now.paid_by);

    shelf.insert("cart:18", &vec!["tea"])?;
    println!("{}", shelf.get::<Cart>("cart:18").unwrap_err());
    Ok(())
}
