//! MovieLens as GroupLens publishes it: 100K, 1M and 25M.

use std::io::Read;
use std::path::Path;

use serde_json::Map;

use crate::Error;
use crate::builder::{Builder, ItemFacts};
use crate::fields::{Cells, Columns};
use crate::readers::{clean_title, delimited, open};

/// `u.data` (user, item, rating, time; tabs) and `u.item` (id, title, …, 19 genre flags; bars).
pub(crate) fn read_100k(builder: &mut Builder, folder: &Path) -> Result<(), Error> {
    ratings(builder, &folder.join("u.data"), "\t")?;
    let path = folder.join("u.item");
    for line in latin_1(&path)?.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        if let [id, title, ..] = cells[..] {
            movie(builder, id, title, genre_flags(&cells));
        }
    }
    Ok(())
}

/// `ratings.dat` and `movies.dat` (`::` between the cells).
pub(crate) fn read_1m(builder: &mut Builder, folder: &Path) -> Result<(), Error> {
    ratings(builder, &folder.join("ratings.dat"), "::")?;
    for line in latin_1(&folder.join("movies.dat"))?.lines() {
        if let [id, title, genres] = line.split("::").collect::<Vec<_>>()[..] {
            movie(builder, id, title, genre_list(genres));
        }
    }
    Ok(())
}

/// `ratings.csv` and `movies.csv`.
pub(crate) fn read_25m(builder: &mut Builder, folder: &Path) -> Result<(), Error> {
    delimited::interactions(
        builder,
        &folder.join("ratings.csv"),
        b',',
        &Columns::default(),
    )?;
    let path = folder.join("movies.csv");
    let mut reader = csv::Reader::from_reader(open(&path)?);
    for record in reader.records() {
        let record = record.map_err(|e| Error::malformed(&path, e))?;
        if let [Some(id), Some(title), Some(genres)] = [record.get(0), record.get(1), record.get(2)]
        {
            movie(builder, id, title, genre_list(genres));
        }
    }
    Ok(())
}

fn ratings(builder: &mut Builder, path: &Path, delimiter: &str) -> Result<(), Error> {
    for (number, line) in latin_1(path)?.lines().enumerate() {
        let cells: Vec<&str> = line.split(delimiter).collect();
        if let [user, item, rating, time] = cells[..] {
            let (rating, timestamp) = (Some(rating), Some(time));
            let cells = Cells {
                user: Some(user),
                item: Some(item),
                rating,
                timestamp,
                ..Cells::default()
            };
            builder.interaction(path, number + 1, &cells);
        } else {
            builder.n_read += 1;
            builder.refuse(
                path,
                number + 1,
                format!(
                    "has {} cells, expected user, item, rating, time",
                    cells.len()
                ),
            );
        }
    }
    Ok(())
}

fn movie(builder: &mut Builder, id: &str, title: &str, categories: Vec<String>) {
    builder.item(
        id,
        ItemFacts {
            title: clean_title(title),
            categories,
            attributes: Map::new(),
        },
    );
}

fn genre_list(genres: &str) -> Vec<String> {
    genres
        .split('|')
        .filter(|genre| !genre.starts_with('('))
        .map(str::to_owned)
        .collect()
}

/// The last 19 cells of `u.item` are flags in this order (`u.genre`).
fn genre_flags(cells: &[&str]) -> Vec<String> {
    const GENRES: [&str; 19] = [
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ];
    let flags = &cells[cells.len().saturating_sub(GENRES.len())..];
    GENRES
        .iter()
        .zip(flags)
        .filter(|(_, flag)| flag.trim() == "1")
        .map(|(genre, _)| (*genre).to_owned())
        .collect()
}

/// The older sets are in Latin-1.
fn latin_1(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    open(path)?
        .read_to_end(&mut bytes)
        .map_err(Error::file(path))?;
    Ok(encoding_rs::mem::decode_latin1(&bytes).into_owned())
}
